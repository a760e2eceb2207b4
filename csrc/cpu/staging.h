// SPDX-License-Identifier: Apache-2.0
// Maps of any layout and type as dense ones. Channels-last is transposed a person at a time, in
// cache.
#pragma once
#include <vector>

#include "reading.h"

namespace dark {

// Four pixels of four joints each, transposed.
template <typename A>
DARK_INLINE void transpose(const Vector<A, 4> (&pixels)[4], A* to, int64_t stride) {
  using Q = Vector<A, 4>;
  const Q a = __builtin_shufflevector(pixels[0], pixels[1], 0, 4, 1, 5);
  const Q b = __builtin_shufflevector(pixels[2], pixels[3], 0, 4, 1, 5);
  const Q c = __builtin_shufflevector(pixels[0], pixels[1], 2, 6, 3, 7);
  const Q d = __builtin_shufflevector(pixels[2], pixels[3], 2, 6, 3, 7);
  store(to, __builtin_shufflevector(a, b, 0, 1, 4, 5));
  store(to + stride, __builtin_shufflevector(a, b, 2, 3, 6, 7));
  store(to + 2 * stride, __builtin_shufflevector(c, d, 0, 1, 4, 5));
  store(to + 3 * stride, __builtin_shufflevector(c, d, 2, 3, 6, 7));
}

// The first `joints` maps at `from`, dense, `stride` apart. Static: no clones are exported.
template <typename T, typename A = Arithmetic<T>>
DARK_MULTIVERSION static void copy_maps(const T* from, const Maps& maps, int64_t joints, A* to,
                                        int64_t stride) {
  const int64_t step = maps.stride_column;
  const bool channels_last = maps.stride_joint == 1 && joints >= 4 && maps.width >= 4;
  for (int64_t y = 0; y < maps.height; ++y, from += maps.stride_row, to += maps.width) {
    if (!channels_last) {
      for (int64_t k = 0; k < joints; ++k)
        for (int64_t x = 0; x < maps.width; ++x)
          to[k * stride + x] = static_cast<A>(from[k * maps.stride_joint + x * step]);
      continue;
    }
    // Four at a time, the last four again where their number is not a multiple.
    for (int64_t i = 0; i < maps.width; i += 4) {
      const int64_t x = std::min(i, maps.width - 4);
      for (int64_t j = 0; j < joints; j += 4) {
        const int64_t k = std::min(j, joints - 4);
        Vector<A, 4> pixels[4];
        for (int p = 0; p < 4; ++p) pixels[p] = read<4>(from + (x + p) * step + k);
        transpose(pixels, to + k * stride + x, stride);
      }
    }
  }
}

// Dense copies of a person's maps. Between them lies a cache line, so that maps of a few KB do not
// compete for the same lines of the cache.
template <typename A>
class Staged {
 public:
  // The first `joints` maps at `from`.
  template <typename T>
  void copy(const T* from, const Maps& maps, int64_t joints) {
    stride_ = maps.size() + kLanes<A>;
    values_.resize(joints * stride_);
    copy_maps(from, maps, joints, values_.data(), stride_);
  }
  A* map(int64_t joint) { return values_.data() + joint * stride_; }

 private:
  int64_t stride_ = 0;
  std::vector<A> values_;
};

// Calls f(map, pointer to its first row, distance of its rows) for maps `begin` to `end`, each with
// dense rows: its own, or those of a copy in the arithmetic type. `in_place`: f takes T, too.
template <bool in_place, typename T, typename F>
void for_each_map(const T* from, const Maps& maps, int64_t begin, int64_t end, F&& f) {
  using A = Arithmetic<T>;
  constexpr int64_t kTogether = 32;
  const bool has_rows = maps.stride_column == 1 || maps.width == 1;
  Staged<A> staged;
  for (int64_t count; begin < end; begin += count) {
    const int64_t person = begin / maps.joints, joint = begin % maps.joints;
    const T* first = from + maps.offset(person, joint);
    count = std::min({end - begin, maps.joints - joint, kTogether});
    if constexpr (in_place || std::is_same_v<T, A>) {
      for (int64_t i = 0; has_rows && i < count; ++i)
        f(begin + i, first + i * maps.stride_joint, maps.stride_row);
      if (has_rows) continue;
    }
    staged.copy(first, maps, count);
    for (int64_t i = 0; i < count; ++i)
      f(begin + i, static_cast<const A*>(staged.map(i)), maps.width);
  }
}

}  // namespace dark
