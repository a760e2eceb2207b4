// SPDX-License-Identifier: Apache-2.0
// A row of a crop as quads, a pixel of up to four gray levels each. Pixels whose channels lie side
// by side are read with all of them at once; images of other layouts go channel by channel, eight
// pixels at a time.
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
  std::vector<int> x, y, offset, start;  // start and fraction: of runs
  std::vector<float> along, down, fraction;

  Places(const double* transform_, int width_)
      : transform(transform_),
        width(width_),
        x(width + kRun),
        y(width + kRun),
        offset(width + kRun),
        start(width / kRun + 4),
        along(width + kRun),
        down(width + kRun),
        fraction(width / kRun + 4) {}
};

// From one of a row on, mostly a run. They are in order: the first and the last are the outermost.
struct RunPlaces {
  const int *x, *y;
  const float *along, *down;

  DARK_INLINE RunPlaces(const int* x_, const int* y_, const float* along_, const float* down_)
      : x(x_), y(y_), along(along_), down(down_) {}
  DARK_INLINE RunPlaces(const Places& row, int at)
      : RunPlaces(&row.x[at], &row.y[at], &row.along[at], &row.down[at]) {}
  DARK_INLINE RunPlaces at(int i) const { return {x + i, y + i, along + i, down + i}; }

  // Whether the pixels from `before` ahead of each place to `after` behind it are in the image, up
  // to the place `last`.
  DARK_INLINE bool inside(const Image& image, int before, int after_x, int after_y,
                          int last = kRun - 1) const {
    return least(x, last) >= before && most(x, last) + after_x < image.width &&
           least(y, last) >= before && most(y, last) + after_y < image.height;
  }
  // Whether none of them is.
  DARK_INLINE bool outside(const Image& image, int before, int after, int last) const {
    return most(x, last) + after < 0 || least(x, last) - before >= image.width ||
           most(y, last) + after < 0 || least(y, last) - before >= image.height;
  }

 private:
  DARK_INLINE static int least(const int* at, int last) { return std::min(at[0], at[last]); }
  DARK_INLINE static int most(const int* at, int last) { return std::max(at[0], at[last]); }
};

// One direction of a row's places: `run_of` and `place_of` for vectors, bit by bit.
DARK_INLINE void place(const double* m, int64_t y, int width, Places& row, int* pixels,
                       float* parts) {
  using Positions = Vector<double>;
  using Starts = IntegerVector<float, 4>;
  const Positions farthest = broadcast<double>(kFarthest);
  const Positions runs = __builtin_convertvector(lane_numbers<double>(), Positions);
  for (int x = 0; x < width; x += 4 * kRun) {
    const Positions at =
        m[0] * (kRun * runs + static_cast<double>(x)) + m[1] * static_cast<double>(y) + m[2];
    const Positions near = Higher()(Lower()(at, farthest), -farthest);
    Starts whole = __builtin_convertvector(near, Starts);                      // towards zero
    const Positions above = __builtin_convertvector(whole, Positions) - near;  // positive: by one
    whole -= __builtin_convertvector(above > 0.0 ? Positions{} + 1.0 : Positions{}, Starts);
    store(&row.start[x / kRun], whole);
    store(&row.fraction[x / kRun],
          __builtin_convertvector(near - __builtin_convertvector(whole, Positions), Quad));
  }
  const Pair step =
      broadcast(run_of(m, 0, 0).step) * __builtin_convertvector(lane_numbers<float>(), Pair);
  for (int x = 0; x < width; x += kRun) {
    const Pair offset = row.fraction[x / kRun] + step;
    IntegerVector<float> whole = __builtin_convertvector(offset, IntegerVector<float>);
    whole += __builtin_convertvector(whole, Pair) > offset;  // a truth is -1
    store(parts + x, offset - __builtin_convertvector(whole, Pair));
    store(pixels + x, whole + row.start[x / kRun]);
  }
}

