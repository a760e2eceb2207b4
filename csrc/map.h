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
};

}  // namespace dark
