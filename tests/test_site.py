# SPDX-License-Identifier: Apache-2.0
"""The documentation's pages: their code runs, their commands exist, their links lead somewhere.

`tests/site_pages.py` reads them. A block that cannot run has a comment before it that says why.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from darkpose.cli.commands import COMMANDS
from darkpose.cli.main import main
from darkpose.geometry import Convention
from darkpose.paper.recipes import find_configs
from docs import figures
from docs import pixels as pixels_
from site_pages import DOCS, PAGES, ROOT, blocks, command_lines, links, read

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli", reason="reads pyproject.toml")

# Heatmap pixels.
ROUND_TRIP = 1e-3
HRNET_MIRROR = 0.75  # between a heatmap pixel and the mirrored input's
IMAGE_PIXELS_OF_MIXING = 11  # README: "up to", rounded

# ---- code ----------------------------------------------------------------------------------------


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the pages say is there: a photo, a checkpoint, their YAML files."""
    import cv2

    from photos import photo
    from predicting import untrained

    monkeypatch.chdir(tmp_path)
    cv2.imwrite("photo.jpg", photo((320, 240), 0))
    for page in PAGES:
        for block in [*blocks(page, "yaml"), *blocks(page, "python")]:
            if block.title:
                Path(block.title).write_text(block.text)
    # The README names a file with data alone.
    Path("data.yaml").write_text("data: {val: val.json, val_images: images}\n")
    untrained().save("ours.ckpt")
    return tmp_path


PYTHON_PAGES = [page for page in PAGES if blocks(page, "python")]


@pytest.mark.parametrize("page", PYTHON_PAGES)
def test_the_python_of_a_page_runs_from_top_to_bottom(page: str, workplace: Path) -> None:
    names: dict[str, object] = {}
    ran = [block for block in blocks(page, "python") if block.runs]
    assert ran
    for block in ran:
        exec(compile(block.text, page, "exec"), names)


def test_the_homes_example_returns_what_its_comments_say() -> None:
    names: dict[str, torch.Tensor] = {}
    exec(blocks("docs/index.md", "python")[0].text, names)
    assert names["peak"].tolist() == [[[20.0, 32.0]]]
    torch.testing.assert_close(
        names["coords"], torch.tensor([[[20.3, 31.8]]]), atol=ROUND_TRIP, rtol=0
    )


# ---- commands ------------------------------------------------------------------------------------


def shown() -> Iterator[tuple[str, list[str]]]:
    for page in ["README.md", *PAGES]:
        for words in command_lines(page):
            yield page, words


def test_every_command_has_only_options_that_exist(workplace: Path) -> None:
    known, parsed = {name: entry.load() for name, entry in COMMANDS.items()}, 0
    for page, words in shown():
        if words[0] == "torchrun":
            words = words[words.index("-m") + 1 :]
        if words[0] != "darkpose" or "..." in words or words[1:] == ["--help"]:
            continue
        name, *options = words[1:]
        assert name in known, f"{page}: {' '.join(words)}"
        if "--help" in options:
            continue
        try:
            found = find_configs(options)
            if hasattr(known[name], "implied") and "huggingface:" in " ".join(options):
                found = ["--codec.input_size", "[192, 256]", *found]  # as the model would say
            known[name].parser.parse_args(found)
        except Exception as error:
            pytest.fail(f"{page}: {' '.join(words)}: {error}")
        parsed += 1
    assert parsed > 10


def test_every_target_script_and_extra_that_is_shown_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    for page, words in shown():
        if words[0] == "make":
            for target in [word for word in words[1:] if "=" not in word]:
                assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page}: make {target}"
        for script in [word for word in words if word.endswith(".py")]:
            assert (ROOT / script).exists() or not script.startswith(
                ("benchmarks/", "examples/", "docs/")
            ), f"{page}: {script}"
    for page in ["README.md", *PAGES]:
        for named in re.findall(r"(?:darkpose|\.)\[([\w,]+)\]", read(page)):
            assert set(named.split(",")) <= extras.keys(), f"{page}: {named}"


def test_every_command_is_listed() -> None:
    listed = re.findall(r"^\| `darkpose (\w+)` \|", read("docs/commands.md"), re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)


