// SPDX-License-Identifier: Apache-2.0
// The local maxima of a map, found by a block: its highest pixels within a radius, of equal ones
// the first, by cells that hold one at most; and their list, sorted.
#pragma once
#include "find.cuh"

namespace dark {

constexpr int kCellSide = 8;  // at most, so that a map has cells for many threads
constexpr int kAlone = 7;     // the largest radius within which a thread compares by itself

// Where local maxima are looked for. Two of them are more than `radius` apart in x or y.
struct PeakSearch {
  int width, height;  // of the maps
  int radius, side;   // side: of a cell
  Divisor columns;    // of cells
  int cells;

  PeakSearch(const Maps& maps, int64_t radius_)
      : width(static_cast<int>(maps.width)),
        height(static_cast<int>(maps.height)),
        radius(static_cast<int>(std::min(radius_, std::max(maps.width, maps.height)))),
        side(std::min(radius + 1, kCellSide)),
        columns(ceil_div(width, side)),
        cells(static_cast<int>(ceil_div(width, side) * ceil_div(height, side))) {}
};

// The values of a map in shared memory.
template <typename A>
struct Staged {
  const A* values;
  int width;

  __device__ A at(int x, int y) const { return values[y * width + x]; }
};

// The elements that they take, whole packs of them.
template <typename A>
DARK_SHARED constexpr int64_t staged_elements(int64_t size) {
  return ceil_div(size, kPack<A>) * kPack<A>;
}

// Copies a map, or its average with the flipped one, to `values` in shared memory: by packs of N,
// as `DenseMap` reads them, or pixel by pixel.
template <int N, bool kFlip, typename T, typename A = Arithmetic<T>>
__device__ void stage(const Team& team, const Map<T>& map, const Divisor& by_width, A* values) {
  const int width = static_cast<int>(map.width), height = static_cast<int>(map.height);
  if constexpr (N == 1) {
    for (Walk p(team, width); p.y < height; p.next()) values[p.y * width + p.x] = map.at(p.x, p.y);
  } else {
    using Dense = DenseMap<T, kFlip ? Partner::pack : Partner::none>;
    const Dense dense(map, by_width);
    DARK_UNROLL(4)
    for (int index = team.rank * N; index < width * height; index += team.size * N) {
      typename Dense::Loaded loaded;
      dense.load_at(index, loaded);
      for (int first = 0; first < N; first += kPack<A>) {
        A elements[kPack<A>];
        for (int i = 0; i < kPack<A>; ++i) elements[i] = Dense::value(loaded, first + i);
        store<kPack<A>>(values + index + first, elements);
      }
    }
  }
}

// The highest pixel of a cell.
template <typename A, typename Values>
__device__ Found<A> highest_of_cell(const PeakSearch& s, const Values& values, int cell) {
  const int row = s.columns.divide(cell), top = row * s.side;
  const int left = s.columns.rest(cell, row) * s.side;
  const int right = min(left + s.side, s.width), bottom = min(top + s.side, s.height);
  A highest = -static_cast<A>(INFINITY);
  int at = top * s.width + left;
  for (int y = top; y < bottom; ++y) {
    for (int x = left; x < right; ++x) {
      const A value = values.at(x, y);
      // A NaN stays, since nothing is above it.
      if (value > highest || value != value) {
        highest = value;
        at = y * s.width + x;
      }
    }
  }
  return found_at(highest, at);
}

// Whether a pixel within the radius round p comes before it. The team's threads take a column each
// and know of their own ones alone.
template <typename A, typename Values>
__device__ bool is_beaten(const Team& team, const PeakSearch& s, const Values& values, A value,
                          const Pixel& p) {
  const int left = max(p.x - s.radius, 0), right = min(p.x + s.radius, s.width - 1);
  const int top = max(p.y - s.radius, 0), bottom = min(p.y + s.radius, s.height - 1);
  for (int x = left + team.rank; x <= right; x += team.size) {
    const int behind = x < p.x ? p.y + 1 : p.y;  // the column's first pixel that is not before p
    bool beaten = false;
    for (int y = top; y <= bottom; ++y) {
      const A other = values.at(x, y);
      beaten |= other > value || (other == value && y < behind);
    }
    if (beaten) return true;
  }
  return false;
}

// Whether the lane's pixel, the highest of a cell, is a local maximum above the threshold. Called
// by a whole warp.
template <typename A, typename Values>
__device__ bool is_peak(const PeakSearch& s, const Values& values, const Divisor& by_width,
                        const Found<A>& found, A threshold) {
  bool peak = found.index != kNan && found.value > threshold;
  if (s.radius <= kAlone)
    return peak && !is_beaten({1, 0}, s, values, found.value, Pixel(found.index, by_width));
  const Team warp{kWarp, whole_block().lane()};
  for (unsigned open = __ballot_sync(kAllLanes, peak); open != 0; open &= open - 1) {
    const int lane = __ffs(static_cast<int>(open)) - 1;
    const A value = __shfl_sync(kAllLanes, found.value, lane);
    const Pixel p(__shfl_sync(kAllLanes, found.index, lane), by_width);
    const bool beaten = __any_sync(kAllLanes, is_beaten(warp, s, values, value, p));
    if (warp.rank == lane) peak = !beaten;
  }
  return peak;
}

// What the threads of a block keep, in an order that depends on nothing but their number.
template <typename A>
struct List {
  Found<A>* begin;
  int* of_warp;  // [warps of the block], in shared memory
  int count = 0;

  // Called by the whole block: appends what those that `keep` it have found.
  __device__ void add(const Team& block, const Found<A>& found, bool keep) {
    const unsigned kept = __ballot_sync(kAllLanes, keep);
    __syncthreads();  // until the counts before have been read
    if (block.lane() == 0) of_warp[block.warp()] = __popc(kept);
    __syncthreads();
    int place = count + __popc(kept & ((1u << block.lane()) - 1));
    for (int warp = 0; warp < block.warps(); ++warp) {
      if (warp < block.warp()) place += of_warp[warp];
      count += of_warp[warp];
    }
    if (keep) begin[place] = found;
  }
};

// The highest first, of equal ones the first of the map. Bitonic, each comparison in the same
// direction, so that what would stand behind the end need not exist: log n (log n + 1) / 2 steps,
// of n / 2 comparisons at most.
template <typename A>
__device__ void sort(const Team& team, Found<A>* found, int count) {
  for (unsigned run = 2; run / 2 < static_cast<unsigned>(count); run *= 2) {
    for (unsigned apart = run / 2; apart > 0; apart /= 2) {
      team.sync();
      for (unsigned nth = team.rank;; nth += team.size) {
        const unsigned rest = nth & (apart - 1), i = 2 * nth - rest;
        // A run's first step takes its sorted halves from their ends.
        const unsigned j = apart == run / 2 ? i - 2 * rest + run - 1 : i + apart;
        if (i >= static_cast<unsigned>(count)) break;
        if (j >= static_cast<unsigned>(count)) continue;
        const Found<A> a = found[i], b = found[j];
        if (b.value > a.value || (b.value == a.value && b.index < a.index)) {
          found[i] = b;
          found[j] = a;
        }
      }
    }
  }
  team.sync();
}

}  // namespace dark
