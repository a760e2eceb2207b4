// SPDX-License-Identifier: Apache-2.0
// Samples of images whose pixels' channels lie side by side, all channels at once, for processors
// with AVX2: what moves bytes about within a vector has no portable form that compilers make good
// code of. The arithmetic is that of `sampling.h`.
#pragma once
#include "sampling.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define DARK_AVX2 __attribute__((target("avx2")))
#define DARK_AVX2_INLINE DARK_INLINE DARK_AVX2

namespace dark {

inline bool has_avx2() { return __builtin_cpu_supports("avx2"); }

// The channels of the pixel at `at` and, from the fifth lane on, of the next one.
template <int kColumn>
DARK_AVX2_INLINE Pair neighbors(const uint8_t* at) {
  constexpr char n = kColumn, z = -1;
  const __m256i apart = _mm256_setr_epi8(0, z, z, z, 1, z, z, z, 2, z, z, z, 3, z, z, z, n, z, z, z,
                                         n + 1, z, z, z, n + 2, z, z, z, n + 3, z, z, z);
  int64_t bytes;
  std::memcpy(&bytes, at, sizeof(bytes));
  return _mm256_cvtepi32_ps(_mm256_shuffle_epi8(_mm256_set1_epi64x(bytes), apart));
}

// Two samples next to one another from the pixels of each: the first ones, and the second ones.
DARK_AVX2_INLINE Pair firsts(const Pair& a, const Pair& b) {
  return _mm256_permute2f128_ps(a, b, 0x20);
}

DARK_AVX2_INLINE Pair seconds(const Pair& a, const Pair& b) {
  return _mm256_permute2f128_ps(a, b, 0x31);
}

// A number for each of two samples.
DARK_AVX2_INLINE Pair of_two(const float* at) {
  return _mm256_blend_ps(_mm256_broadcast_ss(at), _mm256_broadcast_ss(at + 1), 0xf0);
}

// What eight samples inside the image are made of.
struct Inside {
  const uint8_t* data;
  int64_t stride;
  const int* offset;  // of each sample's pixel
  RunPlaces places;
};

// Two samples, from number i on.
template <int kColumn>
DARK_AVX2_INLINE Pair two_bilinear(const Inside& run, int i) {
  Pair column[2];
  for (int j = 0; j < 2; ++j) {
    const uint8_t* at = run.data + run.offset[i + j];
    column[j] = between(neighbors<kColumn>(at), neighbors<kColumn>(at + run.stride),
                        run.places.down[i + j]);
  }
  return between(firsts(column[0], column[1]), seconds(column[0], column[1]),
                 of_two(run.places.along + i));
}

// `along` and `down` hold weights of all eight.
template <int kColumn>
DARK_AVX2_INLINE Pair two_bicubic(const Inside& run, int i, const float (&along)[4][kRun],
                                  const float (&down)[4][kRun]) {
  Pair left[2], right[2];
  for (int j = 0; j < 2; ++j) {
    const Cubic<float> vertical(down[0][i + j], down[1][i + j], down[2][i + j], down[3][i + j]);
    const auto columns = [&](const uint8_t* from) DARK_AVX2 DARK_LAMBDA {
      return vertical(neighbors<kColumn>(from - run.stride), neighbors<kColumn>(from),
                      neighbors<kColumn>(from + run.stride),
                      neighbors<kColumn>(from + 2 * run.stride));
    };
    const uint8_t* at = run.data + run.offset[i + j];
    left[j] = columns(at - kColumn);
    right[j] = columns(at + kColumn);
  }
  const Cubic<Pair> horizontal(of_two(along[0] + i), of_two(along[1] + i), of_two(along[2] + i),
                               of_two(along[3] + i));
  return horizontal(firsts(left[0], left[1]), seconds(left[0], left[1]), firsts(right[0], right[1]),
                    seconds(right[0], right[1]));
}

// Eight samples as quads, to the nearest, ties to even, cut off at 0 and 255.
DARK_AVX2_INLINE void write_quads(uint8_t* quads, const Pair (&twos)[4]) {
  __m256i whole[4];
  for (int i = 0; i < 4; ++i) whole[i] = _mm256_cvtps_epi32(twos[i]);
  const __m256i levels = _mm256_packus_epi16(_mm256_packus_epi32(whole[0], whole[1]),
                                             _mm256_packus_epi32(whole[2], whole[3]));
  const __m256i in_order =  // 0, 2, 4, 6 and 1, 3, 5, 7 until now
      _mm256_permutevar8x32_epi32(levels, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(quads), in_order);
}

template <Interpolation kind, int kColumn>
DARK_AVX2_INLINE void sample_inside(const Inside& run, uint8_t* quads) {
  Pair twos[4];
  if constexpr (kind == Interpolation::bilinear) {
    for (int i = 0; i < 4; ++i) twos[i] = two_bilinear<kColumn>(run, 2 * i);
  } else {
    float along[4][kRun], down[4][kRun];
    const Cubic<Pair> horizontal(load_as<Pair>(run.places.along));
    const Cubic<Pair> vertical(load_as<Pair>(run.places.down));
    for (int k = 0; k < 4; ++k) {
      store(along[k], horizontal.weights[k]);
      store(down[k], vertical.weights[k]);
    }
    for (int i = 0; i < 4; ++i) twos[i] = two_bicubic<kColumn>(run, 2 * i, along, down);
  }
  write_quads(quads, twos);
}

// A row of an image with kColumn bytes from pixel to pixel and fewer than 2^31 in all.
template <Interpolation kind, int kColumn>
DARK_AVX2 void sample_pixels(const Image& image, Places& row, int channels, uint8_t* quads) {
  constexpr int before = kind == Interpolation::bicubic ? 1 : 0, after = before + 1;
  const int stride = static_cast<int>(image.row);
  using Offsets = BitVector<float>;  // which wrap where they are beyond the image
  for (int x = 0; x < row.width; x += kRun)
    store(&row.offset[x], load_as<Offsets>(&row.y[x]) * static_cast<unsigned>(stride) +
                              load_as<Offsets>(&row.x[x]) * unsigned{kColumn});
  // The pixel that samples beyond the border take until they are made by themselves.
  const bool roomy = image.width > before + after + 1 && image.height > before + after;
  const int inner = before * (stride + kColumn);
  for (int x = 0; x < row.width; x += kRun, quads += 4 * kRun) {
    const RunPlaces run(row, x);
    int* const offset = &row.offset[x];
    const auto is_inside = [&](const RunPlaces& places, int last) DARK_LAMBDA {
      // One column more, since eight bytes are read from a pixel on.
      return places.inside(image, before, after + 1, after, last);
    };
    if (is_inside(run, kRun - 1)) {
      sample_inside<kind, kColumn>({image.data, stride, offset, run}, quads);
      continue;
    }
    if (run.outside(image, before, after, kRun - 1)) {
      std::memset(quads, 0, 4 * kRun);
      continue;
    }
    bool inside[kRun];
    for (int i = 0; i < kRun; ++i) {
      inside[i] = is_inside(run.at(i), 0);
      if (!inside[i]) offset[i] = inner;
    }
    if (roomy) sample_inside<kind, kColumn>({image.data, stride, offset, run}, quads);
    for (int i = 0; i < kRun; ++i)
      if (!inside[i]) sample_anywhere<kind>(image, run.at(i), channels, quads + 4 * i);
  }
}

}  // namespace dark

#undef DARK_AVX2
#undef DARK_AVX2_INLINE
#endif
