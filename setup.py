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

OPTIONS = os.environ.get("CMAKE_ARGS", "").split()
LIBRARIES = {"TORCH": "darkpose_ext._C", "NUMPY": "darkpose_ext._numpy"}  # by CMake's options
WANTED = {part: name for part, name in LIBRARIES.items() if f"-DDARK_{part}=OFF" not in OPTIONS}


class CMakeBuild(build_ext):
    """Builds all libraries at once. Each is named: an editable install keeps no others."""

    def get_ext_filename(self, fullname: str) -> str:
        if fullname == LIBRARIES["NUMPY"]:
            return super().get_ext_filename(fullname)
        return fullname.replace(".", "/") + ".so"

    def build_extensions(self) -> None:
        _require_tools()
        prefix = Path(self.get_ext_fullpath(self.extensions[0].name)).resolve().parents[1]
        # Not setuptools' temporary folder: the second build is incremental.
        build = Path(os.environ.get("DARK_BUILD_DIR", "build/native")).resolve()
        configure = ["cmake", "-S", ".", "-B", str(build), "-G", "Ninja"]
        configure += ["-DCMAKE_BUILD_TYPE=Release", f"-DCMAKE_INSTALL_PREFIX={prefix}"]
        # Anew each time: what pip isolates a build with is gone after it, and the folder may have
        # served another Python.
        configure += ["-U_Python_*", "-UPython_*", f"-DPython_EXECUTABLE={sys.executable}"]
        configure += [f"-DCMAKE_MAKE_PROGRAM={shutil.which('ninja')}"]
        subprocess.check_call(configure + OPTIONS)
        subprocess.check_call(["cmake", "--build", str(build), "--target", "install"])


def _require_tools() -> None:
    missing = [name for name in ("cmake", "ninja") if shutil.which(name) is None]
    packages = {"TORCH": "torch", "NUMPY": "pybind11"}
    missing += [packages[part] for part in WANTED if not importlib.util.find_spec(packages[part])]
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
    ext_modules=[Extension(name, []) for name in WANTED.values()],
    cmdclass={"build_ext": CMakeBuild, "develop": Develop},
)