// The next row, y. Where the crop is not turned, x is the same in all rows and y all along a row.
DARK_MULTIVERSION inline void place_row(Places& row, int64_t y) {
  const double *to_x = row.transform, *to_y = row.transform + 3;
  if (!row.begun || to_x[1] != 0) place(to_x, y, row.width, row, row.x.data(), row.along.data());
  row.begun = true;
  if (to_y[0] != 0) {
    place(to_y, y, row.width, row, row.y.data(), row.down.data());
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

// ---- one channel of eight pixels at once ----------------------------------------------------

// What one channel has at pixels of a row, from `before` ahead of each place to `after` behind it.
template <int before, int after>
struct Taps {
  Pair at[before + 1 + after];

  // `from` is the first of each place's. Where they lie side by side, all at once.
  template <bool kAdjacent>
  DARK_INLINE void read(const uint8_t* const (&from)[kRun], int64_t row, int64_t column) {
    constexpr int count = before + 1 + after;
    if constexpr (kAdjacent) {
      using Word = std::conditional_t<after == 1, uint16_t, uint32_t>;
      static_assert(sizeof(Word) == count);
      BitVector<float> words;
      for (int i = 0; i < kRun; ++i) {
        Word word;
        std::memcpy(&word, from[i] + row, sizeof(word));
        words[i] = word;
      }
      for (int j = 0; j < count; ++j)
        at[j] = __builtin_convertvector(as<IntegerVector<float>>((words >> (8 * j)) & 255), Pair);
    } else {
      for (int j = 0; j < count; ++j) {
        IntegerVector<float> levels;
        for (int i = 0; i < kRun; ++i) levels[i] = from[i][row + j * column];
        at[j] = __builtin_convertvector(levels, Pair);
      }
    }
  }
};

template <Interpolation kind, bool kAdjacent>
DARK_INLINE Pair sample_channel(const Image& image, const RunPlaces& places, int c) {
  constexpr bool cubic = kind == Interpolation::bicubic;
  constexpr int before = cubic ? 1 : 0, after = cubic ? 2 : 1;
  Taps<before, after> rows[before + 1 + after];
  const uint8_t* const corner = image.at(-before, -before) + c * image.channel;
  const uint8_t* from[kRun];
  for (int i = 0; i < kRun; ++i)
    from[i] = corner + places.y[i] * image.row + places.x[i] * (kAdjacent ? 1 : image.column);
  for (int j = 0; j < before + 1 + after; ++j)
    rows[j].template read<kAdjacent>(from, j * image.row, image.column);
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

template <Interpolation kind, bool kAdjacent>
DARK_INLINE void sample_channels(const Image& image, const RunPlaces& places, int channels,
                                 uint8_t* quads) {
  IntegerVector<float> levels{};
  for (int c = 0; c < channels; ++c)
    levels |= (rounded(sample_channel<kind, kAdjacent>(image, places, c)) & 255) << (8 * c);
  store(quads, levels);
}

// ---- pixels anywhere ------------------------------------------------------------------------

// A sample by itself, wherever it lies.
template <Interpolation kind>
void sample_anywhere(const Image& image, RunPlaces sample, int channels, uint8_t* quad) {
  constexpr int before = kind == Interpolation::bicubic ? 1 : 0;
  std::memset(quad, 0, 4);
  if (sample.outside(image, before, before + 1, 0)) return;
  const Place x{*sample.x, *sample.along}, y{*sample.y, *sample.down};
  for (int c = 0; c < channels; ++c) {
    const auto value = [&](int dx, int dy) { return image.value(x.pixel + dx, y.pixel + dy, c); };
    const float v = kind == Interpolation::bilinear ? bilinear(value, x, y) : bicubic(value, x, y);
    quad[c] = static_cast<uint8_t>(std::nearbyint(std::clamp(v, 0.0f, 255.0f)));
  }
}

// ---- a row ----------------------------------------------------------------------------------

// Of any image; kAdjacent: each channel's levels lie side by side.
template <Interpolation kind, bool kAdjacent>
DARK_MULTIVERSION void sample_levels(const Image& image, Places& row, int channels,
                                     uint8_t* quads) {
  constexpr int before = kind == Interpolation::bicubic ? 1 : 0, after = before + 1;
  // Whose pixel at (before, before) is lent to samples that are made by themselves.
  const bool roomy = image.width > before + after && image.height > before + after;
  for (int x = 0; x < row.width; x += kRun, quads += 4 * kRun) {
    const RunPlaces run(row, x);
    if (run.inside(image, before, after, after)) {
      sample_channels<kind, kAdjacent>(image, run, channels, quads);
      continue;
    }
    if (run.outside(image, before, after, kRun - 1)) {
      std::memset(quads, 0, 4 * kRun);
      continue;
    }
    bool inside[kRun];
    int inner_x[kRun], inner_y[kRun];
    for (int i = 0; i < kRun; ++i) {
      inside[i] = run.at(i).inside(image, before, after, after, 0);
      inner_x[i] = inside[i] ? run.x[i] : before;
      inner_y[i] = inside[i] ? run.y[i] : before;
    }
    if (roomy) {
      const RunPlaces inner(inner_x, inner_y, run.along, run.down);
      sample_channels<kind, kAdjacent>(image, inner, channels, quads);
    }
    for (int i = 0; i < kRun; ++i)
      if (!inside[i]) sample_anywhere<kind>(image, run.at(i), channels, quads + 4 * i);
  }
}

}  // namespace dark
