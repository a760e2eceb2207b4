// SPDX-License-Identifier: Apache-2.0
// The highest activation of a heatmap, and the rule where several are equally high. Mirrors
// `reference.highest`.
#pragma once
#include <cmath>
#include <cstdint>

#include "portable.h"

namespace dark {

constexpr int64_t kNoIndex = INT64_MAX;

// A map's highest value and the flat index where it stands. `nan` once a NaN has been met anywhere.
template <typename A>
struct Peak {
  A value;
  int64_t index;
  bool nan;
};

// Loses against every element of a map, -inf included.
template <typename A>
DARK_SHARED Peak<A> no_peak() {
  return {static_cast<A>(-INFINITY), kNoIndex, false};
}

// Ties go to the first index, so that the result depends neither on the order of the reduction nor
// on the device.
template <typename A>
DARK_SHARED Peak<A> higher(const Peak<A>& a, const Peak<A>& b) {
  const bool second = b.value > a.value || (b.value == a.value && b.index < a.index);
  return {second ? b.value : a.value, second ? b.index : a.index, a.nan || b.nan};
}

template <typename A>
DARK_SHARED Peak<A> higher(const Peak<A>& a, A value, int64_t index) {
  return higher(a, Peak<A>{value, index, value != value});
}

// A step is taken only from a peak that is one: neither an empty map nor an overflowed one has a
// place to refine.
template <typename A>
DARK_SHARED bool can_step(const Peak<A>& peak) {
  return peak.value > A(0) && peak.value < static_cast<A>(INFINITY);
}

}  // namespace dark
