// SPDX-License-Identifier: Apache-2.0
// encode: heatmap(x, y) = exp(-((x - u)^2 + (y - v)^2) / (2 sigma^2)), Eq 14 with peak 1. The
// Gaussian is separable, so a map costs H + W exponentials and H W products: the speed is that of
// writing memory.
#include <algorithm>

#include "../library.h"
#include "../targets.h"
#include "factors.h"
#include "parallel.h"

namespace dark {
namespace {

template <typename T, typename A>
void encode_maps(const TargetReader<A>& targets, T* heatmaps, A* weights, int64_t begin,
                 int64_t end) {
  const TargetRule& rule = targets.rule;
  Factors<A> factors(rule);
  for (int64_t map = begin; map < end; ++map) {
    const Target<A> target = targets(map);
    weights[map] = target.weight;
    T* out = heatmaps + map * rule.height * rule.width;
    if (target.weight == A(0)) {
      std::fill_n(out, rule.height * rule.width, static_cast<T>(A(0)));
      continue;
    }
    factors.center_on(target.center);
    const A* columns = factors.columns();
    for (int64_t y = 0; y < rule.height; ++y, out += rule.width) {
      const A row = factors.row(y);
      for (int64_t x = 0; x < rule.width; ++x) out[x] = static_cast<T>(row * columns[x]);
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
      const TargetReader<A> reader(targets);
      parallel_over_maps(targets.count(), height * width, [&](int64_t begin, int64_t end) {
        encode_maps(reader, heatmaps.mutable_data_ptr<T>(), counted.mutable_data_ptr<A>(), begin,
                    end);
      });
    });
  });
  return {heatmaps, counted};
}

}  // namespace

DARK_CPU_KERNELS(m) { m.impl("encode", TORCH_BOX(&encode)); }
}  // namespace dark
