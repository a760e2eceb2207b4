// SPDX-License-Identifier: Apache-2.0
// heatmap_mse: per joint 1/2 mean over the map of (w (p - g))^2, and its gradient grad w^2 (p - g)
// / (H W). The target g is rendered a row at a time from its two factors and never stored. Joints
// of weight 0 are not read.
#include <algorithm>

#include "../library.h"
#include "../targets.h"
#include "factors.h"
#include "parallel.h"

namespace dark {
namespace {

// Partial sums that the compiler may keep in vector registers: a fixed order of additions, whatever
// their width.
template <typename A>
class LaneSum {
 public:
  // Adds (p[x] - row * columns[x])^2 over one row.
  template <typename T>
  void add_row(const T* p, int64_t stride, A row, const A* columns, int64_t width) {
    int64_t x = 0;
    for (; x + kLanes <= width; x += kLanes)
      for (int lane = 0; lane < kLanes; ++lane)
        add(lane, p[(x + lane) * stride], row * columns[x + lane]);
    for (int lane = 0; x < width; ++x, ++lane) add(lane, p[x * stride], row * columns[x]);
  }
  A total() const {
    A sum = 0;
    for (const A lane : lanes_) sum += lane;
    return sum;
  }

 private:
  static constexpr int kLanes = 16;
  template <typename T>
  void add(int lane, T p, A g) {
    const A difference = static_cast<A>(p) - g;
    lanes_[lane] += difference * difference;
  }
  A lanes_[kLanes] = {};
};

template <typename T, typename A>
void loss_of_maps(const Maps& maps, const T* heatmaps, const TargetReader<A>& targets, A* loss,
                  int64_t begin, int64_t end) {
  Factors<A> factors(targets.rule);
  for (int64_t map = begin; map < end; ++map) {
    const Target<A> target = targets(map);
    loss[map] = 0;
    if (target.weight == A(0)) continue;
    factors.center_on(target.center);
    const T* p = heatmaps + maps.offset(map / maps.joints, map % maps.joints);
    LaneSum<A> sum;
    for (int64_t y = 0; y < maps.height; ++y, p += maps.stride_row) {
      if (maps.stride_column == 1) {
        sum.add_row(p, 1, factors.row(y), factors.columns(), maps.width);
      } else {
        sum.add_row(p, maps.stride_column, factors.row(y), factors.columns(), maps.width);
      }
    }
    loss[map] = A(0.5) * target.weight * target.weight * sum.total() / static_cast<A>(maps.size());
  }
}

template <typename T, typename A>
void gradient_of_maps(const Maps& maps, const T* heatmaps, const TargetReader<A>& targets,
                      const A* grad, T* out, int64_t begin, int64_t end) {
  Factors<A> factors(targets.rule);
  for (int64_t map = begin; map < end; ++map) {
    const Target<A> target = targets(map);
    T* q = out + map * maps.size();
    if (target.weight == A(0)) {
      std::fill_n(q, maps.size(), static_cast<T>(A(0)));
      continue;
    }
    factors.center_on(target.center);
    const A scale = grad[map] * target.weight * target.weight / static_cast<A>(maps.size());
    const T* p = heatmaps + maps.offset(map / maps.joints, map % maps.joints);
    const A* columns = factors.columns();
    for (int64_t y = 0; y < maps.height; ++y, p += maps.stride_row, q += maps.width) {
      const A row = factors.row(y);
      for (int64_t x = 0; x < maps.width; ++x)
        q[x] =
            static_cast<T>(scale * (static_cast<A>(p[x * maps.stride_column]) - row * columns[x]));
    }
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
    const TargetReader<A> reader(residual.targets);
    parallel_over_maps(maps.count, maps.size(), [&](int64_t begin, int64_t end) {
      loss_of_maps(maps, residual.heatmaps.const_data_ptr<T>(), reader, loss.mutable_data_ptr<A>(),
                   begin, end);
    });
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
    const TargetReader<A> reader(residual.targets);
    parallel_over_maps(maps.count, maps.size(), [&](int64_t begin, int64_t end) {
      gradient_of_maps(maps, residual.heatmaps.const_data_ptr<T>(), reader,
                       scale.const_data_ptr<A>(), out.mutable_data_ptr<T>(), begin, end);
    });
  });
  return out;
}

}  // namespace

DARK_CPU_KERNELS(m) {
  m.impl("heatmap_mse", TORCH_BOX(&heatmap_mse));
  m.impl("heatmap_mse_backward", TORCH_BOX(&heatmap_mse_backward));
}
}  // namespace dark
