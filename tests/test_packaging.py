# SPDX-License-Identifier: Apache-2.0
"""What is packed: the sdist is the repository, and the wheel's packages lack no file of theirs."""

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {"python/darkpose/": "darkpose/", "darkpose_ext/": "darkpose_ext/"}


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    """The files that git tracks."""
    if not (ROOT / ".git").exists():
        pytest.skip("not in a git repository: this is an sdist")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return sorted(name for name in listed.stdout.splitlines() if (ROOT / name).exists())


@pytest.fixture(scope="module")
def checkout(tracked: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of them, and what builds and tests leave beside them."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in tracked:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    for left in (
        "darkpose_ext/_C.so",
        "build/native/_C.so",
        "docs/__pycache__/hooks.pyc",
        "runs/x",
    ):
        (folder / left).parent.mkdir(parents=True, exist_ok=True)
        (folder / left).touch()
    return folder


def setup(checkout: Path, *arguments: str) -> None:
    command = [sys.executable, "setup.py", "-q", *arguments]
    subprocess.run(command, cwd=checkout, check=True, capture_output=True)


def test_sdist_is_what_git_tracks(checkout: Path, tracked: list[str], tmp_path: Path) -> None:
    setup(checkout, "sdist", "--dist-dir", str(tmp_path))
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        names = [entry.name.partition("/")[2] for entry in archive if entry.isfile()]
    generated = re.compile(r"PKG-INFO|setup\.cfg|darkpose\.egg-info/.*")
    assert sorted(name for name in names if not generated.fullmatch(name)) == tracked


def test_packages_hold_every_file_of_theirs(
    checkout: Path, tracked: list[str], tmp_path: Path
) -> None:
    setup(checkout, "build_py", "--build-lib", str(tmp_path))
    built = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    of_packages = {
        name.replace(source, package, 1)
        for source, package in PACKAGES.items()
        for name in tracked
        if name.startswith(source)
    }
    assert any(name.endswith(".yaml") for name in of_packages)
    assert built == of_packages


def test_version_is_said_without_loading_torch() -> None:
    program = """
import atexit, sys
from darkpose.__main__ import main
atexit.register(lambda: print("torch" in sys.modules))
sys.argv = ["darkpose", "--version"]
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    said, loaded = done.stdout.splitlines()
    assert said == f"darkpose {importlib.metadata.version('darkpose')}" and loaded == "False"
