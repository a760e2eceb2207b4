// SPDX-License-Identifier: Apache-2.0
// Heatmaps as decode sees them: the network's output, or its average with the output for the
// mirrored input, formed while it is read. Mirrors `reference.mirror_back`.
#pragma once
#include "common.h"
#include "portable.h"

namespace dark {

// Column of the flipped map that belongs to column x: mirrored back, moved right by `shift`, the
// edge repeated.
DARK_SHARED int64_t mirrored_column(int64_t x, int64_t width, int64_t shift) {
  return width - 1 - (x > shift ? x - shift : 0);
}

// One joint's map. `flipped` is null without the flip test.
template <typename T>
struct Map {
  using A = Arithmetic<T>;
  const T* heatmap;
  const T* flipped;
  int64_t row, column;                  // strides of heatmap
  int64_t flipped_row, flipped_column;  // strides of flipped
  int64_t height, width, shift;

  DARK_SHARED A at(int64_t x, int64_t y) const {
    const A value = static_cast<A>(heatmap[y * row + x * column]);
    if (flipped == nullptr) return value;
    const int64_t mirrored = mirrored_column(x, width, shift);
    return A(0.5) * (value + static_cast<A>(flipped[y * flipped_row + mirrored * flipped_column]));
  }
  // The values at x from `begin` to `end` of row y, one loop for each map instead of a test a
  // pixel.
  DARK_SHARED void read_row(int64_t begin, int64_t end, int64_t y, A* out) const {
    const T* line = heatmap + y * row;
    for (int64_t x = begin; x < end; ++x) out[x - begin] = static_cast<A>(line[x * column]);
    if (flipped == nullptr) return;
    const T* other = flipped + y * flipped_row;
    for (int64_t x = begin; x < end; ++x) {
      const int64_t at = mirrored_column(x, width, shift) * flipped_column;
      out[x - begin] = A(0.5) * (out[x - begin] + static_cast<A>(other[at]));
    }
  }
  // Zeros outside, as the modulation has it.
  DARK_SHARED A at_or_zero(int64_t x, int64_t y) const {
    return x >= 0 && x < width && y >= 0 && y < height ? at(x, y) : A(0);
  }
};

}  // namespace dark
