// SPDX-License-Identifier: Apache-2.0
// A target as its two one-dimensional factors, g(x, y) = row(y) column(x), for maps of any size: a
// block holds those of one tile of the map in shared memory. Mirrors `cpu/factors.h`.
#pragma once
#include "../targets.h"
#include "block.cuh"
#include "vector.cuh"

namespace dark {

constexpr int64_t kTile = 512;  // a map of up to 512 x 512 is one tile

inline Grid grid_for_targets(const TargetRule& rule, int64_t maps, int elements_of_vector,
                             int64_t element_bytes) {
  const int64_t factors = std::min(rule.width, kTile) + std::min(rule.height, kTile);
  const int threads = threads_for(rule.width * rule.height / elements_of_vector, 8, 64, 512);
  return {maps, threads, factors * element_bytes};
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

// N factors side by side, for one access to shared memory.
template <typename A, int N>
struct alignas(N * sizeof(A) < kVectorBytes ? N * sizeof(A) : kVectorBytes) Factors {
  A at[N];
};

// Calls use(load(x, y), x, y, g) for every N pixels of a map from (x, y) on, by the whole block,
// neighboring threads at neighboring pixels. g(i) is the target's value at pixel i of the N. Each
// thread loads several times before it uses anything, beyond the end of the map its last row again.
template <int N, typename A, typename Load, typename Use>
__device__ void for_each_vector(const Target<A>& target, const TargetRule& rule, Load&& load,
                                Use&& use) {
  constexpr int kInFlight = 4;
  const int map_width = static_cast<int>(rule.width), map_height = static_cast<int>(rule.height);
  const int tile = static_cast<int>(kTile);
  A *columns = shared_memory<A>(), *rows = columns + min(map_width, tile);
  for (int top = 0; top < map_height; top += tile) {
    for (int left = 0; left < map_width; left += tile) {
      const int height = min(map_height - top, tile), width = min(map_width - left, tile);
      __syncthreads();  // until the tile before has been read
      fill_factor(rows, top, height, target.center.y, rule);
      fill_factor(columns, left, width, target.center.x, rule);
      __syncthreads();
      Walk ahead(whole_block(), width / N), p = ahead;
      while (p.y < height) {
        decltype(load(0, 0)) loaded[kInFlight];
        DARK_UNROLL(kInFlight)
        for (int k = 0; k < kInFlight; ++k, ahead.next())
          loaded[k] = load(left + ahead.x * N, top + min(ahead.y, height - 1));
        DARK_UNROLL(kInFlight)
        for (int k = 0; k < kInFlight; ++k, p.next()) {
          // Not a break, which would nest the later loads in the earlier conditions.
          if (p.y >= height) continue;
          const auto column = *reinterpret_cast<const Factors<A, N>*>(columns + p.x * N);
          const A row = rows[p.y];
          use(loaded[k], left + p.x * N, top + p.y, [&](int i) { return row * column.at[i]; });
        }
      }
    }
  }
}

// Zeros in every pixel of a map of `size`: what joints that do not count get.
template <int N, typename T>
__device__ void clear_map(T* map, int size) {
  const T zeros[N] = {};
  for (int i = static_cast<int>(threadIdx.x) * N; i < size; i += static_cast<int>(blockDim.x) * N)
    store(map + i, zeros);
}

}  // namespace dark
