// SPDX-License-Identifier: Apache-2.0
// Dense maps as vectors of the arithmetic type: float16 and bfloat16 are converted, the flip test's
// average is formed, while they are read.
#pragma once
#include "../common.h"
#include "../map.h"
#include "lanes.h"

namespace dark {

template <int lanes>
DARK_INLINE BitVector<float, lanes> load_words(const void* from) {
  typedef uint16_t Words __attribute__((vector_size(lanes * 2)));
  Words words;
  std::memcpy(&words, from, sizeof(words));
  return __builtin_convertvector(words, BitVector<float, lanes>);
}

template <int lanes>
DARK_INLINE Vector<float, lanes> read(const BFloat16* from) {
  return as<Vector<float, lanes>>(load_words<lanes>(from) << 16);
}

template <int lanes>
DARK_INLINE Vector<float, lanes> read(const Half* from) {
  using V = Vector<float, lanes>;
  using U = BitVector<float, lanes>;
  const U words = load_words<lanes>(from), size = words & 0x7fff, sign = (words & 0x8000) << 16;
  const U rebiased = (size << 13) + (112u << 23);
  const U normal = size >= 0x7c00 ? rebiased + (112u << 23) : rebiased;
  // From integers below 2^10: arithmetic on subnormal numbers is slow on some processors.
  const U subnormal = as<U>(__builtin_convertvector(size, V) * 0x1p-24f);
  return as<V>((size < 0x400 ? subnormal : normal) | sign);
}

template <int lanes>
DARK_INLINE Vector<float, lanes> read(const float* from) {
  return load_as<Vector<float, lanes>>(from);
}

template <int lanes>
DARK_INLINE Vector<double, lanes> read(const double* from) {
  return load_as<Vector<double, lanes>>(from);
}

template <typename T, typename A = Arithmetic<T>>
DARK_INLINE Vector<A> read(const T* from) {
  return read<kLanes<A>>(from);
}

// Rounded to the nearest, ties to even.
DARK_INLINE void write(float* to, const Vector<float>& v) { store(to, v); }
DARK_INLINE void write(double* to, const Vector<double>& v) { store(to, v); }
template <typename T, typename V>
DARK_INLINE void write(T* to, const V& v) {
  for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); ++i) to[i] = static_cast<T>(v[i]);
}

DARK_INLINE void write_words(void* to, const BitVector<float>& words) {
  typedef uint16_t Words __attribute__((vector_size(2 * kLanes<float>)));
  const Words narrow = __builtin_convertvector(words, Words);
  std::memcpy(to, &narrow, sizeof(narrow));
}

DARK_INLINE void write(BFloat16* to, const Vector<float>& v) {
  using U = BitVector<float>;
  const U bits = as<U>(v), rounded = bits + 0x7fff + ((bits >> 16) & 1);
  write_words(to, (v == v ? rounded : U{} + 0x7fc00000) >> 16);
}

DARK_INLINE void write(Half* to, const Vector<float>& v) {
  using U = BitVector<float>;
  const U bits = as<U>(v), size = bits & 0x7fffffff, sign = (bits >> 16) & 0x8000;
  // Subnormal ones are multiples of 2^-24, the distance between float32s from 1/2 to 1.
  const U subnormal = as<U>(as<Vector<float>>(size) + 0.5f) - 0x3f000000;
  const U normal = (size - (112u << 23) + 0xfff + ((size >> 13) & 1)) >> 13;
  const U finite = size < 0x38800000 ? subnormal : normal;
  const U number = size < 0x477ff000 ? finite : U{} + 0x7c00;  // infinity from 65520 on
  write_words(to, (v == v ? number : U{} + 0x7e00) | sign);
}

// The first `count` lanes, where there is no room for all.
template <typename T, typename V>
DARK_INLINE void write_some(T* to, const V& v, int64_t count) {
  T lanes[sizeof(v) / sizeof(v[0])];
  write(static_cast<T*>(lanes), v);
  for (int64_t i = 0; i < count; ++i) to[i] = lanes[i];
}

