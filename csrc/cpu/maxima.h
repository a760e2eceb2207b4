// SPDX-License-Identifier: Apache-2.0
// The local maxima of a map, its k highest. A row is looked at more closely only where something is
// above all that is left to beat: the threshold or, once k maxima are known, the lowest of them,
// which is before any that is as high and found later.
#pragma once
#include <algorithm>
#include <vector>

#include "../peaks.h"
#include "peaks.h"

namespace dark {

// A bit for each lane of what a comparison gave.
template <typename A>
DARK_INLINE unsigned bits_of(const IntegerVector<A>& lanes) {
  unsigned bits = 0;
#if defined(__SSE2__)
  Vector<A, kLanes<A> / 2> halves[2];
  std::memcpy(halves, &lanes, sizeof(lanes));
  for (int i = 0; i < 2; ++i) {
    if constexpr (std::is_same_v<A, float>)
      bits |= static_cast<unsigned>(__builtin_ia32_movmskps(halves[i])) << (4 * i);
    else
      bits |= static_cast<unsigned>(__builtin_ia32_movmskpd(halves[i])) << (2 * i);
  }
#else
  for (int i = 0; i < kLanes<A>; ++i) bits |= (lanes[i] != 0 ? 1u : 0u) << i;
#endif
  return bits;
}

// The highest k so far, in order; of a large k all of them, put in order at the end.
template <typename A>
class Highest {
 public:
  void start(const PeakRule<A>& rule) {
    k_ = rule.k;
    bar_ = rule.threshold;
    peaks_.clear();
  }
  // What is not above it need not be looked at.
  DARK_INLINE A bar() const { return bar_; }

  // A peak above the bar, found later than those before.
  void add(const Peak<A>& peak) {
    if (k_ > kInOrder || static_cast<int64_t>(peaks_.size()) < k_) peaks_.push_back(peak);
    if (k_ > kInOrder) return;
    size_t place = peaks_.size() - 1;
    for (; place > 0 && peak.value > peaks_[place - 1].value; --place)
      peaks_[place] = peaks_[place - 1];
    peaks_[place] = peak;
    if (static_cast<int64_t>(peaks_.size()) == k_) bar_ = peaks_.back().value;
  }
  const std::vector<Peak<A>>& in_order() {
    if (k_ <= kInOrder) return peaks_;
    std::stable_sort(peaks_.begin(), peaks_.end(),
                     [](const Peak<A>& a, const Peak<A>& b) { return a.value > b.value; });
    if (static_cast<int64_t>(peaks_.size()) > k_) peaks_.resize(k_);
    return peaks_;
  }

 private:
  static constexpr int64_t kInOrder = 128;

