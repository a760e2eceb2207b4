# SPDX-License-Identifier: Apache-2.0
"""Makes the folder that a visit to a GPU takes along: library, wheels, heatmaps, commit.

    python benchmarks/gpu_pack.py [FOLDER]     # needs nvcc, cmake, ninja, pip, a package registry

The library serves compute capability 9.0 alone; torch's stable ABI lets it load there under another
torch than it was built with. The wheels are of what a machine with torch may lack, for its Python.
`FOLDER/variants/*.so`, where there are any, are other builds to compare with; they stay.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import gpu_library, harness  # noqa: E402  from the folder this file is in

LIMIT = 40 << 20  # bytes
PYTHON = "3.12"
WHEELS = ("pycocotools", "jsonargparse", "typeshed_client", "docstring_parser")


def library(folder: Path) -> None:
    """Build `folder/_C.so`."""
    if not shutil.which("nvcc"):
        sys.exit("gpu_pack: the library needs nvcc, which is not on the PATH")
    build = gpu_library.ROOT / "build" / "gpu_pack"
    subprocess.run(gpu_library.configure("90-real", build), check=True)
    subprocess.run(["cmake", "--build", str(build), "--target", "_C"], check=True)
    shutil.copyfile(build / "_C.so", folder / "_C.so")


def wheels(folder: Path) -> None:
    """Download the wheels, without what they need: torch's machine has that."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", PYTHON, "--implementation", "cp", "-d", str(folder)]
    for glibc in ("2_17", "2_27", "2_28"):
        command += ["--platform", f"manylinux_{glibc}_x86_64"]
    subprocess.run([*command, "--platform", "manylinux2014_x86_64", *WHEELS], check=True)


def heatmaps(folder: Path) -> None:
    """Copy the predicted heatmaps, if DARKPOSE_DATA says where they are."""
    data = os.environ.get("DARKPOSE_DATA")
    if not data:
        print("without heatmaps: DARKPOSE_DATA does not name the folder of data")
        return
    for path in (Path(data) / "heatmaps").glob("*.npz"):
        shutil.copyfile(path, folder / path.name)


def size(folder: Path) -> int:
    """Return the bytes of all files, and print each."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        print(f"{path.stat().st_size / 2**20:8.2f} MiB  {path.relative_to(folder)}")
    return sum(path.stat().st_size for path in files)


def weigh(folder: Path, limit: int = LIMIT) -> None:
    """Print what the folder holds, and exit if that is too much to take along."""
    total = size(folder)
    print(f"{total / 2**20:8.2f} MiB  together, of at most {limit / 2**20:.0f}: {folder}")
    if total > limit:
        sys.exit(f"gpu_pack: {folder} is larger than {limit / 2**20:.0f} MiB")


def main() -> None:
    """Make the folder anew, but for its variants."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    default = gpu_library.ROOT / "build" / "gpu-visit"
    parser.add_argument("folder", type=Path, nargs="?", default=default)
    folder = parser.parse_args().folder
    for part in ("wheels", "data"):
        shutil.rmtree(folder / part, ignore_errors=True)
    (folder / "wheels").mkdir(parents=True)
    (folder / "data" / "heatmaps").mkdir(parents=True)
    library(folder)
    wheels(folder / "wheels")
    heatmaps(folder / "data" / "heatmaps")
    (folder / "commit").write_text(harness.commit() + "\n")
    weigh(folder)


if __name__ == "__main__":
    main()
