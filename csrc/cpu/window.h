// SPDX-License-Identifier: Apache-2.0
// The 5x5 values that a Taylor step is computed from, for a block of maps whose steps are computed
// together, a map in each lane.
#pragma once
#include "../step.h"
#include "blocks.h"
#include "elementary.h"
#include "reading.h"

namespace dark {

constexpr int kMaxSide = kStencil + kMaxTaps - 1;

// Of the 5x5, the axes and the diagonal neighbors.
constexpr bool in_stencil(int j, int i) {
  return j == kReach || i == kReach || ((j == 1 || j == 3) && (i == 1 || i == 3));
}

template <typename A>
struct Stencils {
  A values[kStencil][kStencil][kBlock];

  // Flat: there is no step from these.
  DARK_INLINE void clear() {
    for (auto& row : values)
      for (auto& value : row) std::fill_n(value, kBlock, A(1));
  }

  DARK_INLINE void steps(A max_shift, A (&dx)[kBlock], A (&dy)[kBlock]) const {
    for (int slot = 0; slot < kBlock; slot += kLanes<A>) {
      Vector<A> v[kStencil][kStencil];
      for (int j = 0; j < kStencil; ++j)
        for (int i = 0; i < kStencil; ++i) v[j][i] = load_as<Vector<A>>(values[j][i] + slot);
      const Point<Vector<A>> step = taylor_step(v, max_shift);
      store(dx + slot, step.x);
      store(dy + slot, step.y);
    }
  }
};

// The values round (x, y) as they are.
template <typename Reader, typename A = typename Reader::A>
DARK_INLINE void copy_window(const Reader& map, int64_t x, int64_t y, Stencils<A>& stencils,
                             int slot) {
  for (int j = 0; j < kStencil; ++j)
    for (int i = 0; i < kStencil; ++i)
      stencils.values[j][i][slot] = map.at(x - kReach + i, y - kReach + j);
}

// A vector of a row that may be narrower or lie outside the map: zeros there.
template <typename Reader, typename A = typename Reader::A>
DARK_INLINE Vector<A> any_row(const Reader& map, int64_t x, int64_t y) {
  if (y >= 0 && y < map.height && map.width >= kLanes<A>) return map.in_row(x, y);
  Vector<A> v{};
  for (int64_t i = 0; y >= 0 && y < map.height && i < map.width; ++i) v[i] = map.at(i, y);
  return v;
}

// The rows y - 2 to y + 2 of a map convolved down its columns, from column x - 2 - taps / 2 on.
template <typename A>
struct alignas(sizeof(Vector<A>)) Rows {
  static constexpr int n = kLanes<A>;
  static constexpr int kStride = n + kMaxSide / n * n + 2 * n;  // a vector to either side
  A values[kStencil][kStride];

  DARK_INLINE const A* row(int j) const { return values[j] + n; }

  // Zeros outside the map.
  template <int kTaps, typename Reader>
  DARK_INLINE void blur_columns(const Reader& map, const A* taps, int count, int64_t x, int64_t y) {
    const int taps_count = kTaps > 0 ? kTaps : count, side = kStencil + taps_count - 1;
    const int64_t left = x - side / 2, top = y - side / 2;
    if (left < 0 || left + side + n > map.width)
      for (auto& row : values)
        for (int i = 0; i < side + 2 * n; i += n) store(row + i, Vector<A>{});
    const int64_t right = std::min(map.width, left + side);
    for (int64_t begin = std::max<int64_t>(0, left); begin < right; begin += n) {
      const int64_t column = std::max<int64_t>(0, std::min(begin, map.width - n));
      Vector<A> window[kMaxSide], sums[kStencil] = {};
      if (top >= 0 && top + side <= map.height && map.width >= n) {
        for (int row = 0; row < side; ++row) window[row] = map.in_row(column, top + row);
      } else {
        for (int row = 0; row < side; ++row) window[row] = any_row(map, column, top + row);
      }
      for (int t = 0; t < taps_count; ++t)
        for (int j = 0; j < kStencil; ++j) sums[j] += taps[t] * window[j + t];
      for (int j = 0; j < kStencil; ++j) store(values[j] + n + (column - left), sums[j]);
    }
  }

  // What is left to do: along the rows.
  template <int kTaps>
  DARK_INLINE void blur_rows(const A* taps, int count, Stencils<A>& stencils, int slot) const {
    const int taps_count = kTaps > 0 ? kTaps : count;
    Vector<A, 8> sums[kStencil] = {};  // of which five are used
    for (int t = 0; t < taps_count; ++t)
      for (int j = 0; j < kStencil; ++j) sums[j] += taps[t] * load_as<Vector<A, 8>>(row(j) + t);
    for (int j = 0; j < kStencil; ++j)
      for (int i = 0; i < kStencil; ++i)
        if (in_stencil(j, i)) stencils.values[j][i][slot] = sums[j][i];
  }
};

// The values round each (x, y) convolved with the taps. kTaps is their number where it is known:
// then a window stays in registers.
template <int kTaps, typename Reader, typename A = typename Reader::A>
DARK_INLINE void blur_windows(const Reader* maps, const A* taps, int count, const int64_t* x,
                              const int64_t* y, const int* slots, int slots_count,
                              Stencils<A>& stencils) {
  Rows<A> rows[kBlock];
  for (int i = 0; i < slots_count; ++i)
    rows[i].template blur_columns<kTaps>(maps[slots[i]], taps, count, x[slots[i]], y[slots[i]]);
  for (int i = 0; i < slots_count; ++i)
    rows[i].template blur_rows<kTaps>(taps, count, stencils, slots[i]);
}

}  // namespace dark
