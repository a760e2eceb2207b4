// SPDX-License-Identifier: Apache-2.0
// A target as its two one-dimensional factors, g(x, y) = row(y) column(x): what CPU kernels hold in
// place of the map.
#pragma once
#include <vector>

#include "../targets.h"
#include "elementary.h"

namespace dark {

// `count` is a multiple of kLanes. Static: each file has clones of its own, none is exported.
template <typename A>
DARK_MULTIVERSION static void fill_factor(A* factor, int64_t count, A center, A sigma,
                                          bool truncate) {
  // Further away float32's exponential is 0: most of a large map needs none.
  const A reach = static_cast<A>(std::is_same_v<A, float> ? 9.4 : INFINITY) * sigma;
  for (int64_t i = 0; i < count; i += kLanes<A>) {
    if (static_cast<A>(i) > center + reach || static_cast<A>(i + kLanes<A>) < center - reach) {
      store(factor + i, Vector<A>{});
      continue;
    }
    const auto pixels = lane_numbers<A>() + static_cast<Integer<A>>(i);
    const auto numbers = __builtin_convertvector(pixels, Vector<A>);
    store(factor + i, gaussian_factor(numbers, center, sigma, truncate));
  }
}

// Both factors have room for whole vectors.
template <typename A>
class Factors {
 public:
  explicit Factors(const TargetRule& rule)
      : columns_(whole(rule.width)), rows_(whole(rule.height)), rule_(rule) {}

  void center_on(Point<A> center) {
    fill(columns_, center.x);
    fill(rows_, center.y);
  }
  const A* columns() const { return columns_.data(); }
  const A* rows() const { return rows_.data(); }

 private:
  static int64_t whole(int64_t count) { return (count + kLanes<A> - 1) / kLanes<A> * kLanes<A>; }

  void fill(std::vector<A>& factor, A center) const {
    fill_factor<A>(factor.data(), factor.size(), center, static_cast<A>(rule_.sigma),
                   rule_.truncate);
  }

  std::vector<A> columns_, rows_;
  TargetRule rule_;
};

}  // namespace dark
