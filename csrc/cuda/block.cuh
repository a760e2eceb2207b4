// SPDX-License-Identifier: Apache-2.0
// What the threads of a block do together: walk over a map, and reduce what they found to one
// value.
#pragma once
#include <cstring>

#include "launch.cuh"

namespace dark {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffff;

// A thread's share of the pixels of a map: kThreads apart in row-major order, so that neighboring
// threads touch neighboring pixels. Steps without a division.
struct Walk {
  int64_t index, x, y;

  explicit __device__ Walk(int64_t width) : index(threadIdx.x), width_(width) {
    const int thread = static_cast<int>(threadIdx.x);
    // Any width above kThreads divides alike: 32-bit divisions will do.
    const int divisor = width > kThreads ? kThreads + 1 : static_cast<int>(width);
    x = thread % divisor;
    y = thread / divisor;
    step_x_ = kThreads % divisor;
    step_y_ = kThreads / divisor;
  }
  __device__ void next() {
    index += kThreads;
    x += step_x_;
    y += step_y_;
    if (x >= width_) {
      x -= width_;
      ++y;
    }
  }

 private:
  int64_t width_;
  int step_x_, step_y_;
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

// combine() over the values of all threads, given to all of them. The order depends on nothing but
// kThreads: the same bits in every run. To be called by the whole block; a barrier for it.
template <typename V, typename Combine>
__device__ V block_reduce(V value, Combine combine) {
  constexpr int kWarps = kThreads / kWarp;
  __shared__ V of_warp[kWarps];
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2)
    value = combine(value, shuffle_xor(value, lanes));
  __syncthreads();  // until the last reduction's results have been read
  if (threadIdx.x % kWarp == 0) of_warp[threadIdx.x / kWarp] = value;
  __syncthreads();
  value = of_warp[0];
  for (int warp = 1; warp < kWarps; ++warp) value = combine(value, of_warp[warp]);
  return value;
}

}  // namespace dark
