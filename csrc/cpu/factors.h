// SPDX-License-Identifier: Apache-2.0
// Targets as their one-dimensional factors, g(x, y) = row(y) column(x): what CPU kernels hold in
// place of maps.
#pragma once
#include <vector>

#include "../targets.h"
#include "elementary.h"

namespace dark {

// exp(-(i - center)^2 / (2 sigma^2)) for i from 0 to count, a multiple of kLanes.
template <typename A>
DARK_INLINE void fill_factor(A* factor, int64_t count, A center, A sigma, bool truncate) {
  for (int64_t i = 0; i < count; i += kLanes<A>) {
    const auto pixels = lane_numbers<A>() + static_cast<Integer<A>>(i);
    const auto numbers = __builtin_convertvector(pixels, Vector<A>);
    store(factor + i, gaussian_factor(numbers, center, sigma, truncate));
  }
}

// Of a few maps at a time: exponentials are all latency, which those of other maps hide.
template <typename A>
class Factors {
 public:
  static constexpr int64_t kTogether = 8;

  explicit Factors(const TargetReader<A>& targets)
      : targets_(targets),
        width_(whole(targets.rule.width)),
        stride_(width_ + whole(targets.rule.height)),
        values_(kTogether * stride_) {}

  // Maps have room for whole vectors in each factor.
  const A* columns(int64_t map) const { return values_.data() + map % kTogether * stride_; }
  const A* rows(int64_t map) const { return columns(map) + width_; }
  const Target<A>& target(int64_t map) const { return found_[map % kTogether]; }

  // For maps `begin` to `end`, at most kTogether.
  void find(int64_t begin, int64_t end) {
    for (int64_t map = begin; map < end; ++map) found_[map % kTogether] = targets_(map);
    fill(begin, end, found_, values_.data(), width_, stride_, static_cast<A>(targets_.rule.sigma),
         targets_.rule.truncate);
  }

 private:
  static int64_t whole(int64_t count) { return (count + kLanes<A> - 1) / kLanes<A> * kLanes<A>; }

  DARK_MULTIVERSION static void fill(int64_t begin, int64_t end, const Target<A>* targets,
                                     A* values, int64_t width, int64_t stride, A sigma,
                                     bool truncate) {
    for (int64_t map = begin; map < end; ++map) {
      const Target<A>& target = targets[map % kTogether];
      if (target.weight == A(0)) continue;
      A* columns = values + map % kTogether * stride;
      fill_factor(columns, width, target.center.x, sigma, truncate);
      fill_factor(columns + width, stride - width, target.center.y, sigma, truncate);
    }
  }

  const TargetReader<A>& targets_;
  int64_t width_, stride_;
  std::vector<A> values_;
  Target<A> found_[kTogether];
};

}  // namespace dark
