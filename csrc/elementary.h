// SPDX-License-Identifier: Apache-2.0
// Functions of a number of which `cpu/elementary.h` has the same for vectors, so that one formula
// serves both.
#pragma once
#include <cmath>

#include "portable.h"

namespace dark {

template <typename V>
struct Elementary {
  using Scalar = V;
  static DARK_SHARED V exp(V x) { return std::exp(x); }
  static DARK_SHARED V log(V x) { return std::log(x); }
  static DARK_SHARED V sqrt(V x) { return std::sqrt(x); }
  static DARK_SHARED V lower(V a, V b) { return a < b ? a : b; }
  static DARK_SHARED V where_above(V a, V b, V x) { return a > b ? x : V(0); }
};

template <typename V>
using Scalar = typename Elementary<V>::Scalar;

}  // namespace dark
