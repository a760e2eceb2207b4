// SPDX-License-Identifier: Apache-2.0
// A target as its two one-dimensional factors, g(x, y) = row(y) column[x]: what CPU kernels hold in
// place of the map.
#pragma once
#include "../gaussian.h"

namespace dark {

template <typename A>
class Factors {
 public:
  explicit Factors(const TargetRule& rule)
      : columns_(rule.width), rows_(rule.height), rule_(rule) {}

  void center_on(Point<A> center) {
    fill(columns_, center.x);
    fill(rows_, center.y);
  }
  const A* columns() const { return columns_.data(); }
  A row(int64_t y) const { return rows_[y]; }

 private:
  void fill(std::vector<A>& factor, A center) const {
    const A sigma = static_cast<A>(rule_.sigma);
    for (size_t i = 0; i < factor.size(); ++i)
      factor[i] = gaussian_factor(static_cast<int64_t>(i), center, sigma, rule_.truncate);
  }

  std::vector<A> columns_, rows_;
  TargetRule rule_;
};

}  // namespace dark
