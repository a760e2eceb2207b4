// SPDX-License-Identifier: Apache-2.0
// A row of a crop as quads, a pixel of up to four gray levels each. Pixels whose channels lie side
// by side are read with all of them at once where everything that a run reads is inside the image;
// other runs, and images of other layouts, go channel by channel.
#pragma once
#include <vector>

#include "../crop.h"
#include "lanes.h"

namespace dark {

typedef uint8_t Bytes __attribute__((vector_size(16)));
using Pair = Vector<float>;     // the channels of two neighbors, or one of eight pixels
using Quad = Vector<float, 4>;  // those of one
static_assert(kLanes<float> == kRun);

// ---- where the samples lie ------------------------------------------------------------------

// Of a row, with memory for whole runs. In memory, and filled before it is read: in registers each
// lane would be taken out of its vector by itself.
struct Places {
  const double* transform;
  int width;
  bool begun = false;
  std::vector<int> x, y;
  std::vector<float> along, down;

  Places(const double* transform_, int width_)
      : transform(transform_),
        width(width_),
        x(width + kRun),
        y(width + kRun),
        along(width + kRun),
        down(width + kRun) {}
};

// From one of a row on, mostly a run. They are in order: the first and the last are the outermost.
struct RunPlaces {
  const int *x, *y;
  const float *along, *down;

  DARK_INLINE RunPlaces(const Places& row, int at)
      : x(&row.x[at]), y(&row.y[at]), along(&row.along[at]), down(&row.down[at]) {}

  // Whether the pixels from `before` ahead of each place to `after` behind it are in the image.
  DARK_INLINE bool inside(const Image& image, int before, int after_x, int after_y) const {
    return least(x) >= before && most(x) + after_x < image.width && least(y) >= before &&
           most(y) + after_y < image.height;
  }
  // Whether none of them is, up to the place `last`.
  DARK_INLINE bool outside(const Image& image, int before, int after, int last) const {
    return most(x, last) + after < 0 || least(x, last) - before >= image.width ||
           most(y, last) + after < 0 || least(y, last) - before >= image.height;
  }

