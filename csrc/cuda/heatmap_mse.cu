// SPDX-License-Identifier: Apache-2.0
// heatmap_mse: per joint 1/2 mean over the map of (w (p - g))^2, and its gradient grad w^2 (p - g)
// / (H W). A block owns a joint: it renders the target g where it needs it and adds up in one fixed
// order, without atomics. Joints of weight 0 are not read.
#include "../library.h"
#include "../targets.h"
#include "factors.cuh"

namespace dark {
namespace {

template <typename T, typename A>
__global__ void __launch_bounds__(kThreads)
    heatmap_mse_kernel(const Maps maps, const T* __restrict__ heatmaps,
                       const TargetReader<A> targets,
                       A* __restrict__ loss) {  // [B, K]
  for (int64_t map = blockIdx.x; map < maps.count; map += gridDim.x) {
    const Target<A> target = targets(map);
    A sum = 0;
    if (target.weight != A(0)) {
      const T* p = heatmaps + maps.offset(map / maps.joints, map % maps.joints);
      for_each_pixel(target, targets.rule, [&](int64_t x, int64_t y, A g) {
        const A difference = static_cast<A>(p[y * maps.stride_row + x * maps.stride_column]) - g;
        sum += difference * difference;
      });
      sum = block_reduce(sum, [](A a, A b) { return a + b; });
    }
    if (threadIdx.x == 0)
      loss[map] = A(0.5) * target.weight * target.weight * sum / static_cast<A>(maps.size());
  }
}

template <typename T, typename A>
__global__ void __launch_bounds__(kThreads)
    heatmap_mse_backward_kernel(const Maps maps, const T* __restrict__ heatmaps,
                                const TargetReader<A> targets,
                                const A* __restrict__ grad,  // [B, K]
                                T* __restrict__ out) {       // [B, K, H, W]
  for (int64_t map = blockIdx.x; map < maps.count; map += gridDim.x) {
    const Target<A> target = targets(map);
    T* q = out + map * maps.size();
    if (target.weight == A(0)) {
      clear_map(q, maps.size());
      continue;
    }
    const T* p = heatmaps + maps.offset(map / maps.joints, map % maps.joints);
    const A scale = grad[map] * target.weight * target.weight / static_cast<A>(maps.size());
    for_each_pixel(target, targets.rule, [&](int64_t x, int64_t y, A g) {
      const A value = static_cast<A>(p[y * maps.stride_row + x * maps.stride_column]);
      q[y * maps.width + x] = static_cast<T>(scale * (value - g));
    });
  }
}

// heatmaps [B..., K, H, W], joints [B..., K, 2], weights [B..., K], transform [B..., 2, 3] ->
// [B..., K]
Tensor heatmap_mse(const Tensor& heatmaps, const Tensor& joints, const Tensor& weights,
                   double sigma, std::optional<Tensor> transform, std::string rounding,
                   bool truncate) {
  check_heatmap_mse("heatmap_mse", heatmaps, joints, weights, sigma, transform, rounding);
  const Residual residual(heatmaps, joints, weights, sigma, transform, rounding, truncate);
  const Maps& maps = residual.maps;
  const Tensor loss = empty(leading_sizes(heatmaps, 2), residual.targets.type(), heatmaps);
  dispatch_floating(heatmaps.scalar_type(), [&](auto t) {
    using T = decltype(t);
    using A = Arithmetic<T>;
    launch("heatmap_mse", heatmaps, maps.count, heatmap_mse_kernel<T, A>, maps,
           residual.heatmaps.const_data_ptr<T>(), TargetReader<A>(residual.targets),
           loss.mutable_data_ptr<A>());
  });
  return loss;
}

// grad [B..., K], the rest as above -> [B..., K, H, W]
Tensor heatmap_mse_backward(const Tensor& grad, const Tensor& heatmaps, const Tensor& joints,
                            const Tensor& weights, double sigma, std::optional<Tensor> transform,
                            std::string rounding, bool truncate) {
  check_heatmap_mse_backward(grad, heatmaps, joints, weights, sigma, transform, rounding);
  const Residual residual(heatmaps, joints, weights, sigma, transform, rounding, truncate);
  const Maps& maps = residual.maps;
  const Tensor scale = contiguous_as(grad, residual.targets.type());
  const Tensor out = empty(sizes_of(heatmaps), heatmaps.scalar_type(), heatmaps);
  dispatch_floating(heatmaps.scalar_type(), [&](auto t) {
    using T = decltype(t);
    using A = Arithmetic<T>;
    launch("heatmap_mse_backward", heatmaps, maps.count, heatmap_mse_backward_kernel<T, A>, maps,
           residual.heatmaps.const_data_ptr<T>(), TargetReader<A>(residual.targets),
           scale.const_data_ptr<A>(), out.mutable_data_ptr<T>());
  });
  return out;
}

}  // namespace

DARK_CUDA_KERNELS(m) {
  m.impl("heatmap_mse", TORCH_BOX(&heatmap_mse));
  m.impl("heatmap_mse_backward", TORCH_BOX(&heatmap_mse_backward));
}
}  // namespace dark
