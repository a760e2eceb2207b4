# SPDX-License-Identifier: Apache-2.0
"""Shim: CMake builds what `darkpose_ext` loads, setuptools packs it.

`_C.so`, the ops, serves every torch and Python; `_numpy`, the functions for NumPy, this Python.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Command, Extension, setup
from setuptools.command.build_ext import build_ext


class CMakeBuild(build_ext):
    def get_ext_filename(self, fullname: str) -> str:
        return fullname.replace(".", "/") + ".so"

    def build_extension(self, ext: Extension) -> None:
        options = os.environ.get("CMAKE_ARGS", "").split()
        _require_tools(options)
        prefix = Path(self.get_ext_fullpath(ext.name)).resolve().parents[1]
        # Not setuptools' temporary folder: the second build is incremental.
        build = Path(os.environ.get("DARK_BUILD_DIR", "build/native")).resolve()
        configure = [
            "cmake",
            "-S",
            ".",
            "-B",
            str(build),
            "-G",
            "Ninja",
            "-DCMAKE_BUILD_TYPE=Release",
        ]
        configure += [f"-DPython_EXECUTABLE={sys.executable}", f"-DCMAKE_INSTALL_PREFIX={prefix}"]
        subprocess.check_call(configure + options)
        subprocess.check_call(["cmake", "--build", str(build), "--target", "install"])


def _require_tools(options: list[str]) -> None:
    missing = [name for name in ("cmake", "ninja") if shutil.which(name) is None]
    for package, part in (("torch", "TORCH"), ("pybind11", "NUMPY")):
        wanted = f"-DDARK_{part}=OFF" not in options
        missing += [package] if wanted and importlib.util.find_spec(package) is None else []
    if missing:
        sys.exit(
            f"Building darkpose needs {' and '.join(missing)}: pip install {' '.join(missing)} "
            "(and build with --no-build-isolation, so that the build sees the installed torch)"
        )


class Develop(Command):
    """`python setup.py develop`; setuptools' own runs an isolated build that cannot see torch."""

    user_options: list[tuple[str, str, str]] = []

    def initialize_options(self) -> None: ...

    def finalize_options(self) -> None: ...

    def run(self) -> None:
        pip = [sys.executable, "-m", "pip", "install", "--no-build-isolation", "-e", "."]
        subprocess.check_call(pip)


setup(
    ext_modules=[Extension("darkpose_ext._C", [])],
    cmdclass={"build_ext": CMakeBuild, "develop": Develop},
)
