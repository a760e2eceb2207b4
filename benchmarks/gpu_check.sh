#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Everything that needs a GPU, in two calls: first whether the kernels are right, then how fast.
#
#   benchmarks/gpu_check.sh --pack       # beforehand, without a GPU: what to take along
#   benchmarks/gpu_check.sh --dry-run    # beforehand: every stage on the CPU
#   OUT=folder benchmarks/gpu_check.sh 1 # at most 300 s: smoke test, tests, sanitizers, goals
#   OUT=folder benchmarks/gpu_check.sh 2 # at most 400 s: what failed again, profile, every figure
#
# Needs Python with torch; neither git nor a network. `gpu_visit.py` has the stages and says what
# they write, `README.md` what to type when.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH="$PWD:$PWD/python${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python3}" -u benchmarks/gpu_visit.py "$@"
