// SPDX-License-Identifier: Apache-2.0
// A target as its two one-dimensional factors, g(x, y) = row(y) column(x), for maps of any size: a
// block holds those of one tile of the map in shared memory. Mirrors `cpu/factors.h`.
#pragma once
#include "../gaussian.h"
#include "block.cuh"

namespace dark {

constexpr int kTile = 512;  // a map of up to 512 x 512 is one tile

template <typename A>
__device__ void fill_factor(A* factor, int64_t begin, int count, A center, const TargetRule& rule) {
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads)
    factor[i] = gaussian_factor(static_cast<A>(begin + i), center, static_cast<A>(rule.sigma), rule.truncate);
}

// Calls f(x, y, g) for each pixel of a map, by the whole block, neighboring threads at neighboring
// pixels.
template <typename A, typename F>
__device__ void for_each_pixel(const Target<A>& target, const TargetRule& rule, F&& f) {
  __shared__ A columns[kTile], rows[kTile];
  for (int64_t top = 0; top < rule.height; top += kTile) {
    for (int64_t left = 0; left < rule.width; left += kTile) {
      const int64_t below = rule.height - top, right = rule.width - left;
      const int height = static_cast<int>(below < kTile ? below : kTile);
      const int width = static_cast<int>(right < kTile ? right : kTile);
      __syncthreads();  // until the tile before, maybe another map's, has been read
      fill_factor(rows, top, height, target.center.y, rule);
      fill_factor(columns, left, width, target.center.x, rule);
      __syncthreads();
      for (Walk p(width); p.y < height; p.next())
        f(left + p.x, top + p.y, rows[p.y] * columns[p.x]);
    }
  }
}

// Zeros in every pixel of a map of `size`: what joints that do not count get.
template <typename T>
__device__ void clear_map(T* map, int64_t size) {
  for (int64_t i = threadIdx.x; i < size; i += kThreads) map[i] = static_cast<T>(0.0f);
}

}  // namespace dark
