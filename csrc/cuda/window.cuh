// SPDX-License-Identifier: Apache-2.0
// From the maximum of a map to its coordinates: the sub-pixel step, then Eq 2. Only the window
// round the maximum is ever blurred, which is still in a cache: the released rescaling multiplies
// the map, which adds a constant to its logarithm, and constants have no derivative. (Eq 11 itself
// is in `modulate`.)
#pragma once
#include "../decode.h"
#include "find.cuh"

namespace dark {

// Shared memory of a team: the stencil's rows before they are convolved along themselves, and the
// stencil.
DARK_SHARED constexpr int window_elements(int taps_count) {
  return kStencil * (kStencil + taps_count - 1) + kStencil * kStencil;
}

// The pixels of column x from y = first on, weighted by the taps; zeros outside, which add nothing.
template <typename T, typename A = Arithmetic<T>>
__device__ A blur_down(const DecodeArguments<T>& a, const Map<T>& map, int x, int first) {
  const int below = static_cast<int>(map.height) - first;
  const int begin = first < 0 ? -first : 0, end = below < a.taps_count ? below : a.taps_count;
  A sum = 0;
  DARK_UNROLL(4)
  for (int t = begin; t < end; ++t) sum += a.taps[t] * map.at(x, first + t);
  return sum;
}

// The 5x5 values round (x, y) of the map convolved with the taps: down the columns first, then
// along the five rows, a thread for each value.
template <typename T, typename A = Arithmetic<T>>
__device__ const A (&blur_window(const DecodeArguments<T>& a, const Team& team, const Map<T>& map,
                                 int x, int y, A* scratch)) [kStencil][kStencil] {
  const int side = kStencil + a.taps_count - 1, reach = a.taps_count / 2;
  A *rows = scratch, *stencil = scratch + kStencil * side;
  for (int i = team.rank; i < kStencil * side; i += team.size) {
    const int column = x - kReach - reach + i % side;
    const bool inside = column >= 0 && column < map.width;
    rows[i] = inside ? blur_down(a, map, column, y - kReach - reach + i / side) : A(0);
  }
  team.sync();
  for (int i = team.rank; i < kStencil * kStencil; i += team.size) {
    const A* row = rows + i / kStencil * side + i % kStencil;
    A sum = 0;
    DARK_UNROLL(4)
    for (int t = 0; t < a.taps_count; ++t) sum += a.taps[t] * row[t];
    stencil[i] = sum;
  }
  team.sync();
  return *reinterpret_cast<const A(*)[kStencil][kStencil]>(stencil);
}

// Called by the whole team, for a pixel that all its threads know; the step is thread 0's alone.
template <typename T, typename A = Arithmetic<T>>
__device__ Point<A> step_from(const DecodeArguments<T>& a, const Team& team, const Map<T>& map,
                              int x, int y, A* scratch) {
  const int width = static_cast<int>(map.width), height = static_cast<int>(map.height);
  switch (a.method) {
    case Method::dark: {
      if (!taylor_fits(x, y, width, height)) return {0, 0};
      const A(&v)[kStencil][kStencil] = blur_window(a, team, map, x, y, scratch);
      return team.rank == 0 ? taylor_step(v, a.max_shift) : Point<A>{0, 0};
    }
    case Method::standard:
      if (!standard_fits(x, y, width, height)) return {0, 0};
      return standard_step(map.at(x - 1, y), map.at(x + 1, y), map.at(x, y - 1), map.at(x, y + 1));
    case Method::second_max: {
      if (width * height == 1) return {0, 0};
      const int second = find_strided(team, map, y * width + x).index;
      const Pixel p(second, width);
      return second_max_step<A>(p.x - x, p.y - y);
    }
    default: return {0, 0};
  }
}

template <typename T, typename A = Arithmetic<T>>
__device__ void refine_and_store(const DecodeArguments<T>& a, const Team& team, const Map<T>& map,
                                 int person, int joint, const Found<A>& found, A* scratch) {
  const Pixel p(found.index, map.width);
  const Peak<A> peak{found.value, found.index, found.index == kNan};
  Point<A> step{0, 0};
  if (can_step(peak)) step = step_from(a, team, map, p.x, p.y, scratch);
  if (team.rank == 0)
    a.store(person, joint, peak, {static_cast<A>(p.x) + step.x, static_cast<A>(p.y) + step.y});
}

}  // namespace dark
