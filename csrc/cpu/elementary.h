// SPDX-License-Identifier: Apache-2.0
// Exponential, logarithm and square root of vectors. float32's are written out, without branches or
// tables: 1.03 and 0.88 units in the last place at most, and the same bits from every
// instruction set. float64's are the standard library's.
#pragma once
#include "../elementary.h"
#include "lanes.h"

namespace dark {

template <typename A>
struct Selection {
  using Scalar = A;
  using V = Vector<A>;
  static DARK_INLINE V lower(const V& a, const V& b) { return Lower()(a, b); }
  static DARK_INLINE V where_above(const V& a, const V& b, const V& x) { return a > b ? x : V{}; }
};

template <>
struct Elementary<Vector<float>> : Selection<float> {
  using I = IntegerVector<float>;

  // For x from -inf to 0. What would be below 2^-63 is 0, so that no product of two is subnormal,
  // which some processors are slow to compute.
  static DARK_INLINE V exp(const V& x) {
    constexpr float kLowest = -43.668274f, kRounds = 12582912;  // 1.5 x 2^23
    const V clamped = x > kLowest ? x : broadcast(kLowest);
    // exp(x) = 2^n exp(r), |r| <= log(2) / 2, and log(2) in two parts of which the first is exact.
    const V n = (clamped * 1.44269504f + kRounds) - kRounds;
    const V r = (clamped - n * 0.693359375f) - n * -2.12194440e-4f;
    V p = 1.3926927e-3f * r + 8.3637739e-3f;
    p = p * r + 4.1666550e-2f;
    p = p * r + 1.6666573e-1f;
    p = p * r + 0.5f;
    const V power = as<V>((__builtin_convertvector(n, I) + 127) << 23);
    const V value = ((r * r) * p + r + 1.0f) * power;
    return x > kLowest ? value : (x == x ? V{} : x);
  }

  // For x >= 0; -inf for what is subnormal.
  static DARK_INLINE V log(const V& x) {
    constexpr uint32_t kHalfRoot = 0x3f3504f3;  // the bits of sqrt(1/2)
    // x = 2^e m, m from sqrt(1/2) to sqrt(2).
    const BitVector<float> bits = as<BitVector<float>>(x) - kHalfRoot;
    const V e = __builtin_convertvector(as<I>(bits) >> 23, V);
    const V f = as<V>((bits & 0x7fffff) + kHalfRoot) - 1.0f, squared = f * f;
    V p = 6.9716115e-2f * f - 1.1479734e-1f;
    p = p * f + 1.1685420e-1f;
    p = p * f - 1.2425687e-1f;
    p = p * f + 1.4249058e-1f;
    p = p * f - 1.6667802e-1f;
    p = p * f + 2.0000716e-1f;
    p = p * f - 2.5e-1f;
    p = p * f + 3.3333333e-1f;
    const V rest = (f * (squared * p) + e * 1.42860677e-6f) - 0.5f * squared;
    const V value = (f + rest) + e * 0.693145752f;
    const V low = x == x ? broadcast(-INFINITY) : x;
    return x >= 1.17549435e-38f ? (x <= 3.40282347e38f ? value : x) : low;
  }

  static DARK_INLINE V sqrt(V x) {
    return each<float>(x, [](float lane) { return std::sqrt(lane); });
  }
};

template <>
struct Elementary<Vector<double>> : Selection<double> {
  static DARK_INLINE V exp(V x) {
    return each<double>(x, [](double lane) { return std::exp(lane); });
  }
  static DARK_INLINE V log(V x) {
    return each<double>(x, [](double lane) { return std::log(lane); });
  }
  static DARK_INLINE V sqrt(V x) {
    return each<double>(x, [](double lane) { return std::sqrt(lane); });
  }
};

}  // namespace dark
