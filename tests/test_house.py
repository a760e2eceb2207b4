# SPDX-License-Identifier: Apache-2.0
"""The layout of `python/darkpose`: imports go down, files stay small, classes have own names."""

import ast
import importlib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "docs"))
from house import FIGURE, FLOORS, dependencies, draw, modules  # noqa: E402

_FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
_MODULES = modules()
_HEAVY = {"lightning", "torchmetrics", "transformers", "matplotlib", "scipy", "pycocotools"}
_LIGHT_COMMANDS = ("", "predict", "export", "look", "convert")
_SECONDS = 1.0  # of processor time beyond `import torch`

# Names that people's own programs and configurations import.
_KEPT = (
    *("darkpose.codec", "darkpose.geometry", "darkpose.drawing"),
    *("darkpose.interop.huggingface", "darkpose.interop.border"),
)


def functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    for module, path in _MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                yield module, node


def test_imports_go_down() -> None:
    up = {pair for pair in dependencies() if _FLOOR[pair[0]] >= _FLOOR[pair[1]]}
    assert not up


def test_the_picture_is_what_the_sources_say() -> None:
    assert FIGURE.read_text() == draw(), "run python docs/house.py"


def test_no_file_is_longer_than_one_can_hold_in_the_head() -> None:
    root = Path(__file__).parents[1]
    folders = ("python", "darkpose_ext", "tests", "benchmarks", "docs", "examples")
    files = [path for folder in folders for path in (root / folder).rglob("*.py")]
    lengths = {path.name: len(path.read_text().splitlines()) for path in files}
    assert not {name: length for name, length in lengths.items() if length > 300}


def test_no_function_has_more_than_ten_parameters() -> None:
    """A constructor may: it is a list of documented fields."""
    many = {}
    for module, node in functions():
        given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        names = [argument.arg for argument in given if argument.arg not in ("self", "cls")]
        if len(names) > 10 and node.name != "__init__":
            many[f"{module}.{node.name}"] = len(names)
    assert not many


def test_a_class_has_a_name_of_its_own() -> None:
    public = Counter(
        node.name
        for path in _MODULES.values()
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert not {name for name, count in public.items() if count > 1}


@pytest.mark.parametrize("name", _KEPT)
def test_names_that_people_import_are_where_they_were(name: str) -> None:
    assert importlib.import_module(name)


def test_mmposes_codec_is_where_configurations_name_it() -> None:
    pytest.importorskip("mmpose", reason="mmpose is not installed: its registry is its own")
    assert importlib.import_module("darkpose.interop.mmpose_plugin")


def test_the_old_name_of_drawing_has_all_of_it() -> None:
    old, new = (importlib.import_module(f"darkpose.{name}") for name in ("drawing", "data.drawing"))
    public = {name for name in vars(new) if not name.startswith("_")}
    assert public <= set(vars(old))


@pytest.mark.parametrize("command", ["import", *_LIGHT_COMMANDS])
def test_what_predicts_and_exports_loads_no_trainer(command: str) -> None:
    """Nor what draws, scores or converts; and it is ready in a second beyond torch."""
    run = (
        "from darkpose import Predictor"
        if command == "import"
        else "from darkpose.cli.main import main\n"
        f"try: main({[command, '--help'] if command else ['--help']})\n"
        "except SystemExit: pass"
    )
    code = (
        "import sys, time\nimport torch\nbegan = time.process_time()\n"
        f"{run}\n"
        "print('spent', time.process_time() - began, *sorted({name.split('.')[0] "
        f"for name in sys.modules}} & {_HEAVY}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    spent, *loaded = done.stdout.splitlines()[-1].removeprefix("spent ").split()
    assert not loaded
    print(f"{command or '--help'}: {spent} s")
    assert float(spent) < 2 * _SECONDS  # twice: a busy machine's second is longer
