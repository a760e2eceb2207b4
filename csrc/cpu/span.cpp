// SPDX-License-Identifier: Apache-2.0
// A maximum with its index is not vectorized by any compiler; a maximum in lanes, then a search for
// it, is: 8 times faster on a map in cache.
#include "span.h"

#include <cmath>

// Function multiversioning needs GNU's ifunc: elsewhere the one portable version is built.
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__gnu_linux__)
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

DARK_MULTIVERSION int64_t first_index_of(float value, const float* values, int64_t count) {
  return first_index(value, values, count);
}
DARK_MULTIVERSION int64_t first_index_of(double value, const double* values, int64_t count) {
  return first_index(value, values, count);
}

}  // namespace dark
