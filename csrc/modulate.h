// SPDX-License-Identifier: Apache-2.0
// Eq 11 and its released variant as one straight line, h' -> (h' - offset) scale. Mirrors
// `reference.modulate`.
#pragma once
#include <cmath>
#include <string>

#include "portable.h"

namespace dark {

enum class Rescale { minmax, max, none };

inline Rescale parse_rescale(const std::string& rescale) {
  if (rescale == "minmax") return Rescale::minmax;
  return rescale == "max" ? Rescale::max : Rescale::none;
}

template <typename A>
DARK_SHARED A highest_or_nan(A a, A b) {
  return b > a || b != b ? b : a;
}

template <typename A>
DARK_SHARED A lowest_or_nan(A a, A b) {
  return b < a || b != b ? b : a;
}

// The highest value of a map, and the highest and lowest of the convolved one.
template <typename A>
struct Range {
  A highest, bottom, top;
};

template <typename A>
struct Line {
  A offset, scale;
  bool identity;
  DARK_SHARED A operator()(A value) const { return identity ? value : (value - offset) * scale; }
};

// Where the formula would divide by zero, turn the map over or overflow, the map stays as
// convolved.
template <typename A>
DARK_SHARED Line<A> rescaling(Rescale rule, const Range<A>& range) {
  const A infinity = static_cast<A>(INFINITY);
  const A bottom = rule == Rescale::minmax ? range.bottom : A(0);
  const A spread = range.top - bottom;
  const bool sound =
      range.highest > A(0) && range.highest < infinity && spread > A(0) && spread < infinity;
  if (rule == Rescale::none || !sound) return {A(0), A(1), true};
  return {bottom, range.highest / spread, false};
}

}  // namespace dark
