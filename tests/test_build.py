# SPDX-License-Identifier: Apache-2.0
"""The compiled library: what it depends on, how it fails to load, how it builds without nvcc."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import abi
from darkpose_ext._library import BUILD, LIBRARY, OPS

ROOT = Path(__file__).parents[1]
binutils = pytest.mark.skipif(
    not (shutil.which("nm") and shutil.which("readelf")), reason="binutils are missing"
)


@binutils
def test_library_refers_to_stable_symbols_only() -> None:
    assert abi.unstable_symbols(LIBRARY) == []


@binutils
def test_unstable_symbols_are_told_from_stable_ones(tmp_path: Path) -> None:
    # The test above would pass with a reader of symbols that sees none.
    names = ("_ZN3c104Test4callEv", "PyModule_Create2", "cudaLaunchKernel", "torch_fine")
    source = tmp_path / "calls.c"
    calls = "".join(f"void {name}(void); " for name in names)
    source.write_text(f"{calls}void f(void) {{ {''.join(f'{name}(); ' for name in names)}}}")
    library = tmp_path / "calls.so"
    compile_shared(source, library)
    assert sorted(abi.unstable_symbols(library)) == sorted(names[:3])


@binutils
def test_library_loads_libtorch_so_that_the_stream_of_a_cuda_torch_is_found() -> None:
    needed = abi.needed_libraries(LIBRARY)
    assert "libtorch.so" in needed
    assert not [name for name in needed if "cuda" in name or "python" in name]


def test_library_holds_no_absolute_source_path() -> None:
    assert abi.absolute_source_paths(LIBRARY) == []


def compile_shared(source: Path, library: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    subprocess.run([compiler, "-shared", "-fPIC", source, "-o", library], check=True)


IMPORT = """
import sys
for folder in sys.argv[1:]:
    sys.path.insert(0, folder)
    try:
        import darkpose_ext
    except ImportError as error:
        print(error)
    for name in [name for name in sys.modules if name.startswith("darkpose_ext")]:
        del sys.modules[name]
"""


def test_import_without_a_right_library_says_how_to_build_it(tmp_path: Path) -> None:
    ignored, libraries = shutil.ignore_patterns("*.so", "__pycache__"), {}
    for name in ("missing", "broken", "stale"):
        copy = shutil.copytree(LIBRARY.parent, tmp_path / name / "darkpose_ext", ignore=ignored)
        libraries[name] = Path(copy) / "_C.so"
    libraries["broken"].write_bytes(b"not a library")
    (tmp_path / "empty.c").touch()
    compile_shared(tmp_path / "empty.c", libraries["stale"])
    command = [sys.executable, "-c", IMPORT, *(str(tmp_path / name) for name in libraries)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    missing, broken, stale = done.stdout.splitlines()
    assert f"no file {libraries['missing']}" in missing
    assert f"{libraries['broken']} does not load under torch" in broken
    assert f"{libraries['stale']} is stale: it has another {', '.join(OPS)}" in stale
    assert all(BUILD in message for message in (missing, broken, stale))


def configure(build: Path, path: str, *options: str) -> None:
    """Configure the CMake build with this PATH, or skip where its tools are not on it."""
    missing = [tool for tool in ("cmake", "ninja", "c++") if shutil.which(tool, path=path) is None]
    if missing:
        pytest.skip(f"not found: {', '.join(missing)}")
    hidden = ("CUDACXX", "CUDA_HOME", "CUDA_PATH")
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    command = ["cmake", "-S", ROOT, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Debug"]
    command += [f"-DPython_EXECUTABLE={sys.executable}", *options]
    environment["PATH"] = path
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)


def path_without_nvcc() -> str:
    folders = os.environ["PATH"].split(os.pathsep)
    return os.pathsep.join(f for f in folders if not (Path(f) / "nvcc").exists())


def test_build_leaves_cuda_out_when_told_to(tmp_path: Path) -> None:
    configure(tmp_path, os.environ["PATH"], "-DDARK_CUDA=OFF", "-DDARK_NUMPY=OFF")
    assert ".cu" not in (tmp_path / "build.ninja").read_text()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is missing")
def test_build_serves_the_same_gpus_when_it_is_configured_again(tmp_path: Path) -> None:
    served = []
    for _ in range(2):
        configure(tmp_path, os.environ["PATH"], "-DDARK_NUMPY=OFF")
        served.append(set(re.findall(r"code=\[?\w+", (tmp_path / "build.ninja").read_text())))
    assert served[0] == served[1] and len(served[0]) > 1


@pytest.mark.slow
def test_build_without_nvcc_loads_and_has_no_cuda_kernels(tmp_path: Path) -> None:
    configure(tmp_path, path_without_nvcc(), "-DDARK_NUMPY=OFF")
    subprocess.run(["cmake", "--build", tmp_path], check=True, stdout=subprocess.DEVNULL)
    program = f"""
import torch
torch.ops.load_library({str(tmp_path / "_C.so")!r})
has = torch._C._dispatch_has_kernel_for_dispatch_key
print([has(f"dark::{{op}}", key) for op in {OPS!r} for key in ("CPU", "CUDA")])
squared = (torch.arange(7.0) - 3.25) ** 2
maps = torch.exp(-(squared + squared[:, None]) / 4)[None]
for taps in ([], [0.25, 0.5, 0.25]):  # unoptimized, what is not inlined is called
    print([round(x, 2) for x in torch.ops.dark.decode(maps, taps)[0][0].tolist()])
"""
    command = [sys.executable, "-c", program]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    kernels, plain, blurred = printed.splitlines()
    assert kernels == str([True, False] * len(OPS))
    assert plain == "[3.25, 3.25]" and blurred.startswith("[3.2")


def test_build_without_torch_makes_the_functions_for_numpy_alone(tmp_path: Path) -> None:
    configure(tmp_path, os.environ["PATH"], "-DDARK_TORCH=OFF")
    rules = (tmp_path / "build.ninja").read_text()
    assert "_numpy" in rules and "_C.so" not in rules and "-ltorch" not in rules
