// SPDX-License-Identifier: Apache-2.0
// encode: heatmap(x, y) = exp(-((x - u)^2 + (y - v)^2) / (2 sigma^2)), Eq 14 with peak 1. A block
// renders a map from H + W exponentials in shared memory, so that a pixel costs one product and the
// speed is that of writing memory.
#include "../library.h"
#include "factors.cuh"

namespace dark {
namespace {

template <typename T, int N, typename A>
__global__ void __launch_bounds__(kFactorThreads, 1)
    encode_kernel(const TargetReader<A> targets, const MapShare share,
                  T* __restrict__ heatmaps,   // [maps, H, W]
                  A* __restrict__ weights) {  // [maps]
  struct Nothing {};
  const TargetRule& rule = targets.rule;
  const int map = static_cast<int>(blockIdx.x), person = share.joints.divide(map);
  const Target<A> target = target_of(targets, person, share.joints.rest(map, person));
  if (threadIdx.x == 0) weights[map] = target.weight;
  const int width = static_cast<int>(rule.width);
  T* out = heatmaps + map * (rule.height * rule.width);
  if (target.weight == A(0)) {
    const T zeros[N] = {};  // what joints that do not count get
    for_each_place<N>(rule, [&](int x, int y) { store(out + (y * width + x), zeros); });
    return;
  }
  for_each_pack<N>(
      share, target, rule, [](int, int) { return Nothing{}; },
      [&](Nothing, int x, int y, auto&& g) {
        T v[N];
        for (int i = 0; i < N; ++i) v[i] = static_cast<T>(g(i));
        store(out + (y * width + x), v);
      });
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
  if (targets.count() == 0) return {heatmaps, counted};
  check_counts("encode", targets.count(), height * width);
  dispatch_floating(arithmetic, [&](auto a) {
    using A = Arithmetic<decltype(a)>;
    dispatch_floating(heatmaps.scalar_type(), [&](auto t) {
      using T = decltype(t);
      T* out = heatmaps.mutable_data_ptr<T>();
      dispatch_pack<T>(packs_begin_at(out, {width}), [&](auto n) {
        constexpr int N = decltype(n)::value;
        const MapShare share = share_map(targets.rule, N);
        launch<kFactorThreads>("encode", joints,
                               share.grid(targets.count(), targets.rule, sizeof(A)),
                               encode_kernel<T, N, A>, TargetReader<A>(targets), share, out,
                               counted.mutable_data_ptr<A>());
      });
    });
  });
  return {heatmaps, counted};
}

}  // namespace

DARK_CUDA_KERNELS(m) { m.impl("encode", TORCH_BOX(&encode)); }
}  // namespace dark
