# SPDX-License-Identifier: Apache-2.0
"""What a library asks of the process that loads it, read with binutils alone.

A library on torch's stable ABI serves every torch from its floor on: it refers to torch through C
functions only, and neither to Python nor to a CUDA runtime of some version.
"""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

# torch's C functions: those of AOTInductor and those of the stable headers.
SHIM = re.compile(r"(aoti_)?torch_\w+")
# Symbols of the system's libraries are versioned, torch's and Python's are not.
SYSTEM = re.compile(r"(GLIBC|GLIBCXX|CXXABI|GCC)_[\w.]+")
# Asked for by the compiler's start-up code, and null where nothing offers them.
STARTUP = {
    "__cxa_finalize",
    "__gmon_start__",
    "_ITM_deregisterTMCloneTable",
    "_ITM_registerTMCloneTable",
}


@dataclass(frozen=True)
class Symbol:
    name: str
    version: str  # empty for a symbol that has none


def undefined_symbols(library: Path) -> list[Symbol]:
    """Return what the library expects others to define."""
    lines = _run("nm", "-D", "--undefined-only", str(library)).splitlines()
    parts = [line.split()[-1].partition("@") for line in lines]
    return [Symbol(name, version.lstrip("@")) for name, _, version in parts]


def unstable_symbols(library: Path) -> list[str]:
    """Return the names that tie the library to one torch, Python or CUDA runtime."""
    return [
        symbol.name
        for symbol in undefined_symbols(library)
        if not (
            SYSTEM.fullmatch(symbol.version)
            or SHIM.fullmatch(symbol.name)
            or symbol.name in STARTUP
        )
    ]


def needed_libraries(library: Path) -> list[str]:
    """Return the names of the libraries that are loaded with this one."""
    return re.findall(r"\(NEEDED\).*\[(.+)\]", _run("readelf", "-d", str(library)))


def absolute_source_paths(library: Path) -> list[str]:
    """Return the absolute paths of source files that the library holds."""
    found = re.findall(rb"(?<![\w.+-])/[\x20-\x7e]+\.(?:cpp|cuh|cu|h)\b", library.read_bytes())
    return [path.decode() for path in found]


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
