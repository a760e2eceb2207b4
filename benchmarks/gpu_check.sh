#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Everything that needs a GPU, in one run of under nine minutes: builds the library in place, runs
# the CUDA tests, watches the kernels with compute-sanitizer, times the ops against their goals, one
# person, networks end to end and a training step. For a machine with torch for CUDA, nvcc, cmake,
# ninja and pytest; needs no network. What needs a further package that is missing is left out, with
# a line that says so.
#
#   OUT=results-folder benchmarks/gpu_check.sh
#
# Writes $OUT/gpu_check.txt and the figures as $OUT/*-cuda.json. Every stage runs, whatever became of
# the ones before, in the time that is left; the exit status is 1 if one failed.
set -euo pipefail
cd "$(dirname "$0")/.."

limit=530 # seconds for everything
python=${PYTHON:-python3}
out=${OUT:-benchmarks/results}
mkdir -p "$out"
out=$(cd "$out" && pwd)
report=$out/gpu_check.txt
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=()
: > "$report"

say() { echo "$*" | tee -a "$report"; }

# stage NAME SECONDS LINES COMMAND...: runs the command, keeps the last lines of its output.
stage() {
  local name=$1 seconds=$2 lines=$3 status=0 begin=$SECONDS left=$((limit - SECONDS))
  shift 3
  if [ "$left" -lt 5 ]; then
    say "==== $name: not run, the time is used up"
    failed+=("$name")
    return
  fi
  timeout "$((seconds < left ? seconds : left))" "$@" > "$log" 2>&1 || status=$?
  say "==== $name: status $status after $((SECONDS - begin)) s"
  tail -n "$lines" "$log" | tee -a "$report"
  [ "$status" -eq 0 ] || failed+=("$name")
}

# sanitizer TOOL: not every machine lets it at its GPU, which is said and no failure.
sanitizer() {
  if ! command -v compute-sanitizer > /dev/null; then
    say "==== $1: not run, compute-sanitizer is missing"
    return
  fi
  local before=${#failed[@]}
  stage "$1" 50 15 env PYTORCH_NO_CUDA_MEMORY_CACHING=1 \
    compute-sanitizer --tool "$1" --error-exitcode 3 "$python" benchmarks/sanitize.py
  if grep -qi "device not supported" "$log"; then
    say "---- $1: not possible here, compute-sanitizer does not support this machine"
    failed=("${failed[@]:0:before}")
  fi
}

build() {
  cmake -S . -B build/gpu_check -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_CUDA_ARCHITECTURES=native -DDARK_NUMPY=OFF \
    -DPython_EXECUTABLE="$(command -v "$python")" -DCMAKE_INSTALL_PREFIX="$PWD" &&
    cmake --build build/gpu_check --target install
}
export -f build
export python PYTHONPATH="$PWD:$PWD/python" FAIL_WITHOUT_CUDA=1

# figures NAME SECONDS LINES [ARGUMENT...]: runs a script of this folder that writes figures.
figures() {
  local name=$1 seconds=$2 lines=$3
  shift 3
  stage "$name" "$seconds" "$lines" "$python" "benchmarks/$name.py" --device cuda \
    --json "$out/${name//_/-}-cuda.json" "$@"
}

stage machine 20 20 nvidia-smi
stage build 110 5 bash -c build
figures goals 75 45
figures gpu 30 20
figures end_to_end 90 40
# A test file whose packages are missing is an error, and no reason not to run the others.
stage tests 150 40 "$python" -m pytest tests -q -k cuda --continue-on-collection-errors
sanitizer memcheck
sanitizer racecheck
stage training 40 12 "$python" benchmarks/training.py --device cuda
figures scaling 25 40
if [ -f benchmarks/resources.py ]; then
  stage resources 20 60 "$python" benchmarks/resources.py
fi

if [ "${#failed[@]}" -gt 0 ]; then
  say "==== failed: ${failed[*]}"
  exit 1
fi
say "==== all stages passed"
