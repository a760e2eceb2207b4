# Everything a fresh machine needs: Python 3.10 or newer, a C++ compiler, a package registry.
#   make demo    trains and evaluates on synthetic people, about five minutes on two CPU cores
#   make test    builds, then runs every test
# An installed torch of 2.10 or later is used if there is one; else TORCH_SPEC is installed.
PYTHON ?= python3
TORCH_SPEC ?= torch==2.13.0
VENV ?= .venv
BIN := $(abspath $(VENV))/bin
export PATH := $(BIN):$(PATH)
EMULATED := build/emulated
EXTRA ?= test
SOURCES := $(wildcard csrc/* csrc/cpu/* csrc/cuda/*) CMakeLists.txt setup.py pyproject.toml

.PHONY: setup build demo test bench check format types clean
.DELETE_ON_ERROR:

setup: $(VENV)/ready-$(EXTRA)

$(VENV)/torch:
	@if $(PYTHON) -c 'import sys, torch; sys.exit(tuple(map(int, torch.__version__.split(".")[:2])) < (2, 10))' 2>/dev/null; \
	  then echo "using the installed torch"; $(PYTHON) -m venv --system-site-packages $(VENV); \
	  else $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install -q "$(TORCH_SPEC)"; fi
	@touch $@

$(VENV)/ready-$(EXTRA): $(VENV)/torch pyproject.toml
	$(BIN)/python -m pip install -q "setuptools>=77" wheel "cmake>=3.24" ninja numpy
	$(BIN)/python -m pip install -q --no-build-isolation -e ".[$(EXTRA)]"
	@touch $@

# Incremental, unlike pip's builds.
build: darkpose_ext/_C.so

darkpose_ext/_C.so: $(SOURCES) | setup
	$(BIN)/python setup.py -q build_ext --inplace
	@touch $@

# The CUDA kernels' own source as C++, for machines without a GPU.
$(EMULATED)/_emulated.so: $(SOURCES) $(wildcard tests/emulation/*) | setup
	cmake -S . -B $(EMULATED) -G Ninja -DCMAKE_BUILD_TYPE=Release -DDARK_CUDA=OFF \
	  -DDARK_EMULATED=ON -DPython_EXECUTABLE=$(BIN)/python
	cmake --build $(EMULATED) --target _emulated

demo: setup build
	$(BIN)/darkpose demo

test: setup build $(EMULATED)/_emulated.so
	DARKPOSE_EMULATED=$(abspath $(EMULATED)/_emulated.so) $(BIN)/python -m pytest

bench: setup build
	$(BIN)/python benchmarks/ops.py
	$(BIN)/python -m pytest benchmarks/bench_peers.py --benchmark-columns=median,iqr

# Formatting, lint and types: what pre-commit runs too.
check: EXTRA := dev
check:
	$(MAKE) setup EXTRA=dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror $$(git ls-files 'csrc/*' 'tests/emulation/*')

clean:
	rm -rf build $(VENV) darkpose_ext/_C.so
