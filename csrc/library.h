// SPDX-License-Identifier: Apache-2.0
// Where kernels register. The CUDA sources are also built as ordinary C++ (DARK_EMULATED) and then
// register as the CPU kernels of a library of their own, torch.ops.dark_emulated, so that machines
// without a GPU can run and test them.
#pragma once
#include <torch/csrc/stable/library.h>

#ifdef DARK_EMULATED
#define DARK_LIBRARY(m) STABLE_TORCH_LIBRARY(dark_emulated, m)
#define DARK_CUDA_KERNELS(m) STABLE_TORCH_LIBRARY_IMPL(dark_emulated, CPU, m)
#else
#define DARK_LIBRARY(m) STABLE_TORCH_LIBRARY(dark, m)
#define DARK_CPU_KERNELS(m) STABLE_TORCH_LIBRARY_IMPL(dark, CPU, m)
#define DARK_CUDA_KERNELS(m) STABLE_TORCH_LIBRARY_IMPL(dark, CUDA, m)
#endif
