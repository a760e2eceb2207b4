// SPDX-License-Identifier: Apache-2.0
// A maximum with its index is not vectorized by any compiler; a maximum in lanes, then a search for
// it, is: 8 times faster on a map in cache.
#include "span.h"

#include <cmath>

// Function multiversioning needs glibc's ifunc, and GCC 12 for these names of instruction sets:
// elsewhere the one portable version is built.
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) && __GNUC__ >= 12
#define DARK_MULTIVERSION \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#define DARK_INLINE inline __attribute__((always_inline))
#else
#define DARK_MULTIVERSION
#define DARK_INLINE inline
#endif

namespace dark {
namespace {

constexpr int kLanes = 64;

template <typename A>
DARK_INLINE A highest(const A* values, int64_t count) {
  A best[kLanes], unordered[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) best[lane] = -INFINITY, unordered[lane] = 0;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const A v = values[i + lane];
      best[lane] = v > best[lane] ? v : best[lane];
      unordered[lane] = v == v ? unordered[lane] : v;
    }
  }
  for (int lane = 0; i < count; ++i, ++lane) {
    const A v = values[i];
    best[lane] = v > best[lane] ? v : best[lane];
    unordered[lane] = v == v ? unordered[lane] : v;
  }
  A top = best[0];
  for (int lane = 0; lane < kLanes; ++lane) {
    if (unordered[lane] != unordered[lane]) return unordered[lane];
    top = best[lane] > top ? best[lane] : top;
  }
  return top;
}

template <typename A>
DARK_INLINE A lowest(const A* values, int64_t count) {
  A best[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) best[lane] = INFINITY;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (int lane = 0; lane < kLanes; ++lane)
      best[lane] = values[i + lane] < best[lane] ? values[i + lane] : best[lane];
  for (int lane = 0; i < count; ++i, ++lane)
    best[lane] = values[i] < best[lane] ? values[i] : best[lane];
  A bottom = best[0];
  for (const A b : best) bottom = b < bottom ? b : bottom;
  return bottom;
}

// A block of sums stays in registers through all taps.
template <typename A>
DARK_INLINE void convolve_blocks(const A* in, int64_t stride, const A* taps, int64_t taps_count,
                                 A* out, int64_t count) {
  constexpr int kBlock = 16;
  int64_t i = 0;
  for (; i + kBlock <= count; i += kBlock) {
    A sum[kBlock] = {};
    for (int64_t t = 0; t < taps_count; ++t)
      for (int lane = 0; lane < kBlock; ++lane) sum[lane] += taps[t] * in[i + t * stride + lane];
    for (int lane = 0; lane < kBlock; ++lane) out[i + lane] = sum[lane];
  }
  for (; i < count; ++i) {
    A sum = 0;
    for (int64_t t = 0; t < taps_count; ++t) sum += taps[t] * in[i + t * stride];
    out[i] = sum;
  }
}

template <typename A>
DARK_INLINE int64_t first_index(A value, const A* values, int64_t count) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    int found = 0;
    for (int lane = 0; lane < kLanes; ++lane) found |= values[i + lane] == value;
    if (found) break;
  }
  while (i < count && values[i] != value) ++i;
  return i;
}

}  // namespace

DARK_MULTIVERSION float highest_of(const float* values, int64_t count) {
  return highest(values, count);
}
DARK_MULTIVERSION double highest_of(const double* values, int64_t count) {
  return highest(values, count);
}

DARK_MULTIVERSION float lowest_of(const float* values, int64_t count) {
  return lowest(values, count);
}
DARK_MULTIVERSION double lowest_of(const double* values, int64_t count) {
  return lowest(values, count);
}

DARK_MULTIVERSION void convolve(const float* in, int64_t stride, const float* taps,
                                int64_t taps_count, float* out, int64_t count) {
  convolve_blocks(in, stride, taps, taps_count, out, count);
}
DARK_MULTIVERSION void convolve(const double* in, int64_t stride, const double* taps,
                                int64_t taps_count, double* out, int64_t count) {
  convolve_blocks(in, stride, taps, taps_count, out, count);
}

DARK_MULTIVERSION int64_t first_index_of(float value, const float* values, int64_t count) {
  return first_index(value, values, count);
}
DARK_MULTIVERSION int64_t first_index_of(double value, const double* values, int64_t count) {
  return first_index(value, values, count);
}

}  // namespace dark
