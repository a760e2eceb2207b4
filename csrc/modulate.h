// SPDX-License-Identifier: Apache-2.0
// Eq 11 and its released variant as one straight line, h' -> (h' - offset) scale. Mirrors
// `reference.modulate`.
#pragma once
#include <cmath>

#include "names.h"
#include "portable.h"

namespace dark {

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

// The value that becomes 0.
template <typename A>
DARK_SHARED A bottom_of(Rescale rule, const Range<A>& range) {
  switch (rule) {
    case Rescale::minmax: return range.bottom;
    case Rescale::max:
    case Rescale::none: return A(0);
  }
  __builtin_unreachable();
}

// Where the map is flat or the formula would divide by zero, turn it over or overflow, it stays as
// convolved.
template <typename A>
DARK_SHARED Line<A> rescaling(Rescale rule, const Range<A>& range) {
  const A infinity = static_cast<A>(INFINITY);
  const A bottom = bottom_of(rule, range), spread = range.top - bottom;
  const A largest = range.top > -bottom ? range.top : -bottom;
  const bool sound = range.highest > A(0) && range.highest < infinity &&
                     spread > kFlat<A> * largest && spread > A(0) && spread < infinity;
  if (rule == Rescale::none || !sound) return {A(0), A(1), true};
  return {bottom, range.highest / spread, false};
}

}  // namespace dark
