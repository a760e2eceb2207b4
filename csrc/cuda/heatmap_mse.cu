// SPDX-License-Identifier: Apache-2.0
// heatmap_mse: per joint 1/2 mean over the map of (w (p - g))^2, and its gradient grad w^2 (p - g)
// / (H W). A block owns a joint: it renders the target g where it needs it and adds up in one fixed
// order, without atomics. Joints of weight 0 are not read.
#include "../gradient.h"
#include "../library.h"
#include "heatmap_mse_rows.cuh"

namespace dark {
namespace {

// The map of a block.
struct MapOfBlock {
  int person, joint;

  __device__ MapOfBlock(const MapShare& share)
      : person(share.joints.divide(static_cast<int>(blockIdx.x))),
        joint(share.joints.rest(static_cast<int>(blockIdx.x), person)) {}
};

// Packs stand side by side, in maps that span fewer than 2^31 elements.
template <int N>
__device__ auto offset_in_map(const Maps& maps, int x, int y) {
  if constexpr (N == 1)
    return y * maps.stride_row + x * maps.stride_column;
  else
    return y * static_cast<int>(maps.stride_row) + x;
}

template <typename T, int N, typename A>
__global__ void __launch_bounds__(kFactorThreads, 2)
    heatmap_mse_kernel(const Maps maps, const MapShare share, const T* __restrict__ heatmaps,
                       const TargetReader<A> t, A* __restrict__ loss) {  // [B, K]
  const MapOfBlock map(share);
  const Target<A> target = target_of(t, map.person, map.joint);
  A sum = 0;
  if (target.weight != A(0)) {
    const T* p = heatmaps + maps.offset(map.person, map.joint);
    for_each_pack<N>(
        share, target, t.rule,
        [&](int x, int y) { return load<N>(p + offset_in_map<N>(maps, x, y)); },
        [&](const Pack<T, N>& v, int, int, auto&& g) {
          for (int i = 0; i < N; ++i) {
            const A difference = static_cast<A>(v.at(i)) - g(i);
            sum += difference * difference;
          }
        });
    sum = block_reduce(sum, A(0), [](A s) { return sum_of_warp(s); }, shared_memory<A>());
  }
  if (threadIdx.x == 0)
    loss[blockIdx.x] = A(0.5) * target.weight * target.weight * sum / static_cast<A>(maps.size());
}

template <typename T, int N, typename A>
__global__ void __launch_bounds__(kFactorThreads, 2)
    heatmap_mse_backward_kernel(const Maps maps, const Maps out_maps, const MapShare share,
                                const T* __restrict__ heatmaps, const TargetReader<A> t,
                                const A* __restrict__ grad,  // [B, K]
                                T* __restrict__ out) {       // as out_maps describes it
  const MapOfBlock map(share);
  const Target<A> target = target_of(t, map.person, map.joint);
  T* q = out + out_maps.offset(map.person, map.joint);
  if (target.weight == A(0)) {
    const T zeros[N] = {};
    for_each_place<N>(t.rule,
                      [&](int x, int y) { store(q + offset_in_map<N>(out_maps, x, y), zeros); });
    return;
  }
  const T* p = heatmaps + maps.offset(map.person, map.joint);
  const A scale = grad[blockIdx.x] * target.weight * target.weight / static_cast<A>(maps.size());
  for_each_pack<N>(
      share, target, t.rule,
      [&](int x, int y) { return load<N>(p + offset_in_map<N>(maps, x, y)); },
      [&](const Pack<T, N>& v, int x, int y, auto&& g) {
        T difference[N];
        for (int i = 0; i < N; ++i)
          difference[i] = static_cast<T>(scale * (static_cast<A>(v.at(i)) - g(i)));
        store(q + offset_in_map<N>(out_maps, x, y), difference);
      });
}

// Whether the rows of maps at p are whole packs.
template <typename T>
bool has_rows_of_packs(const T* p, const Maps& maps) {
  return maps.stride_column == 1 && maps.stride_row <= INT32_MAX / maps.height &&
         packs_begin_at(p, {maps.width, maps.stride_row, maps.stride_joint, maps.stride_person});
}

// Calls by_row(N, share, grid) or by_map(N, share, grid), N a constant: how to launch the kernels
// that read maps and, but for the loss, write `out`.
template <typename T, typename ByRow, typename ByMap>
void choose_kernel(const char* op, const Residual& r, const Gradient* gradient, ByRow&& by_row,
                   ByMap&& by_map) {
  using A = Arithmetic<T>;
  const Maps& maps = r.maps;
  const T* p = r.heatmaps.const_data_ptr<T>();
  const T* q = gradient ? gradient->written.const_data_ptr<T>() : nullptr;
  check_counts(op, maps.count, maps.size());
  if (maps.count == 0) return;
  if (channels_last(maps) && (!gradient || channels_last(gradient->maps))) {
    const int64_t most_entries = gradient ? 0 : Entries<A>::bytes(kRowsThreads * kPack<T>);
    const int64_t of_joint = PersonTargets<A>::bytes(1, maps.height);
    const int64_t joints =
        joints_of_block<T>(maps, of_joint, most_shared(r.heatmaps) - most_entries);
    if (joints > 0) {
      const bool whole =
          rows_of_packs(p, maps, joints) && (!gradient || rows_of_packs(q, gradient->maps, joints));
      const int elements = whole ? kPack<T> : 1;
      const RowShare s = share_rows(maps, joints, elements, kRowsThreads);
      const int64_t entries = gradient ? 0 : Entries<A>::bytes(s.threads() * elements);
      const int64_t bytes = PersonTargets<A>::bytes(joints, maps.height) + entries;
      const Grid grid{maps.count / maps.joints * s.parts, s.threads(), bytes};
      dispatch_pack<T>(whole, [&](auto n) { by_row(n, s, grid); });
      return;
    }
  }
  const bool whole =
      has_rows_of_packs(p, maps) && (!gradient || has_rows_of_packs(q, gradient->maps));
  const MapShare share = share_map(r.targets.rule, whole ? kPack<T> : 1);
  const Grid grid = share.grid(maps.count, r.targets.rule, sizeof(A));
  dispatch_pack<T>(whole, [&](auto n) { by_map(n, share, grid); });
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
    const T* p = residual.heatmaps.const_data_ptr<T>();
    const TargetReader<A> targets(residual.targets);
    A* out = loss.mutable_data_ptr<A>();
    choose_kernel<T>(
        "heatmap_mse", residual, nullptr,
        [&](auto n, const RowShare& s, const Grid& grid) {
          launch<kRowsThreads>("heatmap_mse", heatmaps, grid,
                               heatmap_mse_rows_kernel<T, decltype(n)::value, A>, s,
                               maps.stride_person, p, targets, out);
        },
        [&](auto n, const MapShare& s, const Grid& grid) {
          launch<kFactorThreads>("heatmap_mse", heatmaps, grid,
                                 heatmap_mse_kernel<T, decltype(n)::value, A>, maps, s, p, targets,
                                 out);
        });
  });
  return loss;
}

