// SPDX-License-Identifier: Apache-2.0
// Maxima and minima in which a NaN stays: one instruction where the GPU has it, from sm_80 on, of
// 16-bit numbers for two at a time.
#pragma once
#include "../modulate.h"
#include "block.cuh"
#include "pack.cuh"

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#define DARK_HAS_EXTREMES 1
#else
#define DARK_HAS_EXTREMES 0
#endif
// Those of the integers of a warp's lanes, which the emulator has, too.
#if defined(DARK_EMULATED) || DARK_HAS_EXTREMES
#define DARK_HAS_WARP_EXTREMES 1
#else
#define DARK_HAS_WARP_EXTREMES 0
#endif

namespace dark {

template <typename A>
__device__ A higher_or_nan(A a, A b) {
  return highest_or_nan(a, b);
}

template <typename A>
__device__ A lower_or_nan(A a, A b) {
  return lowest_or_nan(a, b);
}

#if DARK_HAS_EXTREMES
__device__ inline float higher_or_nan(float a, float b) {
  float higher;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(higher) : "f"(a), "f"(b));
  return higher;
}

__device__ inline float lower_or_nan(float a, float b) {
  float lower;
  asm("min.NaN.f32 %0, %1, %2;" : "=f"(lower) : "f"(a), "f"(b));
  return lower;
}

__device__ inline uint32_t higher_pair(Half, uint32_t a, uint32_t b) {
  uint32_t higher;
  asm("max.NaN.f16x2 %0, %1, %2;" : "=r"(higher) : "r"(a), "r"(b));
  return higher;
}

__device__ inline uint32_t higher_pair(BFloat16, uint32_t a, uint32_t b) {
  uint32_t higher;
  asm("max.NaN.bf16x2 %0, %1, %2;" : "=r"(higher) : "r"(a), "r"(b));
  return higher;
}
#endif

// Integers in the order of the numbers, with 0 and -0 alike, and back.
__device__ inline int in_order(float x) {
  const int bits = __float_as_int(x + 0.0f);
  return bits ^ (bits >> 31 & INT32_MAX);
}

__device__ inline float from_order(int order) {
  return __int_as_float(order ^ (order >> 31 & INT32_MAX));
}

template <typename A>
__device__ Range<A> wider(const Range<A>& a, const Range<A>& b) {
  return {highest_or_nan(a.highest, b.highest), lowest_or_nan(a.bottom, b.bottom),
          highest_or_nan(a.top, b.top)};
}

// The range of all lanes, given to each. A NaN stays in `top`.
template <typename A>
__device__ Range<A> range_of_warp(const Range<A>& range) {
#if DARK_HAS_WARP_EXTREMES
  if constexpr (std::is_same_v<A, float>) {
    const auto highest = [](int order) { return from_order(__reduce_max_sync(kAllLanes, order)); };
    // A NaN comes after all numbers here.
    const bool nan = range.top != range.top;
    return {highest(in_order(range.highest)), -highest(in_order(-range.bottom)),
            highest(nan ? INT32_MAX : in_order(range.top))};
  }
#endif
  return warp_reduce(range, wider<A>);
}

// Of the block, given to all of its threads.
template <typename A>
__device__ Range<A> range_of_block(const Range<A>& range, Range<A>* of_warp) {
  const A infinity = static_cast<A>(INFINITY);
  return block_reduce(
      range, Range<A>{-infinity, infinity, -infinity},
      [](const Range<A>& r) { return range_of_warp(r); }, of_warp);
}

// Of a pack's elements.
template <typename T, int N, typename A = Arithmetic<T>>
__device__ A highest_of(const Pack<T, N>& v) {
#if DARK_HAS_EXTREMES
  if constexpr (sizeof(T) == 2) {
    const uint32_t left = higher_pair(T{}, v.words.x, v.words.y);
    const uint32_t right = higher_pair(T{}, v.words.z, v.words.w);
    const uint32_t pair = higher_pair(T{}, left, right);
    T elements[2];
    std::memcpy(elements, &pair, sizeof(pair));
    return higher_or_nan(static_cast<A>(elements[0]), static_cast<A>(elements[1]));
  }
#endif
  A highest = static_cast<A>(v.at(0));
  for (int i = 1; i < N; ++i) highest = higher_or_nan(highest, static_cast<A>(v.at(i)));
  return highest;
}

}  // namespace dark
