// SPDX-License-Identifier: Apache-2.0
// Marks the mathematics that CPU and CUDA kernels share.
#pragma once

#if defined(__CUDACC__)
#define DARK_SHARED __host__ __device__ __forceinline__
#else
#define DARK_SHARED inline
#endif
