// SPDX-License-Identifier: Apache-2.0
// decode: the maximum of each map (Eq 1 to 9) and its sub-pixel step, then Eq 2. A block reads its
// map once. Only the window round the maximum is ever blurred, which is still in the L1 cache: the
// released rescaling multiplies the map, which adds a constant to its logarithm, and constants have
// no derivative. (Eq 11 itself is in `modulate`.)
#include "../decode.h"
#include "../library.h"
#include "block.cuh"

namespace dark {
namespace {

constexpr int kMaxSide = kStencil + kMaxTaps - 1;

// The highest pixel but the one at index `except`.
template <typename T, typename A = Arithmetic<T>>
__device__ Peak<A> find_peak(const Map<T>& map, int64_t except) {
  Peak<A> peak = no_peak<A>();
  for (Walk p(map.width); p.y < map.height; p.next())
    if (p.index != except) peak = higher(peak, map.at(p.x, p.y), p.index);
  return block_reduce(peak, [](const Peak<A>& a, const Peak<A>& b) { return higher(a, b); });
}

// The 5x5 values round (x, y) of the map convolved with the taps: down the columns first, then
// along the five rows, a thread for each value. Without taps, those of the map itself.
template <typename T, typename A = Arithmetic<T>>
__device__ void blur_window(const DecodeArguments<T>& a, const Map<T>& map, int64_t x, int64_t y,
                            A (&v)[kStencil][kStencil]) {
  __shared__ A rows[kStencil][kMaxSide];
  const int thread = static_cast<int>(threadIdx.x);
  const int reach = a.taps_count / 2, side = kStencil + 2 * reach;
  const int64_t left = x - kReach - reach, top = y - kReach - reach;
  for (int i = thread; i < kStencil * side; i += kThreads) {
    const int row = i / side, column = i % side;
    A sum = a.taps_count > 0 ? A(0) : map.at(left + column, top + row);
    for (int t = 0; t < a.taps_count; ++t)
      sum += a.taps[t] * map.at_or_zero(left + column, top + row + t);
    rows[row][column] = sum;
  }
  __syncthreads();
  if (thread < kStencil * kStencil) {
    const int row = thread / kStencil, column = thread % kStencil;
    A sum = a.taps_count > 0 ? A(0) : rows[row][column];
    for (int t = 0; t < a.taps_count; ++t) sum += a.taps[t] * rows[row][column + t];
    v[row][column] = sum;
  }
  __syncthreads();
}

// Called by the whole block, for a peak that all threads know; the step is thread 0's alone.
template <typename T, typename A = Arithmetic<T>>
__device__ Point<A> step_from(const DecodeArguments<T>& a, const Map<T>& map, const Peak<A>& peak) {
  __shared__ A v[kStencil][kStencil];
  const int64_t x = peak.index % map.width, y = peak.index / map.width;
  switch (a.method) {
    case Method::dark:
      if (!taylor_fits(x, y, map.width, map.height)) return {0, 0};
      blur_window(a, map, x, y, v);
      return threadIdx.x == 0 ? taylor_step(v, a.max_shift) : Point<A>{0, 0};
    case Method::standard:
      if (!standard_fits(x, y, map.width, map.height)) return {0, 0};
      return standard_step(map.at(x - 1, y), map.at(x + 1, y), map.at(x, y - 1), map.at(x, y + 1));
    case Method::second_max: {
      if (map.width * map.height == 1) return {0, 0};
      const int64_t second = find_peak(map, peak.index).index;
      return second_max_step<A>(second % map.width - x, second / map.width - y);
    }
    default: return {0, 0};
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    decode_kernel(const __grid_constant__ DecodeArguments<T> a) {
  using A = Arithmetic<T>;
  for (int64_t index = blockIdx.x; index < a.maps.count; index += gridDim.x) {
    const Map<T> map = a.map(index);
    const Peak<A> peak = find_peak(map, kNoIndex);
    const Point<A> step = can_step(peak) ? step_from(a, map, peak) : Point<A>{0, 0};
    if (threadIdx.x == 0)
      a.store(index, peak,
              {static_cast<A>(peak.index % map.width) + step.x,
               static_cast<A>(peak.index / map.width) + step.y});
  }
}

std::tuple<Tensor, Tensor> decode(const Tensor& heatmaps,  // [B..., K, H, W]
                                  std::vector<double> taps,
                                  std::optional<Tensor> flipped,    // [B..., K, H, W]
                                  std::optional<Tensor> transform,  // [B..., 2, 3]
                                  std::string method,
                                  std::optional<std::vector<int64_t>> flip_index,
                                  int64_t flip_shift, double max_shift) {
  check_decode(heatmaps, taps, flipped, transform, method, flip_index, flip_shift, max_shift);
  const DecodeCall call(heatmaps, taps, flipped, transform, method, flip_index, flip_shift,
                        max_shift);
  dispatch_floating(heatmaps.scalar_type(), [&](auto zero) {
    using T = decltype(zero);
    static_assert(sizeof(DecodeArguments<T>) <= 4096, "the space for kernel arguments");
    launch("decode", heatmaps, call.maps.count, decode_kernel<T>, call.arguments<T>());
  });
  return {call.coords, call.scores};
}

}  // namespace

DARK_CUDA_KERNELS(m) { m.impl("decode", TORCH_BOX(&decode)); }
}  // namespace dark
