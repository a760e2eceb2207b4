// SPDX-License-Identifier: Apache-2.0
// Runs the source of a CUDA kernel on the CPU, so that machines without a GPU can test its
// indexing, reductions, tails, masks and barriers, also under the address sanitizer. What a kernel
// includes; behind it
// - `launch.h` has the limits of a launch,
// - `machine.h` the blocks, warps and threads, in a random order,
// - `warp.h` the operations of a warp, whose masks count,
// - `trace.cpp`, in a build of its own, a look at every access: races, alignment, bank conflicts,
// - `nudged.cpp`, in another, the roundings of a GPU.
// Dynamic shared memory has exactly the size that was asked for, and is poisoned before each block;
// there is none but that. It does not show speed, registers, or how memory is seen without barriers
// beyond what the orders of threads bring out. One-dimensional grids and blocks, as the kernels
// use.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "launch.h"
#include "machine.h"
#include "warp.h"

#ifdef __SANITIZE_THREAD__
// Inlines all that a kernel calls: a function's result, written into memory, would not be seen.
#define __global__ __attribute__((flatten))
#else
#define __global__
#endif
#define __device__
#define __grid_constant__
#define __launch_bounds__(...)
// Static shared memory counts against a launch's limits, unseen by the launch.
#define __shared__ _Pragma("GCC error \"a kernel's shared memory is dynamic: shared_memory()\"")

#define threadIdx (emulation::place().thread)
#define blockIdx (emulation::place().block)
#define blockDim (emulation::place().block_size)
#define gridDim (emulation::place().grid_size)

namespace emulation {

// kernel<<<blocks, threads, shared_bytes>>>(arguments...)
template <typename... Parameters, typename... Arguments>
void launch(Launch asked, void (*kernel)(Parameters...), const Arguments&... arguments) {
  asked.kernel = reinterpret_cast<const void*>(kernel);
  asked.parameter_bytes = parameter_bytes(kernel);
  run(asked, [&] { kernel(arguments...); });
}

template <typename To, typename From>
To bits_as(From value) {
  static_assert(sizeof(To) == sizeof(From));
  To bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

}  // namespace emulation

using std::max;
using std::min;

struct alignas(8) uint2 {
  uint32_t x, y;
};
struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) double2 {
  double x, y;
};

inline uint2 make_uint2(uint32_t x, uint32_t y) { return {x, y}; }
inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }

inline void __syncthreads() { emulation::block_barrier(); }

template <typename T>
T __ldg(const T* p) {
  emulation::check_alignment(p, alignof(T));
  return *p;
}

inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __clz(int bits) { return bits == 0 ? 32 : __builtin_clz(static_cast<unsigned>(bits)); }
inline unsigned __brev(unsigned bits) {
  unsigned reversed = 0;
  for (int i = 0; i < 32; ++i) reversed |= (bits >> i & 1) << (31 - i);
  return reversed;
}
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(uint64_t{a} * b >> 32);
}

inline int __float_as_int(float x) { return emulation::bits_as<int>(x); }
inline unsigned __float_as_uint(float x) { return emulation::bits_as<unsigned>(x); }
inline float __int_as_float(int x) { return emulation::bits_as<float>(x); }
inline float __uint_as_float(unsigned x) { return emulation::bits_as<float>(x); }

inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __frcp_rn(float x) { return 1 / x; }
inline float __fdividef(float a, float b) { return a / b; }  // a GPU rounds it less well