  std::vector<Peak<A>> peaks_;
  int64_t k_ = 0;
  A bar_ = 0;
};

// Whether nothing within the radius round (x, y) is before it: higher, or as high and earlier in
// row-major order. For maps at least as wide as a vector.
template <typename Reader, typename A = typename Reader::A>
DARK_INLINE bool is_maximum(const Reader& map, int64_t x, int64_t y, A value, int64_t radius) {
  using I = IntegerVector<A>;
  constexpr int64_t n = kLanes<A>;
  constexpr int64_t kLook = 8;  // distances from row y after which it is looked whether one is
  const int64_t left = std::max<int64_t>(0, x - radius);
  const int64_t right = std::min(map.width - 1, x + radius);
  for (int64_t first = left; first <= right; first += n) {
    const int64_t column = std::min(first, map.width - n);
    const I offset = lane_numbers<A>() + static_cast<Integer<A>>(column - x);
    const I inside = (offset >= static_cast<Integer<A>>(left - x)) &
                     (offset <= static_cast<Integer<A>>(right - x));
    const Vector<A> beside = map.in_row(column, y);
    I before = (beside > value) | ((beside == value) & (offset < 0));
    for (int64_t distance = 1; distance <= radius; ++distance) {
      const int64_t above = y - distance, below = y + distance;
      if (above < 0 && below >= map.height) break;
      if (above >= 0) before |= map.in_row(column, above) >= value;
      if (below < map.height) before |= map.in_row(column, below) > value;
      if (distance % kLook == 0 && bits_of<A>(before & inside) != 0) return false;
    }
    if (bits_of<A>(before & inside) != 0) return false;
  }
  return true;
}

constexpr int64_t kChunk = 64;  // pixels of a row, a bit each

// Calls f(column, vector, how far into it its first new pixel is) for a chunk of a row.
template <typename Reader, typename F>
DARK_INLINE void each_of_chunk(const Reader& map, int64_t begin, int64_t y, F&& f) {
  constexpr int64_t n = kLanes<typename Reader::A>;
  const int64_t end = std::min(map.width, begin + kChunk);
  for (int64_t first = begin; first < end; first += n) {
    const int64_t x = std::min(first, map.width - n);
    f(x, map.in_row(x, y), first - x);
  }
}

// The pixels of a chunk that are above the bar and that none beside them in x or y is above: of a
// row of equal ones the first, since flat maps are full of others.
template <typename Reader, typename A = typename Reader::A>
DARK_INLINE uint64_t candidates(const Reader& map, int64_t begin, int64_t y, A bar, bool beside) {
  const int64_t above = std::max<int64_t>(0, beside ? y - 1 : y);
  const int64_t below = std::min(map.height - 1, beside ? y + 1 : y);
  uint64_t bits = 0;
  each_of_chunk(map, begin, y, [&](int64_t x, const Vector<A>& v, int64_t skipped) DARK_LAMBDA {
    IntegerVector<A> lanes = v > bar;
    if (bits_of<A>(lanes) == 0) return;
    lanes &= (v >= map.in_row(x, above)) & (v >= map.in_row(x, below));
    if (beside && x > 0) lanes &= v > map.in_row(x - 1, y);
    if (beside && x + kLanes<A> < map.width) lanes &= v >= map.in_row(x + 1, y);
    bits |= uint64_t{bits_of<A>(lanes) >> skipped} << (x + skipped - begin);
  });
  return bits;
}

constexpr int64_t kMostTogether = 16;  // the largest radius

// The pixels of a chunk that nothing within the radius is above, all at a time, by the columns'
// highest values.
template <typename Reader, typename A = typename Reader::A>
DARK_INLINE uint64_t highest_within(const Reader& map, int64_t begin, int64_t y, int64_t radius) {
  constexpr int64_t n = kLanes<A>;
  const int64_t top = std::max<int64_t>(0, y - radius);
  const int64_t bottom = std::min(map.height - 1, y + radius);
  const int64_t left = std::max<int64_t>(0, begin - radius);
  const int64_t end = std::min(map.width, begin + kChunk);
  const int64_t right = std::min(map.width, end + radius), used = end - begin + 2 * radius;
  A room[kChunk + 2 * kMostTogether + 3 * n];
  A* values = room + n;  // column x's at x - begin + radius
  for (int64_t i = -n; i < used + n; i += n)
    store(values + i, broadcast(static_cast<A>(-INFINITY)));
  for (int64_t first = left; first < right; first += n) {
    const int64_t x = std::min(first, right - n);
    Vector<A> highest = map.in_row(x, top);
    for (int64_t row = top + 1; row <= bottom; ++row)
      highest = Higher()(map.in_row(x, row), highest);
    store(values + (x - begin + radius), highest);
  }
  uint64_t bits = 0;
  each_of_chunk(map, begin, y, [&](int64_t x, const Vector<A>& v, int64_t skipped) DARK_LAMBDA {
    Vector<A> highest = v;
    for (int64_t i = x - begin; i <= x - begin + 2 * radius; ++i)
      highest = Higher()(load_as<Vector<A>>(values + i), highest);
    const unsigned lanes = bits_of<A>(v == highest);
    bits |= uint64_t{lanes >> skipped} << (x + skipped - begin);
  });
  return bits;
}

template <typename Reader, typename A = typename Reader::A>
DARK_INLINE void search_row(const Reader& map, int64_t y, int64_t columns, int64_t radius,
                            Highest<A>& highest) {
  constexpr int kFew = 4;  // which are looked at one by one
  for (int64_t begin = 0; begin < map.width; begin += kChunk) {
    uint64_t bits = candidates(map, begin, y, highest.bar(), radius > 0);
    if (__builtin_popcountll(bits) > kFew && radius > 0 && radius <= kMostTogether)
      bits &= highest_within(map, begin, y, radius);
    for (; bits != 0; bits &= bits - 1) {
      const int64_t x = begin + __builtin_ctzll(bits);
      const A value = map.at(x, y);
      if (value > highest.bar() && is_maximum(map, x, y, value, radius))
        highest.add({value, y * columns + x, false});
    }
  }
}

// Looks for the maxima of a map at least as wide as a vector, whose first `columns` are numbered.
// False: it has a NaN.
template <typename Reader, typename A = typename Reader::A>
DARK_INLINE bool find_maxima(const Reader& map, int64_t columns, int64_t radius,
                             Highest<A>& highest) {
  int64_t next = 0;  // the first row that has not been looked at
  const auto look = [&](int64_t line, const Vector<A>& top) DARK_LAMBDA {
    if (bits_of<A>(top > highest.bar()) == 0) return;
    const int64_t begin = line * map.line_length(), end = begin + map.line_length();
    next = std::max(next, begin / map.width);
    for (; next < map.height && next * map.width < end; ++next)
      search_row(map, next, columns, radius, highest);
  };
  return is_finite<A>(scan(map, look).sum) || !has_nan(map);
}

// The same for maps that are narrower.
template <typename Reader, typename A = typename Reader::A>
bool find_maxima_of_narrow(const Reader& map, int64_t radius, Highest<A>& highest) {
  constexpr int64_t n = kLanes<A>;
  std::vector<A> wider(map.height * n, static_cast<A>(-INFINITY));
  for (int64_t y = 0; y < map.height; ++y)
    for (int64_t x = 0; x < map.width; ++x) wider[y * n + x] = map.at(x, y);
  return find_maxima(Plain<A>{wider.data(), n, map.height, false}, map.width, radius, highest);
}

}  // namespace dark
