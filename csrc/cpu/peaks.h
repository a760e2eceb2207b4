// SPDX-License-Identifier: Apache-2.0
// The maximum of a map and where it first stands, in two steps. A maximum with its index vectorizes
// badly: `scan` keeps in each lane the line of the map in which it met its maximum, `find_peak`
// then searches the one line that holds the map's. The second step is all latency: done for a block
// of maps at a time, one map's hides behind the others'.
#pragma once
#include "../peak.h"
#include "reading.h"

namespace dark {

template <typename A>
struct Scan {
  Vector<A> best;
  IntegerVector<A> line;
  Vector<A> sum;  // of all values: tells cheaply that none is NaN
};

// For maps of kLanes pixels or more. Calls f(line, the highest value of each lane in it).
template <typename Reader, typename F, typename A = typename Reader::A>
DARK_INLINE Scan<A> scan(const Reader& map, F&& f) {
  using V = Vector<A>;
  const int64_t size = map.width * map.height, length = map.line_length();
  Scan<A> s{broadcast(static_cast<A>(-INFINITY)), {}, {}};
  IntegerVector<A> number{};
  for (int64_t line = 0; line * length < size; ++line, number += 1) {
    V top = broadcast(static_cast<A>(-INFINITY)), sum{};
    const auto add = [&](const V& v, int64_t) DARK_LAMBDA {
      top = Higher()(v, top);
      sum += v;
    };
    if ((line + 1) * length <= size)
      map.each_vector(line, length, add);
    else
      map.each_vector(line, size - line * length, add);
    s.sum += sum;
    s.line = top > s.best ? number : s.line;
    s.best = Higher()(top, s.best);
    f(line, top);
  }
  return s;
}

template <typename Reader, typename A = typename Reader::A>
DARK_INLINE Scan<A> scan(const Reader& map) {
  return scan(map, [](int64_t, const Vector<A>&) DARK_LAMBDA {});
}

template <typename Reader, typename A = typename Reader::A>
DARK_INLINE bool has_nan(const Reader& map) {
  for (int64_t y = 0; y < map.height; ++y)
    for (int64_t x = 0; x < map.width; ++x)
      if (map.at(x, y) != map.at(x, y)) return true;
  return false;
}

// Of a map without NaN.
template <typename Reader, typename A = typename Reader::A>
DARK_INLINE Peak<A> find_peak(const Reader& map, const Scan<A>& s) {
  using I = IntegerVector<A>;
  const int64_t size = map.width * map.height;
  const A value = across<A>(s.best, Higher());
  const I none = I{} + std::numeric_limits<Integer<A>>::max();
  const int64_t line = across<Integer<A>>(s.best == value ? s.line : none, Lower());
  const int64_t begin = line * map.line_length();
  const int64_t length = std::min(map.line_length(), size - begin);
  I first = none;
  const auto search = [&](const Vector<A>& v, int64_t x) DARK_LAMBDA {
    const I here = lane_numbers<A>() + static_cast<Integer<A>>(x);
    first = Lower()(v == value ? here : none, first);
  };
  map.each_vector(line, length, search);
  return {value, begin + across<Integer<A>>(first, Lower()), false};
}

// For smaller ones, and the second highest value: the maximum without the pixel at `except`.
template <typename Reader, typename A = typename Reader::A>
DARK_INLINE Peak<A> find_peak_slowly(const Reader& map, int64_t except = kNoIndex) {
  Peak<A> peak = no_peak<A>();
  for (int64_t y = 0, i = 0; y < map.height; ++y)
    for (int64_t x = 0; x < map.width; ++x, ++i)
      if (i != except) peak = higher(peak, map.at(x, y), i);
  return peak;
}

}  // namespace dark
