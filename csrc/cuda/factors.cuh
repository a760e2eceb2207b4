// SPDX-License-Identifier: Apache-2.0
// A target as its two one-dimensional factors, g(x, y) = row(y) column(x), for maps of any size: a
// block holds those of one tile of the map in shared memory. Mirrors `cpu/factors.h`.
#pragma once
#include "../targets.h"
#include "block.cuh"
#include "divide.cuh"
#include "pack.cuh"

namespace dark {

constexpr int kTile = 512;           // a map of up to 512 x 512 is one tile
constexpr int kFactorThreads = 512;  // of a block that takes a map, at most

// How the threads of a block share a map, packs of N pixels: a thread takes some of those below
// each other, so that of its target only the row's factor changes.
struct MapShare {
  Divisor joints;  // a block's number is person x joints + joint
  Divisor packs;   // of a tile's row
  int rows;        // that the block takes at once
  int threads;

  Grid grid(int64_t maps, const TargetRule& rule, int64_t element_bytes) const {
    const int64_t factors =
        std::min<int64_t>(rule.width, kTile) + std::min<int64_t>(rule.height, kTile);
    return {maps, threads, std::max<int64_t>(factors, kMaxThreads / kWarp) * element_bytes};
  }
};

// About a dozen packs for each thread, since a block's beginning costs as much as several of
// them; of the numbers of warps that come near to it the one that leaves the fewest threads idle.
inline MapShare share_map(const TargetRule& rule, int elements_of_pack) {
  const int64_t packs = std::min<int64_t>(rule.width, kTile) / elements_of_pack;
  const int64_t height = std::min<int64_t>(rule.height, kTile);
  const int64_t wanted = std::clamp<int64_t>(ceil_div(packs * height, 12 * kWarp),
                                             ceil_div(packs, kWarp), kFactorThreads / kWarp);
  int64_t best = wanted, fewest = INT64_MAX;  // turns of a thread x threads
  for (int64_t warps = wanted; warps <= std::min<int64_t>(2 * wanted, kFactorThreads / kWarp);
       ++warps) {
    const int64_t turns = ceil_div(height, warps * kWarp / packs) * warps;
    if (turns < fewest) {
      best = warps;
      fewest = turns;
    }
  }
  const int threads = static_cast<int>(best) * kWarp;
  return {Divisor(rule.joints), Divisor(packs), threads / static_cast<int>(packs), threads};
}

template <typename A>
__device__ Target<A> target_of(const TargetReader<A>& t, int person, int joint) {
  return make_target(t.joints, t.weights, t.transforms, person, joint, t.rule);
}

template <typename A>
__device__ void fill_factor(A* factor, int begin, int count, A center, const TargetRule& rule) {
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x))
    factor[i] = gaussian_factor(static_cast<A>(begin + i), center, static_cast<A>(rule.sigma),
                                rule.truncate);
}

// Those of N columns side by side, for one access to shared memory.
template <typename A, int N>
struct alignas(N * sizeof(A) < kPackBytes ? N * sizeof(A) : kPackBytes) ColumnFactors {
  A at[N];
};

// Calls use(load(x, y), x, y, g) for every N pixels of a map from (x, y) on, by the whole block,
// neighboring threads at neighboring pixels. g(i) is the target's value at pixel i of the N. Each
// thread loads several times before it uses anything, beyond the end of the map its last row again.
template <int N, typename A, typename Load, typename Use>
__device__ void for_each_pack(const MapShare& s, const Target<A>& target, const TargetRule& rule,
                              Load&& load, Use&& use) {
  constexpr int kInFlight = 4;
  const int map_width = static_cast<int>(rule.width), map_height = static_cast<int>(rule.height);
  const int rank = static_cast<int>(threadIdx.x), row = s.packs.divide(rank);
  const int column = s.packs.rest(rank, row) * N;
  A *columns = shared_memory<A>(), *rows = columns + min(map_width, kTile);
  for (int top = 0; top < map_height; top += kTile) {
    for (int left = 0; left < map_width; left += kTile) {
      const int height = min(map_height - top, kTile), width = min(map_width - left, kTile);
      if (top + left > 0) __syncthreads();  // until the tile before has been read
      fill_factor(rows, top, height, target.center.y, rule);
      fill_factor(columns, left, width, target.center.x, rule);
      __syncthreads();
      if (row >= s.rows || column >= width) continue;
      const auto of_columns = *reinterpret_cast<const ColumnFactors<A, N>*>(columns + column);
      for (int first = row; first < height; first += kInFlight * s.rows) {
        decltype(load(0, 0)) loaded[kInFlight];
        DARK_UNROLL(kInFlight)
        for (int k = 0; k < kInFlight; ++k)
          loaded[k] = load(left + column, top + min(first + k * s.rows, height - 1));
        DARK_UNROLL(kInFlight)
        for (int k = 0; k < kInFlight; ++k) {
          const int y = first + k * s.rows;
          // Not a break, which would nest the later loads in the earlier conditions.
          if (y >= height) continue;
          const A of_row = rows[y];
          use(loaded[k], left + column, top + y, [&](int i) { return of_row * of_columns.at[i]; });
        }
      }
    }
  }
}

// Calls f(x, y) for every N pixels of a map, by the whole block.
template <int N, typename F>
__device__ void for_each_place(const TargetRule& rule, F&& f) {
  const int height = static_cast<int>(rule.height);
  for (Walk p(whole_block(), static_cast<int>(rule.width) / N); p.y < height; p.next())
    f(p.x * N, p.y);
}

}  // namespace dark
