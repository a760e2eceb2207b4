// SPDX-License-Identifier: Apache-2.0
// heatmap_mse: per joint 1/2 mean over the map of (w (p - g))^2, and its gradient grad w^2 (p - g)
// / (H W). A block owns a joint: it renders the target g where it needs it and adds up in one fixed
// order, without atomics. Joints of weight 0 are not read.
#include "../library.h"
#include "heatmap_mse_rows.cuh"

namespace dark {
namespace {

// Joint `joint` of person `person`, and the maps of a block.
struct MapOfBlock {
  int person, joint;
  int64_t offset;

  explicit __device__ MapOfBlock(const Maps& maps) {
    const unsigned joints = static_cast<unsigned>(maps.joints);
    person = static_cast<int>(blockIdx.x / joints);
    joint = static_cast<int>(blockIdx.x % joints);
    offset = maps.offset(person, joint);
  }
};

// Vectors stand side by side, in maps that span fewer than 2^31 elements.
template <int N>
__device__ auto offset_in_map(const Maps& maps, int x, int y) {
  if constexpr (N == 1)
    return y * maps.stride_row + x * maps.stride_column;
  else
    return y * static_cast<int>(maps.stride_row) + x;
}

template <typename T, int N, typename A>
__global__ void __launch_bounds__(512, 2)
    heatmap_mse_kernel(const Maps maps, const T* __restrict__ heatmaps, const TargetReader<A> t,
                       A* __restrict__ loss) {  // [B, K]
  const MapOfBlock map(maps);
  const Target<A> target = target_of(t, map.person, map.joint);
  A sum = 0;
  if (target.weight != A(0)) {
    const T* p = heatmaps + map.offset;
    for_each_vector<N>(
        target, t.rule, [&](int x, int y) { return load<N>(p + offset_in_map<N>(maps, x, y)); },
        [&](const Vector<T, N>& v, int, int, auto&& g) {
          for (int i = 0; i < N; ++i) {
            const A difference = static_cast<A>(v.at(i)) - g(i);
            sum += difference * difference;
          }
        });
    sum = team_reduce(whole_block(), sum, [](A a, A b) { return a + b; });
  }
  if (threadIdx.x == 0)
    loss[blockIdx.x] = A(0.5) * target.weight * target.weight * sum / static_cast<A>(maps.size());
}

template <typename T, int N, typename A>
__global__ void __launch_bounds__(512, 2)
    heatmap_mse_backward_kernel(const Maps maps, const T* __restrict__ heatmaps,
                                const TargetReader<A> t,
                                const A* __restrict__ grad,  // [B, K]
                                T* __restrict__ out) {       // [B, K, H, W]
  const MapOfBlock map(maps);
  const Target<A> target = target_of(t, map.person, map.joint);
  T* q = out + blockIdx.x * maps.size();
  if (target.weight == A(0)) {
    clear_map<N>(q, static_cast<int>(maps.size()));
    return;
  }
  const T* p = heatmaps + map.offset;
  const A scale = grad[blockIdx.x] * target.weight * target.weight / static_cast<A>(maps.size());
  for_each_vector<N>(
      target, t.rule, [&](int x, int y) { return load<N>(p + offset_in_map<N>(maps, x, y)); },
      [&](const Vector<T, N>& v, int x, int y, auto&& g) {
        T difference[N];
        for (int i = 0; i < N; ++i)
          difference[i] = static_cast<T>(scale * (static_cast<A>(v.at(i)) - g(i)));
        store(q + (y * static_cast<int>(maps.width) + x), difference);
      });
}

// Calls by_row(N, share, grid) or by_map(N, grid), N a constant: how to launch the kernels of these
// maps.
template <typename T, typename ByRow, typename ByMap>
void choose_kernel(const char* op, const Residual& r, int64_t entry_bytes, ByRow&& by_row,
                   ByMap&& by_map) {
  using A = Arithmetic<T>;
  const Maps& maps = r.maps;
  const T* p = r.heatmaps.const_data_ptr<T>();
  check_counts(op, maps.count, maps.size());
  if (channels_last(maps)) {
    const bool whole = rows_of_vectors<T>(r.heatmaps, maps);
    const RowShare s = share_rows(maps, whole ? kVector<T> : 1, kRowsThreads);
    const int64_t bytes =
        PersonTargets<A>::bytes(s) + s.threads() * (whole ? kVector<T> : 1) * entry_bytes;
    if (maps.count == 0 || bytes <= most_shared(r.heatmaps)) {
      const Grid grid{maps.count / maps.joints, s.threads(), bytes};
      dispatch_vector<T>(whole, [&](auto n) { by_row(n, s, grid); });
      return;
    }
  }
  const bool whole =
      maps.stride_column == 1 && maps.stride_row <= INT32_MAX / maps.height &&
      vectors_begin_at(p, {maps.width, maps.stride_row, maps.stride_joint, maps.stride_person});
  dispatch_vector<T>(whole, [&](auto n) {
    by_map(n, grid_for_targets(r.targets.rule, maps.count, decltype(n)::value, sizeof(A)));
  });
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
        "heatmap_mse", residual, sizeof(A),
        [&](auto n, const RowShare& s, const Grid& grid) {
          launch("heatmap_mse", heatmaps, grid, heatmap_mse_rows_kernel<T, decltype(n)::value, A>,
                 s, maps.stride_person, p, targets, out);
        },
        [&](auto n, const Grid& grid) {
          launch("heatmap_mse", heatmaps, grid, heatmap_mse_kernel<T, decltype(n)::value, A>, maps,
                 p, targets, out);
        });
  });
  return loss;
}

// grad [B..., K], the rest as above -> [B..., K, H, W]
Tensor heatmap_mse_backward(const Tensor& grad, const Tensor& heatmaps, const Tensor& joints,
                            const Tensor& weights, double sigma, std::optional<Tensor> transform,
                            std::string rounding, bool truncate) {
  const char* op = "heatmap_mse_backward";
  check_heatmap_mse_backward(grad, heatmaps, joints, weights, sigma, transform, rounding);
  const Residual residual(heatmaps, joints, weights, sigma, transform, rounding, truncate);
  const Maps& maps = residual.maps;
  const Tensor scale = contiguous_as(grad, residual.targets.type());
  const Tensor out = empty(sizes_of(heatmaps), heatmaps.scalar_type(), heatmaps);
  dispatch_floating(heatmaps.scalar_type(), [&](auto t) {
    using T = decltype(t);
    using A = Arithmetic<T>;
    const T* p = residual.heatmaps.const_data_ptr<T>();
    const TargetReader<A> targets(residual.targets);
    const A* factors = scale.const_data_ptr<A>();
    T* gradient = out.mutable_data_ptr<T>();
    choose_kernel<T>(
        op, residual, kRowsInFlight * sizeof(T),
        [&](auto n, const RowShare& s, const Grid& grid) {
          launch(op, heatmaps, grid, heatmap_mse_backward_rows_kernel<T, decltype(n)::value, A>, s,
                 maps.stride_person, p, targets, factors, gradient);
        },
        [&](auto n, const Grid& grid) {
          launch(op, heatmaps, grid, heatmap_mse_backward_kernel<T, decltype(n)::value, A>, maps, p,
                 targets, factors, gradient);
        });
  });
  return out;
}

}  // namespace

DARK_CUDA_KERNELS(m) {
  m.impl("heatmap_mse", TORCH_BOX(&heatmap_mse));
  m.impl("heatmap_mse_backward", TORCH_BOX(&heatmap_mse_backward));
}
}  // namespace dark