// grad [B..., K], the rest as above -> [B..., K, H, W], with the strides of empty_like(heatmaps)
Tensor heatmap_mse_backward(const Tensor& grad, const Tensor& heatmaps, const Tensor& joints,
                            const Tensor& weights, double sigma, std::optional<Tensor> transform,
                            std::string rounding, bool truncate) {
  const char* op = "heatmap_mse_backward";
  check_heatmap_mse_backward(grad, heatmaps, joints, weights, sigma, transform, rounding);
  const Residual residual(heatmaps, joints, weights, sigma, transform, rounding, truncate);
  const Maps& maps = residual.maps;
  const Tensor scale = contiguous_as(grad, residual.targets.type());
  Gradient gradient(heatmaps);
  const Maps& out_maps = gradient.maps;
  dispatch_floating(heatmaps.scalar_type(), [&](auto t) {
    using T = decltype(t);
    using A = Arithmetic<T>;
    const T* p = residual.heatmaps.const_data_ptr<T>();
    const TargetReader<A> targets(residual.targets);
    const A* factors = scale.const_data_ptr<A>();
    T* out = gradient.written.mutable_data_ptr<T>();
    choose_kernel<T>(
        op, residual, &gradient,
        [&](auto n, const RowShare& s, const Grid& grid) {
          launch<kRowsThreads>(op, heatmaps, grid,
                               heatmap_mse_backward_rows_kernel<T, decltype(n)::value, A>, s,
                               maps.stride_person, p, targets, factors, out_maps.stride_person,
                               static_cast<int>(out_maps.stride_row), out);
        },
        [&](auto n, const MapShare& s, const Grid& grid) {
          launch<kFactorThreads>(op, heatmaps, grid,
                                 heatmap_mse_backward_kernel<T, decltype(n)::value, A>, maps,
                                 out_maps, s, p, targets, factors, out);
        });
  });
  return gradient.finish();
}

}  // namespace

DARK_CUDA_KERNELS(m) {
  m.impl("heatmap_mse", TORCH_BOX(&heatmap_mse));
  m.impl("heatmap_mse_backward", TORCH_BOX(&heatmap_mse_backward));
}
}  // namespace dark
