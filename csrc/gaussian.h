// SPDX-License-Identifier: Apache-2.0
// Where a joint's Gaussian stands, whether it counts, and its two one-dimensional factors (Eq 12 to
// 14). Mirrors `reference.encode`.
#pragma once
#include <cmath>
#include <cstdint>

#include "elementary.h"
#include "names.h"
#include "portable.h"

namespace dark {

template <typename A>
struct Point {
  A x, y;
};

// Rows of a 2x3 matrix: Eq 12 as an affine map from the joints' pixels to the heatmap's, or Eq 2
// back.
template <typename A>
DARK_SHARED Point<A> apply_transform(const A* m, Point<A> p) {
  return {m[0] * p.x + m[1] * p.y + m[2], m[3] * p.x + m[4] * p.y + m[5]};
}

// Eq 13. `round` is floor(x + 1/2): the customary truncation pulls centers between -1.5 and 0 to
// column 0.
template <typename A>
DARK_SHARED A round_center(A x, Rounding rounding) {
  switch (rounding) {
    case Rounding::none: return x;
    case Rounding::floor: return std::floor(x);
    case Rounding::ceil: return std::ceil(x);
    case Rounding::round: return std::floor(x + A(0.5));
  }
  __builtin_unreachable();
}

// The released rule, the same formula for DarkPose's sub-pixel and HRNet's rounded centers: the 3
// sigma square, its far corner one pixel further, touches the map after truncation toward zero.
// False for NaN.
template <typename A>
DARK_SHARED bool touches_map(A center, int64_t size, A sigma) {
  return center - 3 * sigma < static_cast<A>(size) && center + 3 * sigma + 1 > A(-1);
}

// One factor of Eq 14 with peak 1. `truncate` keeps what lies within 3 sigma of the pixel nearest
// to the center. V may be a vector of several pixels' numbers.
template <typename V, typename A = Scalar<V>>
DARK_SHARED V gaussian_factor(V pixel, A center, A sigma, bool truncate) {
  const V distance = (pixel - center) * (A(1) / sigma);
  const V value = Elementary<V>::exp(A(-0.5) * distance * distance);
  if (!truncate) return value;
  const V offset = pixel - std::floor(center + A(0.5)), squared = offset * offset;
  return squared > 9 * sigma * sigma ? V{} : value;
}

// What encode and heatmap_mse need to know of a target: its center in heatmap pixels and its
// weight, 0 if it is empty.
template <typename A>
struct Target {
  Point<A> center;
  A weight;
};

// How joints become targets: everything but the joints.
struct TargetRule {
  int64_t joints, height, width;
  double sigma;
  Rounding rounding;
  bool truncate;
};

// Joint k of person b. `transforms` is null where the joints are in heatmap pixels already.
template <typename A>
DARK_SHARED Target<A> make_target(const A* joints, const A* weights, const A* transforms,
                                  int64_t person, int64_t joint, const TargetRule& rule) {
  const int64_t i = person * rule.joints + joint;
  const A sigma = static_cast<A>(rule.sigma);
  Point<A> p{joints[2 * i], joints[2 * i + 1]};
  if (transforms != nullptr) p = apply_transform(transforms + 6 * person, p);
  p = {round_center(p.x, rule.rounding), round_center(p.y, rule.rounding)};
  const bool counts = weights[i] > A(0) && touches_map(p.x, rule.width, sigma) &&
                      touches_map(p.y, rule.height, sigma);
  return {p, counts ? weights[i] : A(0)};
}

}  // namespace dark
