// SPDX-License-Identifier: Apache-2.0
// The sub-pixel steps from a heatmap's maximum: DARK's Taylor step (Eq 3 to 9) and the two standard
// shifts. Mirrors `reference.decode`.
#pragma once
#include <cmath>
#include <cstdint>

#include "elementary.h"
#include "gaussian.h"
#include "portable.h"

namespace dark {

// The stencil reaches two pixels from the maximum; nearer to the border there is no step.
constexpr int kReach = 2;
constexpr int kStencil = 2 * kReach + 1;

DARK_SHARED bool taylor_fits(int64_t x, int64_t y, int64_t width, int64_t height) {
  return x >= kReach && x < width - kReach && y >= kReach && y < height - kReach;
}

// HRNet's frame, wider by one pixel on the left and top than on the right and bottom.
DARK_SHARED bool standard_fits(int64_t x, int64_t y, int64_t width, int64_t height) {
  return x > 1 && x < width - 1 && y > 1 && y < height - 1;
}

template <typename A>
DARK_SHARED A sign(A x) {
  return static_cast<A>((x > A(0)) - (x < A(0)));
}

// Second row of Table 1 as HRNet's code has it: a quarter pixel along each axis toward the higher
// neighbor.
template <typename A>
DARK_SHARED Point<A> standard_step(A left, A right, A above, A below) {
  return {A(0.25) * sign(right - left), A(0.25) * sign(below - above)};
}

// Eq 1: a quarter pixel toward the second highest activation.
template <typename A>
DARK_SHARED Point<A> second_max_step(int64_t dx, int64_t dy) {
  const A x = static_cast<A>(dx), y = static_cast<A>(dy);
  const A scale = A(0.25) / std::sqrt(x * x + y * y);
  return {scale * x, scale * y};
}

// A value of the stencil that is not above this has no logarithm worth a step, as released.
constexpr double kLowest = 1e-10;

// Of the stencil's values relative to the central one, which changes no derivative and keeps the
// logarithms small and exact.
template <typename V>
struct Logarithms {
  V right, left, below, above;  // of the neighbors
  V along, down;                // of the product of the two values two pixels away
  V diagonal;                   // of (lower right / upper right) (upper left / lower left)
};

// Eq 9: -D''^-1 D'. Central differences, second ones at distance 2, as released. No step where the
// logarithm is not that of a peak: a Hessian that is not negative definite, or values so far apart
// that the arithmetic overflows or, more than 19 orders of magnitude below the peak, underflows.
// Without branches: V may be a vector of several maps' values.
template <typename V>
DARK_SHARED Point<V> taylor_step(const Logarithms<V>& log, Scalar<V> max_shift) {
  using A = Scalar<V>;
  using E = Elementary<V>;
  const V dx = A(0.5) * (log.right - log.left), dy = A(0.5) * (log.below - log.above);
  const V dxx = A(0.25) * log.along, dyy = A(0.25) * log.down, dxy = A(0.25) * log.diagonal;
  const V determinant = dxx * dyy - dxy * dxy;
  const V inverse = A(1) / determinant;
  const V x = (dxy * dy - dyy * dx) * inverse, y = (dxy * dx - dxx * dy) * inverse;
  const V squared = x * x + y * y, all = V{} + A(1);
  const V shortening = squared > max_shift * max_shift ? max_shift / E::sqrt(squared) : all;
  // 1 where the step is sound, else 0.
  const V finite = E::where_above(V{} + static_cast<A>(INFINITY), squared, all);
  const V peaked = E::where_above(-dxx, V{}, E::where_above(determinant, V{}, finite));
  return {E::where_above(peaked, V{}, x * shortening), E::where_above(peaked, V{}, y * shortening)};
}

// The step from the 5x5 values v[y][x] round the maximum, of which the two axes and the four
// diagonal neighbors are read.
template <typename V>
DARK_SHARED Point<V> taylor_step(const V (&v)[kStencil][kStencil], Scalar<V> max_shift) {
  using A = Scalar<V>;
  using E = Elementary<V>;
  V lowest = E::lower(E::lower(v[1][1], v[1][3]), E::lower(v[3][1], v[3][3]));
  for (int i = 0; i < kStencil; ++i) lowest = E::lower(E::lower(v[2][i], v[i][2]), lowest);
  const V scale = A(1) / v[2][2];
  const Point<V> step =
      taylor_step<V>({E::log(v[2][3] * scale), E::log(v[2][1] * scale), E::log(v[3][2] * scale),
                      E::log(v[1][2] * scale), E::log(v[2][4] * scale * (v[2][0] * scale)),
                      E::log(v[4][2] * scale * (v[0][2] * scale)),
                      E::log((v[3][3] / v[1][3]) * (v[1][1] / v[3][1]))},
                     max_shift);
  const V enough = V{} + A(kLowest);
  return {E::where_above(lowest, enough, step.x), E::where_above(lowest, enough, step.y)};
}

}  // namespace dark
