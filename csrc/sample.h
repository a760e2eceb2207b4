// SPDX-License-Identifier: Apache-2.0
// Where crop samples an image and what it makes of the pixels there, the same bits on every device
// (compiled without fusing products and sums) and in `darkpose_ext/reference.py`.
// Eight neighbors of a row are a run: its first position is computed in float64 and the others by
// float32 steps from it, so that a position is off by less than 0.001 pixels in images of any size
// while a pixel costs float32's time.
#pragma once
#include <cfloat>
#include <cmath>
#include <cstdint>

#include "portable.h"

namespace dark {

constexpr int kRun = 8;
constexpr int kFarthest = 1 << 29;  // pixels from the origin; sums of two such numbers are integers

// An image [H, W, C] as it lies in memory; strides are in bytes and may be of any sign.
struct Image {
  const uint8_t* data;
  int64_t row, column, channel;
  int height, width;

  DARK_SHARED const uint8_t* at(int x, int y) const { return data + y * row + x * column; }
  DARK_SHARED bool holds(int x, int y) const { return x >= 0 && x < width && y >= 0 && y < height; }
  // A channel's value as a number, 0 beyond the border.
  DARK_SHARED float value(int x, int y, int c) const {
    return holds(x, y) ? static_cast<float>(at(x, y)[c * channel]) : 0.0f;
  }
};

// Of one direction: pixel + fraction is the first position of a run, `step` leads to the next, at
// most so far that the last one is an integer too.
struct Run {
  int pixel;
  float fraction, step;
};

DARK_SHARED double within(double v, int farthest) {
  return v < -farthest ? -farthest : v > farthest ? farthest : v;
}

// Of the run from crop pixel (x, y) on; `m` is the transform's row [3] of this direction.
DARK_SHARED Run run_of(const double* m, int64_t x, int64_t y) {
  const double position =
      within(m[0] * static_cast<double>(x) + m[1] * static_cast<double>(y) + m[2], kFarthest);
  const double whole = std::floor(position);
  return {static_cast<int>(whole), static_cast<float>(position - whole),
          static_cast<float>(within(m[0], kFarthest / (2 * kRun)))};
}

// The pixel at or before a position, and how far beyond it the position is: 0 to 1.
struct Place {
  int pixel;
  float part;
};

DARK_SHARED Place place_of(const Run& run, int i) {
  const float offset = run.fraction + run.step * static_cast<float>(i);
  const float whole = std::floor(offset);
  return {run.pixel + static_cast<int>(whole), offset - whole};
}

// For numbers and for vectors of channels alike.
template <typename V, typename W>
DARK_SHARED V between(const V& a, const V& b, const W& part) {
  return a + part * (b - a);
}

// Keys' weights with a = -0.75, as Sapiens2's and OpenCV's, for the pixels -1 to 2 from the
// place's.
template <typename V>
struct Cubic {
  V weights[4];

  DARK_SHARED explicit Cubic(const V& t) {
    const V s = t + 1.0f;
    weights[0] = ((-0.75f * s + 3.75f) * s - 6.0f) * s + 3.0f;
    weights[1] = near(t);
    weights[2] = near(1.0f - t);
    weights[3] = ((1.0f - weights[0]) - weights[1]) - weights[2];
  }

  DARK_SHARED Cubic(const V& before, const V& here, const V& next, const V& last)
      : weights{before, here, next, last} {}

  template <typename U>
  DARK_SHARED U operator()(const U& before, const U& here, const U& next, const U& last) const {
    return ((weights[0] * before + weights[1] * here) + weights[2] * next) + weights[3] * last;
  }

 private:
  DARK_SHARED static V near(const V& t) { return ((1.25f * t - 2.25f) * t) * t + 1.0f; }
};

// One channel of one sample; value(i, j) is that of the pixel so far from the place's, 0 beyond the
// border. Columns first, then along the row.
template <typename Value>
DARK_SHARED float bilinear(const Value& value, const Place& x, const Place& y) {
  const auto column = [&](int i) { return between(value(i, 0), value(i, 1), y.part); };
  return between(column(0), column(1), x.part);
}

template <typename Value>
DARK_SHARED float bicubic(const Value& value, const Place& x, const Place& y) {
  const Cubic<float> along(x.part), down(y.part);
  const auto column = [&](int i) {
    return down(value(i, -1), value(i, 0), value(i, 1), value(i, 2));
  };
  return along(column(-1), column(0), column(1), column(2));
}

// Whether a transform [2, 3] has only finite numbers, in float32 too.
DARK_SHARED bool is_usable(const double* m) {
  for (int i = 0; i < 6; ++i)
    if (!(m[i] >= -FLT_MAX && m[i] <= FLT_MAX)) return false;
  return true;
}

}  // namespace dark
