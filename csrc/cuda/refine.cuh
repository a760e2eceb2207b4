// SPDX-License-Identifier: Apache-2.0
// From the maximum of a map to its coordinates, by one warp: the sub-pixel step, then Eq 2. Only
// the window round the maximum is ever blurred, which is still in a cache: the released rescaling
// multiplies the map, which adds a constant to its logarithm, and constants have no derivative.
// (Eq 11 itself is in `modulate`.)
#pragma once
#include "../decode.h"
#include "find.cuh"

namespace dark {

constexpr int kPlaces = kStencil * kStencil;  // of the stencil: one each for the lanes of a warp
constexpr int kBefore = kStencil - 1, kBehind = kStencil;  // zeros round the taps

// Shared memory of a warp: the taps, and the stencil's rows before they are convolved along
// themselves, the five values of a column side by side.
DARK_SHARED constexpr int window_elements(int taps_count) {
  return taps_count + kBefore + kBehind + kStencil * (kStencil + taps_count - 1);
}

// Goes down a column of a map, or of its average with the flipped one.
template <bool kFlip, typename T>
struct Column {
  const T *own, *flipped;
  int64_t row, flipped_row;

  // From pixel (x, y) on, which may be beside or above the map.
  __device__ Column(const Map<T>& map, int x, int y)
      : own(map.heatmap + x * map.column + y * map.row),
        flipped(map.flipped),
        row(map.row),
        flipped_row(map.flipped_row) {
    if constexpr (kFlip)
      flipped += mirrored_column(x, map.width, map.shift) * map.flipped_column + y * flipped_row;
  }
  __device__ Arithmetic<T> value() const {
    using A = Arithmetic<T>;
    const A value = static_cast<A>(*own);
    if constexpr (kFlip) return A(0.5) * (value + static_cast<A>(*flipped));
    return value;
  }
  __device__ void next() {
    own += row;
    if constexpr (kFlip) flipped += flipped_row;
  }
};

// The 5x5 values round (x, y) of the map convolved with the taps, zeros outside of it: to lane
// 5 j + i value (i, j). Down the columns first, a lane for each, then along the five rows.
template <bool kFlip, typename T, typename A = Arithmetic<T>>
__device__ A blur_window(const DecodeArguments<T>& a, const Map<T>& map, int x, int y, A* scratch) {
  const int lane = whole_block().lane(), count = a.taps_count, side = kStencil + count - 1;
  const int left = x - side / 2, top = y - side / 2;
  const int width = static_cast<int>(map.width), height = static_cast<int>(map.height);
  A *taps = scratch, *rows = scratch + count + kBefore + kBehind;
  DARK_UNROLL(1)
  for (int t = lane; t < count + kBefore + kBehind; t += kWarp)
    taps[t] = t >= kBefore && t < count + kBefore ? a.taps[t - kBefore] : A(0);
  __syncwarp();
  // The columns of a narrow window fill half a warp: each half takes half of the rows.
  const bool halves = side <= kWarp / 2;
  const int turns = halves ? (side + 1) >> 1 : side, first_row = halves ? (lane >> 4) * turns : 0;
  DARK_UNROLL(1)
  for (int first = 0; first < side; first += kWarp) {
    const int nth = first + (halves ? lane & 15 : lane);
    const bool inside = nth < side && left + nth >= 0 && left + nth < width;
    // The three pixels at each corner reach no value that the step is computed from. They are left
    // out, since the zeros round the taps would make NaN of an infinity.
    const int cut = max(2 - min(nth, side - 1 - nth), 0);
    const int begin = max(cut, -top), end = min(side - cut, height - top);
    const unsigned rows_inside = inside && begin < end ? end - begin : 0;
    Column<kFlip, T> column(map, left + nth, top + first_row);
    A sums[kStencil] = {};
    DARK_UNROLL(4)
    for (int turn = 0; turn < turns; ++turn, column.next()) {
      const int i = first_row + turn;
      const A value = static_cast<unsigned>(i - begin) < rows_inside ? column.value() : A(0);
      for (int j = 0; j < kStencil; ++j) sums[j] += taps[kBefore + i - j] * value;
    }
    for (int j = 0; j < kStencil; ++j) {
      if (halves) sums[j] += shuffle_xor(sums[j], kWarp / 2);
      if (first_row == 0 && nth < side) rows[nth * kStencil + j] = sums[j];
    }
  }
  __syncwarp();
  const int place = min(lane, kPlaces - 1);
  const A *tap = taps + kBefore, *row = rows + place % kStencil * kStencil + place / kStencil;
  A value = *tap * *row;
  DARK_UNROLL(1)
  for (int pairs = count >> 1; pairs > 0; --pairs, tap += 2, row += 2 * kStencil)
    value += tap[1] * row[kStencil] + tap[2] * row[2 * kStencil];
  return value;
}

// Lane by lane, five bits for each: a place of the stencil.
template <int N>
DARK_SHARED constexpr uint64_t places(const int (&list)[N][2]) {  // of (i, j)
  uint64_t packed = 0;
  for (int n = 0; n < N; ++n)
    packed |= static_cast<uint64_t>(kStencil * list[n][1] + list[n][0]) << 5 * n;
  return packed;
}

// Which values the step is computed from, a bit for each: the axes and the diagonal neighbors.
DARK_SHARED constexpr unsigned stencil_mask() {
  unsigned mask = 0;
  for (int j = 0; j < kStencil; ++j)
    for (int i = 0; i < kStencil; ++i)
      if (j == kReach || i == kReach || (j % 2 == 1 && i % 2 == 1))
        mask |= 1u << (kStencil * j + i);
  return mask;
}

// Eq 9 from the values that the lanes have, `Logarithms` seven lanes at once: of the products
// (a / b) (c / d).
template <typename A>
__device__ Point<A> taylor_step_of_warp(A value, A max_shift) {
  constexpr int kCount = 7;
  constexpr unsigned kMask = stencil_mask();
  constexpr uint64_t kA = places({{3, 2}, {1, 2}, {2, 3}, {2, 1}, {4, 2}, {2, 4}, {3, 3}});
  constexpr uint64_t kB = places({{2, 2}, {2, 2}, {2, 2}, {2, 2}, {2, 2}, {2, 2}, {3, 1}});
  constexpr uint64_t kC = places({{2, 2}, {2, 2}, {2, 2}, {2, 2}, {0, 2}, {2, 0}, {1, 1}});
  constexpr uint64_t kD = places({{2, 2}, {2, 2}, {2, 2}, {2, 2}, {2, 2}, {2, 2}, {1, 3}});
  const int shift = 5 * min(whole_block().lane(), kCount - 1);
  const auto at = [&](uint64_t places) {
    return __shfl_sync(kAllLanes, value, static_cast<int>(places >> shift & 31));
  };
  const A a = at(kA), b = at(kB), c = at(kC), d = at(kD);
  const A log = Elementary<A>::log((a / b) * (c / d));
  const auto of_lane = [&](int lane) { return __shfl_sync(kAllLanes, log, lane); };
  const Logarithms<A> logs{of_lane(0), of_lane(1), of_lane(2), of_lane(3),
                           of_lane(4), of_lane(5), of_lane(6)};
  const unsigned enough = __ballot_sync(kAllLanes, value > static_cast<A>(kLowest));
  return (enough & kMask) == kMask ? taylor_step(logs, max_shift) : Point<A>{0, 0};
}

// Called by a whole warp, for a pixel that all its lanes know. `second` is the second highest pixel
// for the method that steps towards it.
template <bool kFlip, typename T, typename A = Arithmetic<T>>
__device__ Point<A> step_from(const DecodeArguments<T>& a, const Map<T>& map, const Pixel& p,
                              const Divisor& by_width, const Found<A>& second, A* scratch) {
  const int width = static_cast<int>(map.width), height = static_cast<int>(map.height);
  switch (a.method) {
    case Method::argmax: break;
    case Method::dark:
      if (!taylor_fits(p.x, p.y, width, height)) break;
      return taylor_step_of_warp(blur_window<kFlip>(a, map, p.x, p.y, scratch), a.max_shift);
    case Method::standard:
      if (!standard_fits(p.x, p.y, width, height)) break;
      return standard_step(map.at(p.x - 1, p.y), map.at(p.x + 1, p.y), map.at(p.x, p.y - 1),
                           map.at(p.x, p.y + 1));
    case Method::second_max: {
      if (width * height == 1) break;
      const Pixel other(second.index, by_width);
      return second_max_step<A>(other.x - p.x, other.y - p.y);
    }
  }
  return {0, 0};
}

template <bool kFlip, typename T, typename A = Arithmetic<T>>
__device__ void refine_and_store(const DecodeArguments<T>& a, const Map<T>& map,
                                 const Divisor& by_width, int person, int64_t index,
                                 const Found<A>& found, const Found<A>& second, A* scratch) {
  const Pixel p(found.index, by_width);
  const Peak<A> peak{found.value, found.index, found.index == kNan};
  Point<A> step{0, 0};
  if (can_step(peak)) step = step_from<kFlip>(a, map, p, by_width, second, scratch);
  if (whole_block().lane() == 0)
    a.store(person, index, peak, {static_cast<A>(p.x) + step.x, static_cast<A>(p.y) + step.y});
}

}  // namespace dark
