// SPDX-License-Identifier: Apache-2.0
// Vectors of 32 bytes, an AVX2 register. GCC computes with vectors wider than a register lane by
// lane where it compares them: with 64 bytes decode took 2.4 ms under AVX2 in place of 0.15, and
// under AVX-512 was no faster. The lanes of a vector and the order of operations are the same
// everywhere, so the bits are, too (`benchmarks/instruction_sets.py`).
#pragma once
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "../portable.h"

// A function marked so is compiled for three instruction sets, with everything inlined into it; the
// best that the processor knows is taken at load time. It needs glibc's ifunc and GCC: elsewhere
// the one portable version is built. (The vectors themselves need GCC 12 or clang.)
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) && \
    !defined(DARK_ONE_INSTRUCTION_SET)
#define DARK_MULTIVERSION \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define DARK_MULTIVERSION
#endif
// For lambdas, which follow neither DARK_INLINE nor DARK_MULTIVERSION by themselves.
#define DARK_LAMBDA __attribute__((always_inline))

namespace dark {

template <typename A, int lanes>
struct VectorOf {
  using Integer = std::conditional_t<sizeof(A) == 8, int64_t, int32_t>;
  typedef A Values __attribute__((vector_size(lanes * sizeof(A))));
  typedef Integer Integers __attribute__((vector_size(lanes * sizeof(A))));
  typedef std::make_unsigned_t<Integer> Bits __attribute__((vector_size(lanes * sizeof(A))));
};
template <typename A>
constexpr int kLanes = 32 / sizeof(A);
template <typename A, int lanes = kLanes<A>>
using Vector = typename VectorOf<A, lanes>::Values;
template <typename A, int lanes = kLanes<A>>
using IntegerVector = typename VectorOf<A, lanes>::Integers;
template <typename A, int lanes = kLanes<A>>
using BitVector = typename VectorOf<A, lanes>::Bits;  // unsigned: sums may wrap
template <typename A>
using Integer = typename VectorOf<A, 1>::Integer;

template <typename V, typename A>
DARK_INLINE V load_as(const A* from) {
  V v;
  std::memcpy(&v, from, sizeof(v));
  return v;
}

template <typename A, typename V>
DARK_INLINE void store(A* to, const V& v) {
  std::memcpy(to, &v, sizeof(v));
}

// Stores past the caches, which neither read a line before they write it nor push out what is
// there: for results that caches do not hold. `fence_stores` comes before others read them.
DARK_INLINE void store_past_caches(float* to, const Vector<float>& v) {
#if defined(__SSE__)
  Vector<float, 4> halves[2];
  std::memcpy(halves, &v, sizeof(v));
  __builtin_ia32_movntps(to, halves[0]);
  __builtin_ia32_movntps(to + 4, halves[1]);
#else
  store(to, v);
#endif
}

DARK_INLINE void fence_stores() {
#if defined(__SSE__)
  __builtin_ia32_sfence();
#endif
}

// Whether a result of so many elements in rows of `width` is one, and every vector of it where such
// a store may begin.
template <typename T>
bool past_caches(const T* to, int64_t elements, int64_t width) {
  constexpr int64_t kBytes = 1 << 24;
  return std::is_same_v<T, float> && elements * static_cast<int64_t>(sizeof(T)) > kBytes &&
         width % kLanes<float> == 0 && reinterpret_cast<uintptr_t>(to) % 16 == 0;
}

// The bits of a vector as another type.
template <typename To, typename From>
DARK_INLINE To as(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  return load_as<To>(&from);
}

template <typename A>
DARK_INLINE Vector<A> broadcast(A value) {
  return Vector<A>{} + value;
}

// 0, 1, 2, ...
template <typename A>
DARK_INLINE IntegerVector<A> lane_numbers() {
  IntegerVector<A> v;
  for (int i = 0; i < kLanes<A>; ++i) v[i] = i;
  return v;
}

// f() of each lane by itself.
template <typename A, typename V, typename F>
DARK_INLINE V each(const V& v, F f) {
  A lanes[sizeof(V) / sizeof(A)];
  std::memcpy(lanes, &v, sizeof(v));
  for (A& lane : lanes) lane = f(lane);
  return load_as<V>(lanes);
}

// For numbers and vectors alike. Where a is NaN the result is b: one instruction. A conditional on
// anything but a single comparison would be compiled to a branch for each lane.
struct Higher {
  template <typename V>
  DARK_INLINE V operator()(const V& a, const V& b) const {
    return a > b ? a : b;
  }
};

struct Lower {
  template <typename V>
  DARK_INLINE V operator()(const V& a, const V& b) const {
    return a < b ? a : b;
  }
};

struct Plus {
  template <typename V>
  DARK_INLINE V operator()(const V& a, const V& b) const {
    return a + b;
  }
};

// combine() over all lanes, one half against the other.
template <typename A, int lanes = kLanes<A>, typename Combine>
DARK_INLINE A across(const Vector<A, lanes>& v, Combine combine) {
  if constexpr (lanes * sizeof(A) <= 16) {
    A lane = v[0];
    for (int i = 1; i < lanes; ++i) lane = combine(lane, v[i]);
    return lane;
  } else {
    Vector<A, lanes / 2> halves[2];
    std::memcpy(halves, &v, sizeof(v));
    return across<A, lanes / 2>(combine(halves[0], halves[1]), combine);
  }
}

// Whether the values that were added to `sum` are: none of them is NaN then.
template <typename A>
DARK_INLINE bool is_finite(const Vector<A>& sum) {
  const A total = across<A>(sum, Plus());
  return total - total == A(0);
}

}  // namespace dark
