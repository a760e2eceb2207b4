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

// The first `joints` maps at `from` to `to`, [joints, height, width].
template <typename T, typename A = Arithmetic<T>>
DARK_INLINE void stage(const T* from, const Maps& maps, int64_t joints, A* to) {
  const int64_t size = maps.size(), step = maps.stride_column;
  const bool channels_last = maps.stride_joint == 1 && joints >= 4 && maps.width >= 4;
  for (int64_t y = 0; y < maps.height; ++y, from += maps.stride_row, to += maps.width) {
    if (!channels_last) {
      for (int64_t k = 0; k < joints; ++k)
        for (int64_t x = 0; x < maps.width; ++x)
          to[k * size + x] = static_cast<A>(from[k * maps.stride_joint + x * step]);
      continue;
    }
    // Four at a time, the last four again where their number is not a multiple.
    for (int64_t i = 0; i < maps.width; i += 4) {
      const int64_t x = std::min(i, maps.width - 4);
      for (int64_t j = 0; j < joints; j += 4) {
        const int64_t k = std::min(j, joints - 4);
        Vector<A, 4> pixels[4];
        for (int p = 0; p < 4; ++p) pixels[p] = read<4>(from + (x + p) * step + k);
        transpose(pixels, to + k * size + x, size);
      }
    }
  }
}

template <typename T>
DARK_MULTIVERSION void stage_maps(const T* from, const Maps& maps, int64_t joints,
                                  Arithmetic<T>* to) {
  stage(from, maps, joints, to);
}

// Calls f(map, pointer to its first row, distance of its rows) for maps `begin` to `end`, each with
// dense rows: its own, or those of a copy in the arithmetic type. `in_place`: f takes T, too.
template <bool in_place, typename T, typename F>
void for_each_map(const T* from, const Maps& maps, int64_t begin, int64_t end, F&& f) {
  using A = Arithmetic<T>;
  constexpr int64_t kTogether = 32;
  const int64_t joints = maps.joints, size = maps.size();
  const bool has_rows = maps.stride_column == 1 || maps.width == 1;
  std::vector<A> staged;
  for (int64_t count; begin < end; begin += count) {
    const int64_t person = begin / joints, joint = begin % joints;
    const T* first = from + maps.offset(person, joint);
    count = std::min({end - begin, joints - joint, kTogether});
    if constexpr (in_place || std::is_same_v<T, A>) {
      for (int64_t i = 0; has_rows && i < count; ++i)
        f(begin + i, first + i * maps.stride_joint, maps.stride_row);
      if (has_rows) continue;
    }
    staged.resize(count * size);
    stage_maps(first, maps, count, staged.data());
    for (int64_t i = 0; i < count; ++i)
      f(begin + i, static_cast<const A*>(staged.data()) + i * size, maps.width);
  }
}

}  // namespace dark