// The first `count` values, zeros after them.
template <typename T, typename A = Arithmetic<T>>
DARK_INLINE Vector<A> read_some(const T* from, int64_t count) {
  T lanes[kLanes<A>] = {};
  for (int64_t i = 0; i < count; ++i) lanes[i] = from[i];
  return read(static_cast<const T*>(lanes));
}

// The values at from + kLanes - 1 down to from.
template <typename T, typename A = Arithmetic<T>>
DARK_INLINE Vector<A> read_reversed(const T* from) {
  const Vector<A> v = read(from);
  if constexpr (kLanes<A> == 4)
    return __builtin_shufflevector(v, v, 3, 2, 1, 0);
  else
    return __builtin_shufflevector(v, v, 7, 6, 5, 4, 3, 2, 1, 0);
}

// How far from memory maps are asked for ahead: tried from 1 to 24 KB.
constexpr int64_t kAhead = 4096;

// A dense map. Its lines, which are searched one by one, need not be its rows.
template <typename T>
struct Plain {
  using A = Arithmetic<T>;
  static constexpr int64_t n = kLanes<A>, kLine = 8 * n;
  const T* values;
  int64_t width, height;
  bool far;  // read from memory, not from a cache

  DARK_INLINE int64_t line_length() const { return kLine; }

  // f(vector, its first column) for each vector of a line: of `length`, where the map ends with it.
  // The last vector of a shorter line may begin in the line before: what is higher there has that
  // line's number already.
  template <typename F>
  DARK_INLINE void each_vector(int64_t line, int64_t length, F&& f) const {
    const T* begin = values + line * kLine;
    if (far)
      for (int64_t byte = 0; byte < kLine * static_cast<int64_t>(sizeof(T)); byte += 64)
        __builtin_prefetch(reinterpret_cast<const char*>(begin) + kAhead + byte, 0, 2);
    for (int64_t x = 0; x + n <= length; x += n) f(read(begin + x), x);
    if (length % n != 0) f(read(begin + length - n), length - n);
  }
  // Of a row: x + kLanes <= width.
  DARK_INLINE Vector<A> in_row(int64_t x, int64_t y) const { return read(values + y * width + x); }
  DARK_INLINE A at(int64_t x, int64_t y) const { return static_cast<A>(values[y * width + x]); }
};

// The average of two dense maps at least as wide as a vector, the second mirrored back and moved
// right by `shift`.
template <typename T>
struct Mirrored {
  using A = Arithmetic<T>;
  static constexpr int64_t n = kLanes<A>;
  const T *values, *flipped;
  int64_t width, height, shift;

  DARK_INLINE int64_t line_length() const { return width; }

  template <typename F>
  DARK_INLINE void each_vector(int64_t line, int64_t, F&& f) const {
    const T* own = values + line * width;
    const T* last = flipped + (line + 1) * width - n;
    int64_t x = 0;
    for (; x < shift && x + n <= width; x += n) f(in_row(x, line), x);
    for (; x + n <= width; x += n)
      f(A(0.5) * (read(own + x) + read_reversed(last - (x - shift))), x);
    if (x < width) f(in_row(width - n, line), width - n);
  }
  DARK_INLINE Vector<A> in_row(int64_t x, int64_t y) const {
    const T* line = flipped + y * width;
    const Vector<A> own = read(values + y * width + x);
    if (x >= shift) return A(0.5) * (own + read_reversed(line + width - n - x + shift));
    // The first `shift` columns repeat the edge. What is read beyond it is the next row's.
    const Vector<A> edge = broadcast(static_cast<A>(line[width - 1]));
    const Integer<A> repeated = static_cast<Integer<A>>(std::min(shift - x, n));
    Vector<A> other;
    if (y + 1 < height) {
      other = read_reversed(line + width - n + repeated);
    } else {
      A lanes[2 * n] = {};
      store(lanes + n, read_reversed(line + width - n));
      other = load_as<Vector<A>>(lanes + n - repeated);
    }
    return A(0.5) * (own + (lane_numbers<A>() < repeated ? edge : other));
  }
  DARK_INLINE A at(int64_t x, int64_t y) const {
    const T other = flipped[y * width + mirrored_column(x, width, shift)];
    return A(0.5) * (static_cast<A>(values[y * width + x]) + static_cast<A>(other));
  }
};

}  // namespace dark
