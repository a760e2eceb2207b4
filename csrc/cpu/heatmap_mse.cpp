// SPDX-License-Identifier: Apache-2.0
// heatmap_mse: per joint 1/2 mean over the map of (w (p - g))^2, and its gradient grad w^2 (p - g)
// / (H W). The target g is rendered a row at a time from its two factors and never stored. Joints
// of weight 0 are not read.
#include <algorithm>

#include "../targets.h"
#include "factors.h"
#include "kernels.h"
#include "parallel.h"
#include "staging.h"

namespace dark {
namespace {

// A row of the difference p - g, vector by vector: f(difference, x, count of its lanes that
// belong to the row).
template <typename T, typename A, typename F>
DARK_INLINE void each_difference(const T* p, const A* columns, A row, int64_t width, F&& f) {
  constexpr int64_t n = kLanes<A>;
  int64_t x = 0;
  for (; x + n <= width; x += n) f(read(p + x) - row * read(columns + x), x, n);
  if (x < width) {
    const int64_t rest = width - x;
    f(read_some(p + x, rest) - row * read_some(columns + x, rest), x, rest);
  }
}

// The sum of (p - g)^2 over a map. Even and odd rows have sums of their own, which do not wait for
// each other.
template <typename T, typename A>
DARK_MULTIVERSION A squared_distance(const T* p, int64_t stride, const A* columns, const A* rows,
                                     int64_t height, int64_t width) {
  Vector<A> even{}, odd{};
  int64_t y = 0;
  for (; y + 2 <= height; y += 2, p += 2 * stride) {
    each_difference(p, columns, rows[y], width,
                    [&](const Vector<A>& d, int64_t, int64_t) DARK_LAMBDA { even += d * d; });
    each_difference(p + stride, columns, rows[y + 1], width,
                    [&](const Vector<A>& d, int64_t, int64_t) DARK_LAMBDA { odd += d * d; });
  }
  if (y < height)
    each_difference(p, columns, rows[y], width,
                    [&](const Vector<A>& d, int64_t, int64_t) DARK_LAMBDA { even += d * d; });
  return across<A>(even + odd, Plus());
}

// scale (p - g) over a map.
template <typename T, typename A, typename O>
DARK_MULTIVERSION void scaled_difference(const T* p, int64_t stride, const A* columns,
                                         const A* rows, int64_t height, int64_t width, A scale,
                                         O* out) {
  for (int64_t y = 0; y < height; ++y, p += stride, out += width)
    each_difference(
        p, columns, rows[y], width, [&](const Vector<A>& d, int64_t x, int64_t count) DARK_LAMBDA {
          const Vector<A> scaled = scale * d;
          count == kLanes<A> ? write(out + x, scaled) : write_some(out + x, scaled, count);
        });
}

template <typename T, typename A>
void loss_of_maps(const Maps& maps, const T* heatmaps, const TargetReader<A>& targets, A* loss,
                  int64_t begin, int64_t end) {
  Factors<A> factors(targets.rule);
  for_each_map<true>(heatmaps, maps, begin, end, [&](int64_t map, const auto* p, int64_t stride) {
    const Target<A> target = targets(map);
    loss[map] = 0;
    if (target.weight == A(0)) return;
    factors.center_on(target.center);
    const A sum =
        squared_distance(p, stride, factors.columns(), factors.rows(), maps.height, maps.width);
    loss[map] = A(0.5) * target.weight * target.weight * sum / static_cast<A>(maps.size());
  });
}

template <typename T, typename A>
void gradient_of_maps(const Maps& maps, const T* heatmaps, const TargetReader<A>& targets,
                      const A* grad, T* out, int64_t begin, int64_t end) {
  Factors<A> factors(targets.rule);
  for_each_map<true>(heatmaps, maps, begin, end, [&](int64_t map, const auto* p, int64_t stride) {
    const Target<A> target = targets(map);
    T* q = out + map * maps.size();
    if (target.weight == A(0)) {
      std::fill_n(q, maps.size(), static_cast<T>(A(0)));
      return;
    }
    factors.center_on(target.center);
    const A scale = grad[map] * target.weight * target.weight / static_cast<A>(maps.size());
    scaled_difference(p, stride, factors.columns(), factors.rows(), maps.height, maps.width, scale,
                      q);
  });
}

}  // namespace

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
    parallel_over_maps(maps.count, maps.size(), 2, [&](int64_t begin, int64_t end) {
      loss_of_maps(maps, residual.heatmaps.const_data_ptr<T>(), reader, loss.mutable_data_ptr<A>(),
                   begin, end);
    });
  });
  return loss;
}

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
    parallel_over_maps(maps.count, maps.size(), 2, [&](int64_t begin, int64_t end) {
      gradient_of_maps(maps, residual.heatmaps.const_data_ptr<T>(), reader,
                       scale.const_data_ptr<A>(), out.mutable_data_ptr<T>(), begin, end);
    });
  });
  return out;
}

}  // namespace dark
