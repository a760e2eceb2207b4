# SPDX-License-Identifier: Apache-2.0
"""Puts the kernels' library where `darkpose_ext` loads it, and makes sure that it serves this GPU.

    python benchmarks/gpu_library.py load FOLDER    # the one that was built beforehand
    python benchmarks/gpu_library.py build          # built here, for this GPU alone

FOLDER is what `gpu_check.sh --pack` made. Its wheels are unpacked where this machine lacks their
packages. Exits with 1 and the reason where the library does not serve.
"""

import argparse
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "darkpose_ext" / "_C.so"
PACKAGES = ROOT / "build" / "gpu_check" / "packages"  # on PYTHONPATH during a visit
PACKED_FOR = (9, 0)  # compute capability: H100, H200


def unpack(wheels: Path, packages: Path) -> list[str]:
    """Unpack the wheels of packages that are missing here; a wheel imports once it is unpacked."""
    unpacked = []
    for wheel in sorted(wheels.glob("*.whl")):
        name = wheel.name.partition("-")[0]
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            with zipfile.ZipFile(wheel) as file:
                file.extractall(packages)
            unpacked.append(name)
    return unpacked


def load(folder: Path) -> None:
    """Take the library along in `folder`, if it was built for this GPU."""
    import torch

    packed = folder / "_C.so"
    if not packed.exists():
        sys.exit(f"no library was taken along: there is no {packed}")
    if not torch.cuda.is_available():
        sys.exit("torch finds no CUDA device")
    if (mine := torch.cuda.get_device_capability()) != PACKED_FOR:
        sys.exit(f"the library taken along serves compute capability {PACKED_FOR}, not {mine}")
    shutil.copyfile(packed, LIBRARY.with_suffix(".new"))
    LIBRARY.with_suffix(".new").replace(LIBRARY)  # another process may have the old one mapped


def configure(architecture: str, build: Path) -> list[str]:
    """Return the command that configures a build of the library for one architecture."""
    options = {
        "CMAKE_BUILD_TYPE": "Release",
        "CMAKE_CUDA_ARCHITECTURES": architecture,
        "CMAKE_CUDA_FLAGS": "-lineinfo",  # for the sanitizers and the profiler
        "CMAKE_INSTALL_PREFIX": ROOT,
        "DARK_NUMPY": "OFF",
        "Python_EXECUTABLE": sys.executable,
    }
    return [
        *("cmake", "-S", str(ROOT), "-B", str(build), "-G", "Ninja"),
        *(f"-D{name}={value}" for name, value in options.items()),
    ]


def build() -> None:
    """Build the library for this GPU and install it."""
    import torch

    if not torch.cuda.is_available():
        sys.exit("torch finds no CUDA device")
    major, minor = torch.cuda.get_device_capability()
    folder = ROOT / "build" / "gpu_check" / "library"
    subprocess.run(configure(f"{major}{minor}-real", folder), check=True)
    subprocess.run(["cmake", "--build", str(folder), "--target", "install"], check=True)


def check(device: str) -> None:
    """Import what was put there, and launch one kernel."""
    import torch

    import darkpose_ext  # noqa: F401  loads the library

    print(f"torch {torch.__version__}, CUDA {torch.version.cuda}, {LIBRARY}")
    if not torch._C._dispatch_has_kernel_for_dispatch_key("dark::decode", device.upper()):
        sys.exit(f"the library has no kernels for {device}: it was built without nvcc")
    if device == "cuda":
        print(torch.cuda.get_device_name())
    coords, _ = torch.ops.dark.decode(torch.zeros(1, 1, 8, 8, device=device), [])
    if coords.cpu().abs().max() != 0:
        sys.exit("decode of an empty map is wrong")


def main() -> None:
    """Load or build, then check."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("how", choices=("load", "build", "check"))
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "build" / "gpu-visit")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    options = parser.parse_args()
    if options.device == "cuda":
        print("unpacked:", ", ".join(unpack(options.folder / "wheels", PACKAGES)) or "nothing")
    if options.how == "load":
        load(options.folder)
    elif options.how == "build":
        build()
    check(options.device)


if __name__ == "__main__":
    main()