 private:
  DARK_INLINE static int least(const int* at, int last = kRun - 1) {
    return std::min(at[0], at[last]);
  }
  DARK_INLINE static int most(const int* at, int last = kRun - 1) {
    return std::max(at[0], at[last]);
  }
};

DARK_INLINE void place(const Run& run, int* pixels, float* parts) {
  using Whole = IntegerVector<float>;
  const Pair steps = __builtin_convertvector(lane_numbers<float>(), Pair);
  const Pair offset = run.fraction + run.step * steps;
  Whole whole = __builtin_convertvector(offset, Whole);    // towards zero
  whole += __builtin_convertvector(whole, Pair) > offset;  // a truth is -1
  store(parts, offset - __builtin_convertvector(whole, Pair));
  store(pixels, whole + run.pixel);
}

// The next row, y. Where the crop is not turned, x is the same in all rows and y all along a row.
DARK_MULTIVERSION inline void place_row(Places& row, int64_t y) {
  const double *to_x = row.transform, *to_y = row.transform + 3;
  if (!row.begun || to_x[1] != 0)
    for (int x = 0; x < row.width; x += kRun) place(run_of(to_x, x, y), &row.x[x], &row.along[x]);
  row.begun = true;
  if (to_y[0] != 0) {
    for (int x = 0; x < row.width; x += kRun) place(run_of(to_y, x, y), &row.y[x], &row.down[x]);
  } else {
    const Place place = place_of(run_of(to_y, 0, y), 0);
    std::fill(row.y.begin(), row.y.end(), place.pixel);
    std::fill(row.down.begin(), row.down.end(), place.part);
  }
}

// ---- gray levels ----------------------------------------------------------------------------

// To the nearest, ties to even, in the lowest byte: a float's last bit is worth 1 from 2^23 on.
template <typename V>
DARK_INLINE auto rounded(const V& v) {
  return as<IntegerVector<float, sizeof(V) / sizeof(float)>>(v + 12582912.0f);
}

template <typename V>
DARK_INLINE V in_gray_range(const V& v) {
  return Lower()(Higher()(v, V{}), V{} + 255.0f);
}

// ---- all channels of a pixel at once --------------------------------------------------------

// The pixel at `at` and the next one, kColumn bytes on.
template <int kColumn>
DARK_INLINE Pair neighbors(const uint8_t* at) {
  typedef uint8_t Wide __attribute__((vector_size(32)));
  typedef int64_t Words __attribute__((vector_size(32)));
  constexpr int n = kColumn;
  int64_t word;
  std::memcpy(&word, at, sizeof(word));
  const Wide bytes = as<Wide>(Words{word, word, word, word});
  const Wide apart = __builtin_shufflevector(  // within each half of 16 bytes
      bytes, bytes, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 16 + n, 16 + n, 16 + n, 16 + n,
      17 + n, 17 + n, 17 + n, 17 + n, 18 + n, 18 + n, 18 + n, 18 + n, 19 + n, 19 + n, 19 + n,
      19 + n);
  return __builtin_convertvector(as<IntegerVector<float>>(apart) & 255, Pair);
}

DARK_INLINE Quad first_of(const Pair& pair) {
  return __builtin_shufflevector(pair, pair, 0, 1, 2, 3);
}

DARK_INLINE Quad second_of(const Pair& pair) {
  return __builtin_shufflevector(pair, pair, 4, 5, 6, 7);
}

DARK_INLINE void write_quad(uint8_t* quad, const Quad& v) {
  const Bytes bytes = as<Bytes>(rounded(v));
  const auto packed = as<IntegerVector<float, 4>>(
      __builtin_shufflevector(bytes, bytes, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12));
  const int word = packed[0];
  std::memcpy(quad, &word, sizeof(word));
}

template <Interpolation kind, int kColumn>
DARK_INLINE void sample_pixels(const Image& image, const RunPlaces& places, uint8_t* quads) {
  const uint8_t* const data = image.data;  // copies, which no store could change
  const int64_t stride = image.row;
  for (int i = 0; i < kRun; ++i) {
    const uint8_t* at = data + places.y[i] * stride + places.x[i] * int64_t{kColumn};
    if constexpr (kind == Interpolation::bilinear) {
      const Pair column =
          between(neighbors<kColumn>(at), neighbors<kColumn>(at + stride), places.down[i]);
      write_quad(quads + 4 * i, between(first_of(column), second_of(column), places.along[i]));
    } else {
      const Cubic<float> along(places.along[i]), down(places.down[i]);
      const auto columns = [&](const uint8_t* from) DARK_LAMBDA {
        return down(neighbors<kColumn>(from - stride), neighbors<kColumn>(from),
                    neighbors<kColumn>(from + stride), neighbors<kColumn>(from + 2 * stride));
      };
      const Pair left = columns(at - kColumn), right = columns(at + kColumn);
      write_quad(quads + 4 * i, in_gray_range(along(first_of(left), second_of(left),
                                                    first_of(right), second_of(right))));
    }
  }
}

// ---- one channel of eight pixels at once ----------------------------------------------------

// What one channel has at the pixels of a row dy below each place, from `before` ahead of it to
// `after` behind it.
template <int before, int after>
struct Taps {
  Pair at[before + 1 + after];

  // The pixels of a row side by side in memory, and all of them in the image.
  DARK_INLINE void read_adjacent(const Image& image, const RunPlaces& places, int c, int dy) {
    using Words = std::conditional_t<after == 1, uint16_t, uint32_t>;  // as many bytes as taps
    static_assert(sizeof(Words) == before + 1 + after);
    BitVector<float> words;
    for (int i = 0; i < kRun; ++i) {
      Words word;
      std::memcpy(&word, image.at(places.x[i] - before, places.y[i] + dy) + c * image.channel,
                  sizeof(word));
      words[i] = word;
    }
    for (int j = 0; j < before + 1 + after; ++j)
      at[j] = __builtin_convertvector(as<IntegerVector<float>>((words >> (8 * j)) & 255), Pair);
  }