# Commands that no test runs, by a word of them.
NOT_RUN = {
    "convert": "needs a file that others publish",
    "huggingface": "downloads a model",
    "vitpose/": "so does this",
    "ablation": "trains ten networks",
    "--engine ray": "needs a cluster; the tests of the engine have one",
    "pose.pt2": "compiles for minutes; the tests of the export do it",
    "make": "is how this test came to run",
    "pip": "so is this",
    "cmake": "the tests of the C++ example do it",
    "torchrun": "needs several machines",
    "tensorboard": "does not end",
    "http.server": "neither does this",
}


@pytest.fixture
def furnished(workplace: Path, people: Path) -> Path:
    """The workplace with drawn people, a video, and a configuration that trains for seconds."""
    import cv2
    import yaml

    from training_runs import write_config

    config = yaml.safe_load(write_config(people, Path("mine.yaml")).read_text())
    Path("mine.yaml").write_text(yaml.safe_dump({**config, "out": "runs/mine"}))
    Path("people").symlink_to(people)
    Path("other.ckpt").write_bytes(Path("ours.ckpt").read_bytes())
    Path("day1").mkdir()
    Path("day1/a.jpg").write_bytes(Path("photo.jpg").read_bytes())
    frame = cv2.imread("photo.jpg")
    video = cv2.VideoWriter("clip.mp4", cv2.VideoWriter.fourcc(*"mp4v"), 5, frame.shape[1::-1])
    for _ in range(3):
        video.write(frame)
    video.release()
    return workplace


RUN_PAGES = ("getting-started", "predict", "seeing", "deployment", "training")


@pytest.mark.slow
@pytest.mark.parametrize("page", [f"docs/{name}.md" for name in RUN_PAGES])
def test_the_commands_of_a_page_run_in_the_pages_order(page: str, furnished: Path) -> None:
    ran = 0
    for words in command_lines(page):
        if any(word in " ".join(words) for word in NOT_RUN) or words[:2] == ["darkpose", "synth"]:
            continue
        if words[0] == "darkpose" and "--help" not in words:
            main(words[1:])
            ran += 1
        elif words[0] == "python":
            subprocess.run([sys.executable, ROOT / words[1], *words[2:]], check=True)
            ran += 1
    assert ran > 0


# ---- links and figures ---------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_a_page_links_only_to_what_exists(page: str) -> None:
    folder = (ROOT / page).parent
    assert [link for link in links(page) if not (folder / link).exists()] == []


def test_every_figure_is_drawn_by_the_script_and_shown_on_a_page(tmp_path: Path) -> None:
    figures.main(["--out", str(tmp_path)])
    drawn = {path.name for path in tmp_path.iterdir()}
    committed = {path.name for path in (DOCS / "figures").iterdir()}
    shown_ones = {Path(link).name for page in PAGES for link in links(page) if "figures/" in link}
    assert drawn == committed == shown_ones
    for name in committed:
        text = (DOCS / "figures" / name).read_text()
        assert re.findall(r'(?:href|src)="(?!#|data:)', text) == [], "a picture fetches nothing"


def test_the_figure_of_encodings_is_what_the_ops_return() -> None:
    offsets = torch.linspace(-0.5, 0.499, 101)
    dark = pixels_.read_back(offsets, 2.0, "none", "dark")
    assert (dark - offsets).abs().max() < ROUND_TRIP
    for method in ("argmax", "standard", "dark"):
        rounded = pixels_.read_back(offsets, 2.0, "round", method)
        assert rounded.abs().max() < ROUND_TRIP, "a rounded target says its pixel, nothing else"


@pytest.mark.parametrize("convention", list(Convention))
def test_only_hrnets_mirrored_pixels_miss_the_others(convention: Convention) -> None:
    _, pixels, mirrored = pixels_.lay(convention)
    gaps = np.abs(mirrored[::-1] - pixels) / (pixels[1] - pixels[0])
    np.testing.assert_allclose(
        gaps, HRNET_MIRROR if convention is Convention.hrnet else 0.0, atol=1e-9
    )


def test_mixing_conventions_costs_what_the_readme_says() -> None:
    worst = max(pixels_.mixing(Convention.hrnet, other)[1].max() for other in Convention)
    assert round(worst) == IMAGE_PIXELS_OF_MIXING
