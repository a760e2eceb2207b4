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

// How far apart rounding may put equal values, relative to them: half a unit in the last place for
// each of up to 63 products, in two directions. A map whose values are no further apart is flat:
// rescaling would blow noise up to a map.
template <typename A>
constexpr A kFlat = 64 * (sizeof(A) == 8 ? A(0x1p-52) : A(0x1p-23));

// Where the map is flat or the formula would divide by zero, turn it over or overflow, it stays as
// convolved.
template <typename A>
DARK_SHARED Line<A> rescaling(Rescale rule, const Range<A>& range) {
  const A infinity = static_cast<A>(INFINITY);
  const A bottom = rule == Rescale::minmax ? range.bottom : A(0);
  const A spread = range.top - bottom;
  const A largest = range.top > -bottom ? range.top : -bottom;
  const bool sound = range.highest > A(0) && range.highest < infinity &&
                     spread > kFlat<A> * largest && spread > A(0) && spread < infinity;
  if (rule == Rescale::none || !sound) return {A(0), A(1), true};
  return {bottom, range.highest / spread, false};
}

}  // namespace dark
