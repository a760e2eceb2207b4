# SPDX-License-Identifier: Apache-2.0
"""The compiled library: what it depends on, how it fails to load, how it builds without nvcc."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

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


def test_library_errors_name_no_source_file() -> None:
    with pytest.raises(RuntimeError) as error:
        torch.ops.dark.decode(torch.zeros(2, 2), [])
    assert str(error.value).splitlines()[0].startswith("decode: heatmaps must be")
    assert not any(word in str(error.value) for word in (".cpp", ".cu", ".h:", str(ROOT)))


def compile_shared(source: Path, library: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    subprocess.run([compiler, "-shared", "-fPIC", source, "-o", library], check=True)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of darkpose_ext without its library."""
    ignored = shutil.ignore_patterns("*.so", "__pycache__")
    return Path(shutil.copytree(LIBRARY.parent, tmp_path / "darkpose_ext", ignore=ignored))


def import_error(package: Path) -> str:
    """Import the copy in a process of its own and return the message it fails with."""
    command = [sys.executable, "-c", "import darkpose_ext"]
    done = subprocess.run(command, cwd=package.parent, capture_output=True, text=True)
    assert done.returncode == 1
    kind, _, message = done.stderr.strip().splitlines()[-1].partition(": ")
    assert kind == "ImportError"
    return message


def test_import_without_the_library_says_how_to_build_it(package: Path) -> None:
    message = import_error(package)
    assert f"no file {package / '_C.so'}" in message and BUILD in message


def test_import_of_a_broken_library_says_how_to_build_it(package: Path) -> None:
    (package / "_C.so").write_bytes(b"not a library")
    message = import_error(package)
    assert "does not load under torch" in message and BUILD in message


def test_import_of_a_stale_library_names_what_it_lacks(package: Path, tmp_path: Path) -> None:
    source = tmp_path / "empty.c"
    source.touch()
    compile_shared(source, package / "_C.so")
    message = import_error(package)
    assert f"is stale: it has another {', '.join(OPS)}" in message and BUILD in message


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
