// SPDX-License-Identifier: Apache-2.0
// Near a map's border, where DARK's smoothing finds zeros that the network never predicted, a
// Gaussian fitted to the pixels that exist. One of any width is a paraboloid in the logarithm:
// c + b (p - m) - a |p - m|^2 / 2 round the maximum m, its peak at m + b / a. The error of a
// logarithm is that of its value h divided by h, hence weights h^2. Mirrors `fit_steps` of
// `_fit_reference.py`.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "gaussian.h"
#include "names.h"
#include "portable.h"

namespace dark {

// Least determinant of the correlations of the four unknowns; 0 if the pixels leave one open.
constexpr double kDetermined = 1e-6;
constexpr double kLeastSize = 1e-30;  // of an unknown, so that none is divided by zero

// Where and how is fitted, in pixels.
struct FitRule {
  bool on;
  double margin;  // a maximum nearer to the border is fitted
  double limit;   // a step longer than this in x or y is none from a peak's highest pixel to it
  int reach;      // half side of the square of pixels that are fitted
};

// Half the square's side in sigmas of the taps, which have a little less than the Gaussian they are
// cut from: with 1.5 a sigma of 1 would have 3 x 3 pixels, of which a corner leaves too few.
constexpr double kWindow = 1.51;
// To the limit of a step, which symmetric plateaus reach exactly: not rounding is to decide there.
constexpr double kSlack = 1e-9;

// By the sigma of the taps: their variance's root, 0 where they have none. Mirrors `fit_rule` of
// `taps.py`.
inline FitRule fit_rule(const std::vector<double>& taps, const std::string& border) {
  if (find_name<Border>(border) != Border::fit) return {};
  const double middle = 0.5 * (static_cast<double>(taps.size()) - 1);
  double sum = 0, moment = 0;
  for (size_t i = 0; i < taps.size(); ++i) {
    const double distance = static_cast<double>(i) - middle;
    sum += taps[i];
    moment += taps[i] * distance * distance;
  }
  const double variance = moment / sum;
  // Taps that are not positive may have any variance.
  const double sigma = variance > 0 ? std::min(std::sqrt(variance), middle) : 0;
  const int reach = static_cast<int>(std::nearbyint(kWindow * sigma));
  return {sigma > 0, 2 * sigma, std::max(1.0, 0.5 * sigma) + kSlack, std::max(1, reach)};
}

DARK_SHARED bool near_border(const FitRule& rule, int64_t x, int64_t y, int64_t width,
                             int64_t height) {
  const double to_right = static_cast<double>(width - 1 - x);
  const double to_bottom = static_cast<double>(height - 1 - y);
  const double to_left = static_cast<double>(x), to_top = static_cast<double>(y);
  return rule.on && (to_left < rule.margin || to_right < rule.margin || to_top < rule.margin ||
                     to_bottom < rule.margin);
}

// The step from the maximum at (x, y), `peak` high, of a map that has at(x, y), width and height.
// False, and `step` as it was, where its pixels do not tell it.
template <typename A, typename M>
DARK_SHARED bool fit_step(const FitRule& rule, const M& map, int64_t x, int64_t y, A peak,
                          A max_shift, Point<A>& step) {
  // The normal equations' lower triangle, with the right side as the last column.
  constexpr int kUnknowns = 4;
  double sums[kUnknowns][kUnknowns + 1] = {};
  const int reach = rule.reach;
  for (int j = -reach; j <= reach; ++j) {
    for (int i = -reach; i <= reach; ++i) {
      if (x + i < 0 || x + i >= map.width || y + j < 0 || y + j >= map.height) continue;
      const double value = static_cast<double>(map.at(x + i, y + j)) / static_cast<double>(peak);
      if (!(value > 0)) continue;
      const double weight = value * value, log = std::log(value);
      const double terms[kUnknowns] = {1, static_cast<double>(i), static_cast<double>(j),
                                       -0.5 * (i * i + j * j)};
      for (int row = 0; row < kUnknowns; ++row) {
        const double weighted = weight * terms[row];
        for (int column = 0; column <= row; ++column) sums[row][column] += weighted * terms[column];
        sums[row][kUnknowns] += weighted * log;
      }
    }
  }
  double size[kUnknowns];
  for (int row = 0; row < kUnknowns; ++row) {
    const double root = std::sqrt(sums[row][row]);
    size[row] = root > kLeastSize ? root : kLeastSize;
  }
  for (int row = 0; row < kUnknowns; ++row) {
    for (int column = 0; column <= row; ++column) sums[row][column] /= size[row] * size[column];
    sums[row][kUnknowns] /= size[row];
  }
  // Elimination of symmetric equations. No pivot of correlations is above 1.
  double determinant = 1;
  for (int pivot = 0; pivot < kUnknowns; ++pivot) {
    determinant *= sums[pivot][pivot];
    if (!(determinant > kDetermined)) return false;
    for (int row = pivot + 1; row < kUnknowns; ++row) {
      const double factor = sums[row][pivot] / sums[pivot][pivot];
      for (int column = pivot + 1; column <= row; ++column)
        sums[row][column] -= factor * sums[column][pivot];
      sums[row][kUnknowns] -= factor * sums[pivot][kUnknowns];
    }
  }
  double answer[kUnknowns];  // of which the first, c, is not needed
  for (int row = kUnknowns - 1; row > 0; --row) {
    double rest = sums[row][kUnknowns];
    for (int below = row + 1; below < kUnknowns; ++below) rest -= sums[below][row] * answer[below];
    answer[row] = rest / sums[row][row];
  }
  const double a = answer[3] / size[3];
  const double dx = answer[1] / size[1] / a, dy = answer[2] / size[2] / a;
  if (!(a > 0 && std::abs(dx) <= rule.limit && std::abs(dy) <= rule.limit)) return false;
  const double most = static_cast<double>(max_shift), length = std::sqrt(dx * dx + dy * dy);
  const double shortening = length > most ? most / length : 1;
  step = {static_cast<A>(dx * shortening), static_cast<A>(dy * shortening)};
  return true;
}

}  // namespace dark
