// SPDX-License-Identifier: Apache-2.0
// DARK_SHARED marks the mathematics that CPU and CUDA kernels share, DARK_INLINE what CPU kernels
// are put together from. Always inlined: on the CPU a function is compiled for the instruction set
// of the kernel that it becomes part of, and calls between instruction sets pass vectors
// differently.
#pragma once

#define DARK_INLINE inline __attribute__((always_inline))
#if defined(__CUDACC__)
#define DARK_SHARED __host__ __device__ __forceinline__
#else
#define DARK_SHARED DARK_INLINE
#endif
