// SPDX-License-Identifier: Apache-2.0
// The host side of what encode and heatmap_mse share on every device: joints as the kernels read
// them.
#pragma once
#include "checks.h"
#include "common.h"
#include "gaussian.h"

namespace dark {

// Joints, weights and transforms, contiguous and of the arithmetic type `type`; kept alive here
// while kernels read them.
struct Targets {
  Tensor joints, weights;
  std::optional<Tensor> transform;
  TargetRule rule;

  Targets(const Tensor& joints_, const Tensor& weights_, const std::optional<Tensor>& transform_,
          ScalarType type, int64_t height, int64_t width, double sigma, const std::string& rounding,
          bool truncate)
      : joints(contiguous_as(joints_, type)),
        weights(contiguous_as(weights_, type)),
        transform(contiguous_as(transform_, type)),
        rule{joints_.size(joints_.dim() - 2), height,  width, sigma,
             *find_name<Rounding>(rounding),  truncate} {}

  int64_t count() const { return weights.numel(); }
  ScalarType type() const { return joints.scalar_type(); }
};

// A prediction and its targets: what heatmap_mse and its backward read.
struct Residual {
  Maps maps;  // first: heatmaps is initialized through it
  Tensor heatmaps;
  Targets targets;

  Residual(const Tensor& heatmaps_, const Tensor& joints, const Tensor& weights, double sigma,
           const std::optional<Tensor>& transform, const std::string& rounding, bool truncate)
      : heatmaps(strided_maps(heatmaps_, maps)),
        targets(joints, weights, transform, arithmetic_type(heatmaps_.scalar_type()), maps.height,
                maps.width, sigma, rounding, truncate) {}
};

// What a kernel is given: the same as plain pointers.
template <typename A>
struct TargetReader {
  const A* joints;      // [B, K, 2]
  const A* weights;     // [B, K]
  const A* transforms;  // [B, 2, 3] or null
  TargetRule rule;

  explicit TargetReader(const Targets& t)
      : joints(t.joints.const_data_ptr<A>()),
        weights(t.weights.const_data_ptr<A>()),
        transforms(t.transform ? t.transform->const_data_ptr<A>() : nullptr),
        rule(t.rule) {}

  DARK_SHARED Target<A> operator()(int64_t map) const {
    return make_target(joints, weights, transforms, map / rule.joints, map % rule.joints, rule);
  }
};

}  // namespace dark
