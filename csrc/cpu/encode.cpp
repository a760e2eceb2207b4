// SPDX-License-Identifier: Apache-2.0
// encode: heatmap(x, y) = exp(-((x - u)^2 + (y - v)^2) / (2 sigma^2)), Eq 14 with peak 1. The
// Gaussian is separable, so a map costs H + W exponentials and H W products: the speed is that of
// writing memory.
#include <algorithm>

#include "../targets.h"
#include "factors.h"
#include "kernels.h"
#include "parallel.h"
#include "reading.h"

namespace dark {
namespace {

template <bool kPastCaches, typename T, typename A>
DARK_MULTIVERSION void render(const A* columns, const A* rows, int64_t height, int64_t width,
                              T* out) {
  constexpr int64_t n = kLanes<A>;
  for (int64_t y = 0; y < height; ++y, out += width) {
    int64_t x = 0;
    for (; x + n <= width; x += n) {
      const Vector<A> values = rows[y] * read(columns + x);
      if constexpr (kPastCaches)
        store_past_caches(out + x, values);
      else
        write(out + x, values);
    }
    if (x < width) {
      const Vector<A> values = rows[y] * read(columns + x);
      write_some(out + x, values, width - x);
    }
  }
}

template <typename T, typename A>
void encode_maps(const TargetReader<A>& targets, T* heatmaps, A* weights, int64_t count,
                 int64_t begin, int64_t end) {
  const int64_t height = targets.rule.height, width = targets.rule.width, size = height * width;
  const bool large = past_caches(heatmaps, count * size, width);
  Factors<A> factors(targets.rule);
  for (int64_t map = begin; map < end; ++map) {
    const Target<A> target = targets(map);
    weights[map] = target.weight;
    if (target.weight == A(0)) {
      std::fill_n(heatmaps + map * size, size, static_cast<T>(A(0)));
      continue;
    }
    factors.center_on(target.center);
    T* to = heatmaps + map * size;
    if constexpr (std::is_same_v<T, float> && std::is_same_v<A, float>) {
      if (large) {
        render<true>(factors.columns(), factors.rows(), height, width, to);
        continue;
      }
    }
    render<false>(factors.columns(), factors.rows(), height, width, to);
  }
  if (large) fence_stores();
}

}  // namespace

std::tuple<Tensor, Tensor> encode(const Tensor& joints, const Tensor& weights, int64_t height,
                                  int64_t width, double sigma, std::optional<Tensor> transform,
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
      const TargetReader<A> reader(targets);
      parallel_over_maps(targets.count(), height * width, 2, [&](int64_t begin, int64_t end) {
        encode_maps(reader, heatmaps.mutable_data_ptr<T>(), counted.mutable_data_ptr<A>(),
                    targets.count(), begin, end);
      });
    });
  });
  return {heatmaps, counted};
}

}  // namespace dark
