// SPDX-License-Identifier: Apache-2.0
// What the threads that share a map do together: walk over it, and reduce what they found to one
// value.
#pragma once
#include <cstring>

#include "launch.cuh"

namespace dark {

constexpr unsigned kAllLanes = 0xffffffff;

// The threads that work on one map: a warp of a block that holds several, or the whole block.
struct Team {
  int size, rank;

  __device__ void sync() const {
    if (size == kWarp)
      __syncwarp();
    else
      __syncthreads();
  }
  // Unsigned, for which a power of two divides in one instruction.
  __device__ int lane() const { return static_cast<int>(static_cast<unsigned>(rank) % kWarp); }
  __device__ int warps() const { return static_cast<int>(static_cast<unsigned>(size) / kWarp); }
  __device__ int warp() const { return static_cast<int>(static_cast<unsigned>(rank) / kWarp); }
};

__device__ inline Team whole_block() {
  return {static_cast<int>(blockDim.x), static_cast<int>(threadIdx.x)};
}

// A thread's share of the places of a map `width` wide: team.size apart in row-major order, so that
// neighboring threads touch neighboring places. Steps without a division.
struct Walk {
  int x, y;

  __device__ Walk(const Team& team, int width) : width_(width) {
    const unsigned rank = team.rank, size = team.size, columns = width;  // divide faster unsigned
    x = static_cast<int>(rank % columns);
    y = static_cast<int>(rank / columns);
    step_x_ = static_cast<int>(size % columns);
    step_y_ = static_cast<int>(size / columns);
  }
  __device__ void next() {
    x += step_x_;
    y += step_y_;
    if (x >= width_) {
      x -= width_;
      ++y;
    }
  }

 private:
  int width_, step_x_, step_y_;
};

// The value of the lane whose number differs in the bits of `lanes`, for any plain type.
template <typename V>
__device__ V shuffle_xor(const V& value, int lanes) {
  constexpr int kWords = sizeof(V) / sizeof(uint32_t);
  static_assert(sizeof(V) % sizeof(uint32_t) == 0 && std::is_trivially_copyable_v<V>);
  uint32_t words[kWords];
  std::memcpy(words, &value, sizeof(V));
  for (uint32_t& word : words) word = __shfl_xor_sync(kAllLanes, word, lanes);
  V other;
  std::memcpy(&other, words, sizeof(V));
  return other;
}

template <typename V, typename Combine>
__device__ V warp_reduce(V value, Combine combine) {
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2)
    value = combine(value, shuffle_xor(value, lanes));
  return value;
}

template <typename A>
__device__ A sum_of_warp(const A& value) {
  return warp_reduce(value, [](A a, A b) { return a + b; });
}

// What `of_lanes` makes of the values of a warp, of those of all threads of the block, given to all
// of them. The order depends on nothing but the block's size: the same bits in every run. A barrier
// for the block, which has room for a value of each of its warps in shared memory.
template <typename V, typename Reduce>
__device__ V block_reduce(V value, const V& neutral, Reduce of_lanes, V* of_warp) {
  const Team block = whole_block();
  value = of_lanes(value);
  if (block.size == kWarp) return value;
  __syncthreads();  // until what was here has been read
  if (block.lane() == 0) of_warp[block.warp()] = value;
  __syncthreads();
  value = neutral;
  if (block.lane() < block.warps()) value = of_warp[block.lane()];
  return of_lanes(value);
}

// Threads for the pieces of one map: enough loads in flight and little idle at its end.
constexpr int threads_for(int64_t pieces, int per_thread, int least, int most) {
  const int64_t warps = ceil_div(pieces, static_cast<int64_t>(per_thread) * kWarp);
  return static_cast<int>(std::clamp<int64_t>(warps * kWarp, least, most));
}

}  // namespace dark