  template <bool kInside>
  DARK_INLINE void read(const Image& image, const RunPlaces& places, int c, int dy) {
    for (int j = 0; j < before + 1 + after; ++j) {
      IntegerVector<float> levels{};
      for (int i = 0; i < kRun; ++i) {
        const int x = places.x[i] + j - before, y = places.y[i] + dy;
        if (kInside || image.holds(x, y)) levels[i] = image.at(x, y)[c * image.channel];
      }
      at[j] = __builtin_convertvector(levels, Pair);
    }
  }
};

template <Interpolation kind, int kColumn, bool kInside>
DARK_INLINE Pair sample_channel(const Image& image, const RunPlaces& places, int c) {
  constexpr bool cubic = kind == Interpolation::bicubic;
  constexpr int before = cubic ? 1 : 0, after = cubic ? 2 : 1;
  Taps<before, after> rows[before + 1 + after];
  for (int j = 0; j < before + 1 + after; ++j)
    if constexpr (kInside && kColumn == 1)
      rows[j].read_adjacent(image, places, c, j - before);
    else
      rows[j].template read<kInside>(image, places, c, j - before);
  const Pair along = load_as<Pair>(places.along), down = load_as<Pair>(places.down);
  if constexpr (cubic) {
    const Cubic<Pair> horizontal(along), vertical(down);
    Pair column[4];
    for (int i = 0; i < 4; ++i)
      column[i] = vertical(rows[0].at[i], rows[1].at[i], rows[2].at[i], rows[3].at[i]);
    return in_gray_range(horizontal(column[0], column[1], column[2], column[3]));
  } else {
    return between(between(rows[0].at[0], rows[1].at[0], down),
                   between(rows[0].at[1], rows[1].at[1], down), along);
  }
}

template <Interpolation kind, int kColumn, bool kInside>
DARK_INLINE void sample_channels(const Image& image, const RunPlaces& places, int channels,
                                 uint8_t* quads) {
  IntegerVector<float> levels{};
  for (int c = 0; c < channels; ++c)
    levels |= (rounded(sample_channel<kind, kColumn, kInside>(image, places, c)) & 255) << (8 * c);
  store(quads, levels);
}

// ---- a row ----------------------------------------------------------------------------------

// kColumn: bytes from a pixel to the next; 3 and 4 where its channels lie side by side, too; 0 for
// any layout. The quads have room for whole runs.
template <Interpolation kind, int kColumn>
DARK_MULTIVERSION void sample_row(const Image& image, const Places& row, int channels,
                                  uint8_t* quads) {
  constexpr bool cubic = kind == Interpolation::bicubic;
  constexpr int before = cubic ? 1 : 0, after = cubic ? 2 : 1;
  if (RunPlaces(row, 0).outside(image, before, after, row.width - 1)) {
    std::memset(quads, 0, 4 * row.width);
    return;
  }
  for (int x = 0; x < row.width; x += kRun, quads += 4 * kRun) {
    const RunPlaces places(row, x);
    if (places.outside(image, before, after, kRun - 1)) {
      std::memset(quads, 0, 4 * kRun);
      continue;
    }
    if constexpr (kColumn > 1)
      // One column more, since eight bytes are read from a pixel on.
      if (places.inside(image, before, after + 1, after)) {
        sample_pixels<kind, kColumn>(image, places, quads);
        continue;
      }
    if (places.inside(image, before, after, after))
      sample_channels<kind, kColumn, true>(image, places, channels, quads);
    else
      sample_channels<kind, kColumn, false>(image, places, channels, quads);
  }
}

}  // namespace dark
