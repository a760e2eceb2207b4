// SPDX-License-Identifier: Apache-2.0
// Marks the mathematics that CPU and CUDA kernels share. Always inlined: on the CPU a function is
// compiled for the instruction set of the kernel that it becomes part of.
#pragma once

#if defined(__CUDACC__)
#define DARK_SHARED __host__ __device__ __forceinline__
#else
#define DARK_SHARED inline __attribute__((always_inline))
#endif
