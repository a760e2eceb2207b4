// SPDX-License-Identifier: Apache-2.0
// heatmap_mse: per joint 1/2 mean over the map of (w (p - g))^2, and its gradient grad w^2 (p - g)
// / (H W). The target g is rendered a row at a time from its two factors and never stored. Maps of
// weight 0 have no part in either, whatever they hold. Channels-last maps are read, and their
// gradient is written, as they lie; others without dense rows are made dense first.
#include <algorithm>

#include "../gradient.h"
#include "../targets.h"
#include "channels_last.h"
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

// The first `count` lanes, `step` elements apart.
template <typename O, typename V>
DARK_INLINE void write_apart(O* to, int64_t step, const V& v, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i * step] = static_cast<O>(v[i]);
}

// Zeros in one map.
template <typename T>
void fill_map(T* to, const Maps& maps) {
  if (maps.dense()) {
    std::fill_n(to, maps.size(), T{});
    return;
  }
  for (int64_t y = 0; y < maps.height; ++y)
    for (int64_t x = 0; x < maps.width; ++x) to[y * maps.stride_row + x * maps.stride_column] = T{};
}

enum class Writing { rows, past_caches, apart };
template <Writing kWriting>
using As = std::integral_constant<Writing, kWriting>;

// scale (p - g) over a map.
template <Writing kWriting, typename T, typename A, typename O>
DARK_MULTIVERSION void scaled_difference(const T* p, int64_t stride, const A* columns,
                                         const A* rows, int64_t height, int64_t width, A scale,
                                         O* out, int64_t out_stride, int64_t step) {
  for (int64_t y = 0; y < height; ++y, p += stride, out += out_stride)
    each_difference(
        p, columns, rows[y], width, [&](const Vector<A>& d, int64_t x, int64_t count) DARK_LAMBDA {
          const Vector<A> scaled = scale * d;
          if constexpr (kWriting == Writing::apart)
            write_apart(out + x * step, step, scaled, count);
          else if constexpr (kWriting == Writing::past_caches)
            store_past_caches(out + x, scaled);
          else
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
                      const A* grad, T* gradient, const Maps& out, int64_t begin, int64_t end) {
  const bool large = out.dense() && out.stride_joint % 4 == 0 && out.stride_person % 4 == 0 &&
                     past_caches(gradient, out.count * out.size(), out.width);
  Factors<A> factors(targets.rule);
  for_each_map<true>(heatmaps, maps, begin, end, [&](int64_t map, const auto* p, int64_t stride) {
    const Target<A> target = targets(map);
    T* to = gradient + out.offset(map / out.joints, map % out.joints);
    if (target.weight == A(0)) {
      fill_map(to, out);
      return;
    }
    factors.center_on(target.center);
    const A scale = grad[map] * target.weight * target.weight / static_cast<A>(maps.size());
    const auto write_as = [&](auto writing) {
      scaled_difference<decltype(writing)::value>(p, stride, factors.columns(), factors.rows(),
                                                  maps.height, maps.width, scale, to,
                                                  out.stride_row, out.stride_column);
    };
    if constexpr (std::is_same_v<T, float>)
      if (large) return write_as(As<Writing::past_caches>());
    out.stride_column == 1 ? write_as(As<Writing::rows>()) : write_as(As<Writing::apart>());
  });
  if (large) fence_stores();
}

// ---- channels-last: a part of a person's joints at a time ---------------------------------------

template <typename T, typename A>
void loss_of_parts(const Maps& maps, const JointParts& parts, const T* heatmaps,
                   const TargetReader<A>& targets, A* loss, int64_t begin, int64_t end) {
  JointFactors<A> factors(targets.rule);
  const int64_t room = maps.joints + kLanes<A>;
  std::vector<A> of_row(room), of_map(room), sums(room);
  parts.each_person(begin, end, [&](int64_t person, int64_t joint, int64_t count) {
    const int64_t first = person * maps.joints + joint;
    factors.set(targets, first, count);
    squared_distances(heatmaps + maps.offset(person, joint), maps, factors.columns(),
                      factors.rows(), count, of_row.data(), of_map.data(), sums.data());
    for (int64_t k = 0; k < count; ++k) {
      const A weight = factors.weights()[k];
      const A half_squared = A(0.5) * weight * weight;
      loss[first + k] =
          weight == A(0) ? A(0) : half_squared * sums[k] / static_cast<A>(maps.size());
    }
  });
}

template <typename T, typename A>
void gradient_of_parts(const Maps& maps, const JointParts& parts, const T* heatmaps,
                       const TargetReader<A>& targets, const A* grad, T* gradient, const Maps& out,
                       int64_t begin, int64_t end) {
  JointFactors<A> factors(targets.rule);
  std::vector<A> scales(maps.joints);
  parts.each_person(begin, end, [&](int64_t person, int64_t joint, int64_t count) {
    const int64_t first = person * maps.joints + joint;
    factors.set(targets, first, count);
    for (int64_t k = 0; k < count; ++k) {
      const A weight = factors.weights()[k];
      scales[k] = grad[first + k] * weight * weight / static_cast<A>(maps.size());
    }
    scaled_differences(heatmaps + maps.offset(person, joint), maps, factors.columns(),
                       factors.rows(), scales.data(), factors.weights(), count,
                       gradient + out.offset(person, joint), out);
  });
}

// Calls by_map(begin, end), or by_part(parts, begin, end) where `parted`, in threads.
template <typename A, typename ByMap, typename ByPart>
void over_maps(const Maps& maps, bool parted, ByMap&& by_map, ByPart&& by_part) {
  constexpr int64_t kWork = 2;
  if (!parted) return parallel_over_maps(maps.count, maps.size(), kWork, by_map);
  const JointParts parts(maps.joints);
  parallel_over_maps(maps.count / maps.joints * parts.parts,
                     maps.size() * (maps.joints / parts.parts), kWork,
                     [&](int64_t begin, int64_t end) { by_part(parts, begin, end); });
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
    const T* p = residual.heatmaps.const_data_ptr<T>();
    const TargetReader<A> reader(residual.targets);
    A* out = loss.mutable_data_ptr<A>();
    over_maps<A>(
        maps, channels_last<A>(maps),
        [&](int64_t begin, int64_t end) { loss_of_maps(maps, p, reader, out, begin, end); },
        [&](const JointParts& parts, int64_t begin, int64_t end) {
          loss_of_parts(maps, parts, p, reader, out, begin, end);
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
  Gradient gradient(heatmaps);
  const Maps& out = gradient.maps;
  dispatch_floating(heatmaps.scalar_type(), [&](auto t) {
    using T = decltype(t);
    using A = Arithmetic<T>;
    const T* p = residual.heatmaps.const_data_ptr<T>();
    const TargetReader<A> reader(residual.targets);
    const A* factors = scale.const_data_ptr<A>();
    T* to = gradient.written.mutable_data_ptr<T>();
    over_maps<A>(
        maps, channels_last<A>(maps) && channels_last<A>(out),
        [&](int64_t begin, int64_t end) {
          gradient_of_maps(maps, p, reader, factors, to, out, begin, end);
        },
        [&](const JointParts& parts, int64_t begin, int64_t end) {
          gradient_of_parts(maps, parts, p, reader, factors, to, out, begin, end);
        });
  });
  return gradient.finish();
}

}  // namespace dark
