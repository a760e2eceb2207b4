// SPDX-License-Identifier: Apache-2.0
// Squares of as many vectors as they have lanes, transposed in registers.
#pragma once
#include "lanes.h"

namespace dark {

DARK_INLINE void transpose(Vector<double> (&v)[4]) {
  using V = Vector<double>;
  const V a = __builtin_shufflevector(v[0], v[1], 0, 4, 2, 6);
  const V b = __builtin_shufflevector(v[0], v[1], 1, 5, 3, 7);
  const V c = __builtin_shufflevector(v[2], v[3], 0, 4, 2, 6);
  const V d = __builtin_shufflevector(v[2], v[3], 1, 5, 3, 7);
  v[0] = __builtin_shufflevector(a, c, 0, 1, 4, 5);
  v[1] = __builtin_shufflevector(b, d, 0, 1, 4, 5);
  v[2] = __builtin_shufflevector(a, c, 2, 3, 6, 7);
  v[3] = __builtin_shufflevector(b, d, 2, 3, 6, 7);
}

// Within each half of four lanes first, then the halves.
DARK_INLINE void transpose(Vector<float> (&v)[8]) {
  using V = Vector<float>;
  V pairs[8], fours[8];
  for (int i = 0; i < 8; i += 2) {
    pairs[i] = __builtin_shufflevector(v[i], v[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    pairs[i + 1] = __builtin_shufflevector(v[i], v[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  for (int i = 0; i < 8; i += 4)
    for (int j = 0; j < 2; ++j) {
      const V a = pairs[i + j], b = pairs[i + j + 2];
      fours[i + 2 * j] = __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13);
      fours[i + 2 * j + 1] = __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
    }
  for (int i = 0; i < 4; ++i) {
    v[i] = __builtin_shufflevector(fours[i], fours[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    v[i + 4] = __builtin_shufflevector(fours[i], fours[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}

}  // namespace dark
