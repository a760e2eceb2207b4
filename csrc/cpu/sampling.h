// SPDX-License-Identifier: Apache-2.0
// A row of a crop as quads, a pixel of up to four gray levels each. Pixels whose channels lie side
// by side are read with all of them at once where everything that a run reads is inside the image;
// other runs, and images of other layouts, go channel by channel.
#pragma once
#include "../crop.h"
#include "lanes.h"

namespace dark {

using Levels = uint8_t __attribute__((vector_size(kRun)));
using Pair = Vector<float>;     // the channels of two neighbors, the second from kColumn on
using Quad = Vector<float, 4>;  // those of one
static_assert(kLanes<float> == kRun);

// Where the samples of a run lie. They are in order, so the first and the last are the outermost.
struct Places {
  int x[kRun], y[kRun];
  float along[kRun], down[kRun];

  // Whether the pixels from `before` ahead of each place to `after` behind it are in the image.
  DARK_INLINE bool inside(const Image& image, int before, int after_x, int after_y) const {
    const auto fits = [=](const int* at, int after, int size) DARK_LAMBDA {
      return std::min(at[0], at[kRun - 1]) >= before &&
             std::max(at[0], at[kRun - 1]) + after < size;
    };
    return fits(x, after_x, image.width) && fits(y, after_y, image.height);
  }
  // Whether none of them is.
  DARK_INLINE bool outside(const Image& image, int before, int after) const {
    const auto misses = [=](const int* at, int size) DARK_LAMBDA {
      return std::max(at[0], at[kRun - 1]) + after < 0 ||
             std::min(at[0], at[kRun - 1]) - before >= size;
    };
    return misses(x, image.width) || misses(y, image.height);
  }
};

DARK_INLINE void place(const Run& run, int* pixels, float* parts) {
  using Whole = IntegerVector<float>;
  const Pair farthest = broadcast<float>(kFarthest);
  const Pair steps = __builtin_convertvector(lane_numbers<float>(), Pair);
  const Pair offset = Higher()(Lower()(run.fraction + run.step * steps, farthest), -farthest);
  Whole whole = __builtin_convertvector(offset, Whole);    // towards zero
  whole += __builtin_convertvector(whole, Pair) > offset;  // a truth is -1
  store(parts, offset - __builtin_convertvector(whole, Pair));
  store(pixels, whole + run.pixel);
}

// To the nearest, ties to even: a float's last bit is worth 1 from 2^23 on.
template <typename V>
DARK_INLINE auto levels_of(const V& v) {
  using Whole = IntegerVector<float, sizeof(V) / sizeof(float)>;
  typedef uint8_t Bytes __attribute__((vector_size(sizeof(V) / sizeof(float))));
  return __builtin_convertvector(as<Whole>(v + 12582912.0f), Bytes);
}

template <typename V>
DARK_INLINE V in_gray_range(const V& v) {
  return Lower()(Higher()(v, V{}), V{} + 255.0f);
}

// ---- all channels of a pixel at once
// -------------------------------------------------------------

template <int kColumn>
DARK_INLINE Quad second_of(const Pair& pair) {
  if constexpr (kColumn == 3)
    return __builtin_shufflevector(pair, pair, 3, 4, 5, 6);
  else
    return __builtin_shufflevector(pair, pair, 4, 5, 6, 7);
}

DARK_INLINE Quad first_of(const Pair& pair) {
  return __builtin_shufflevector(pair, pair, 0, 1, 2, 3);
}

DARK_INLINE Pair neighbors(const uint8_t* at) {
  using Whole = IntegerVector<float>;
  return __builtin_convertvector(__builtin_convertvector(load_as<Levels>(at), Whole), Pair);
}

template <Interpolation kind, int kColumn>
DARK_INLINE void sample_pixels(const Image& image, const Places& places, uint8_t* quads) {
  for (int i = 0; i < kRun; ++i) {
    const uint8_t* at = image.data + places.y[i] * image.row + places.x[i] * int64_t{kColumn};
    if constexpr (kind == Interpolation::bilinear) {
      const Pair column = between(neighbors(at), neighbors(at + image.row), places.down[i]);
      const Quad v = between(first_of(column), second_of<kColumn>(column), places.along[i]);
      store(quads + 4 * i, levels_of(v));
    } else {
      const Cubic<float> along(places.along[i]), down(places.down[i]);
      const auto columns = [&](const uint8_t* from) DARK_LAMBDA {
        return down(neighbors(from - image.row), neighbors(from), neighbors(from + image.row),
                    neighbors(from + 2 * image.row));
      };
      const Pair left = columns(at - kColumn), right = columns(at + kColumn);
      const Quad v = along(first_of(left), second_of<kColumn>(left), first_of(right),
                           second_of<kColumn>(right));
      store(quads + 4 * i, levels_of(in_gray_range(v)));
    }
  }
}

// ---- one channel of eight pixels at once
// ---------------------------------------------------------

// The pixels that lie (dx, dy) from each place.
template <bool kInside>
DARK_INLINE Pair gather(const Image& image, const Places& places, int c, int dx, int dy) {
  uint8_t levels[kRun];
  for (int i = 0; i < kRun; ++i) {
    const int x = places.x[i] + dx, y = places.y[i] + dy;
    levels[i] = kInside || image.holds(x, y) ? image.at(x, y)[c * image.channel] : 0;
  }
  return neighbors(levels);
}

template <Interpolation kind, bool kInside>
DARK_INLINE void sample_channel(const Image& image, const Places& places, int c, uint8_t* quads) {
  const auto at = [&](int dx, int dy)
                      DARK_LAMBDA { return gather<kInside>(image, places, c, dx, dy); };
  const Pair along = load_as<Pair>(places.along), down = load_as<Pair>(places.down);
  Levels levels;
  if constexpr (kind == Interpolation::bilinear) {
    const auto column = [&](int dx) DARK_LAMBDA { return between(at(dx, 0), at(dx, 1), down); };
    levels = levels_of(between(column(0), column(1), along));
  } else {
    const Cubic<Pair> horizontal(along), vertical(down);
    const auto column = [&](int dx) DARK_LAMBDA {
      return vertical(at(dx, -1), at(dx, 0), at(dx, 1), at(dx, 2));
    };
    levels = levels_of(in_gray_range(horizontal(column(-1), column(0), column(1), column(2))));
  }
  for (int i = 0; i < kRun; ++i) quads[4 * i + c] = levels[i];
}

// ---- a row
// ---------------------------------------------------------------------------------------

// kColumn: bytes from a pixel to the next, where its channels lie side by side; 0 for any layout.
// The quads have room for whole runs.
template <Interpolation kind, int kColumn>
DARK_MULTIVERSION void sample_row(const Image& image, const double* transform, int64_t y, int width,
                                  int channels, uint8_t* quads) {
  constexpr bool cubic = kind == Interpolation::bicubic;
  constexpr int before = cubic ? 1 : 0, after = cubic ? 2 : 1;
  for (int x = 0; x < width; x += kRun, quads += 4 * kRun) {
    Places places;
    place(run_of(transform, x, y), places.x, places.along);
    place(run_of(transform + 3, x, y), places.y, places.down);
    if (places.outside(image, before, after)) {
      std::memset(quads, 0, 4 * kRun);
      continue;
    }
    if constexpr (kColumn > 0)
      // One column more, since eight bytes are read from a pixel on.
      if (places.inside(image, before, after + 1, after)) {
        sample_pixels<kind, kColumn>(image, places, quads);
        continue;
      }
    const bool inside = places.inside(image, before, after, after);
    for (int c = 0; c < channels; ++c)
      inside ? sample_channel<kind, true>(image, places, c, quads)
             : sample_channel<kind, false>(image, places, c, quads);
  }
}

}  // namespace dark
