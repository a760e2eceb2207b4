// SPDX-License-Identifier: Apache-2.0
// encode: heatmap(x, y) = exp(-((x - u)^2 + (y - v)^2) / (2 sigma^2)), Eq 14 with peak 1. A block
// renders a map from H + W exponentials in shared memory, so that a pixel costs one product and the
// speed is that of writing memory.
#include "../library.h"
#include "../targets.h"
#include "factors.cuh"

namespace dark {
namespace {

template <typename T, typename A>
__global__ void __launch_bounds__(kThreads)
    encode_kernel(const TargetReader<A> targets, int64_t maps,
                  T* __restrict__ heatmaps,   // [maps, H, W]
                  A* __restrict__ weights) {  // [maps]
  const TargetRule& rule = targets.rule;
  for (int64_t map = blockIdx.x; map < maps; map += gridDim.x) {
    const Target<A> target = targets(map);
    if (threadIdx.x == 0) weights[map] = target.weight;
    T* out = heatmaps + map * rule.height * rule.width;
    if (target.weight == A(0)) {
      clear_map(out, rule.height * rule.width);
    } else {
      for_each_pixel(target, rule, [&](int64_t x, int64_t y, A g) {
        out[y * rule.width + x] = static_cast<T>(g);
      });
    }
  }
}

std::tuple<Tensor, Tensor> encode(const Tensor& joints,   // [B..., K, 2]
                                  const Tensor& weights,  // [B..., K]
                                  int64_t height, int64_t width, double sigma,
                                  std::optional<Tensor> transform,  // [B..., 2, 3]
                                  std::string rounding, bool truncate,
                                  std::optional<ScalarType> dtype) {
  check_encode(joints, weights, height, width, sigma, transform, rounding, dtype);
  const ScalarType arithmetic = arithmetic_type(joints.scalar_type());
  const Targets targets(joints, weights, transform, arithmetic, height, width, sigma, rounding,
                        truncate);
  const Tensor heatmaps =
      empty(leading_sizes(joints, 1, {height, width}), dtype.value_or(arithmetic), joints);
  const Tensor counted = empty(sizes_of(weights), arithmetic, joints);
  dispatch_floating(arithmetic, [&](auto a) {
    using A = Arithmetic<decltype(a)>;
    dispatch_floating(heatmaps.scalar_type(), [&](auto t) {
      using T = decltype(t);
      launch("encode", joints, targets.count(), encode_kernel<T, A>, TargetReader<A>(targets),
             targets.count(), heatmaps.mutable_data_ptr<T>(), counted.mutable_data_ptr<A>());
    });
  });
  return {heatmaps, counted};
}

}  // namespace

DARK_CUDA_KERNELS(m) { m.impl("encode", TORCH_BOX(&encode)); }
}  // namespace dark
