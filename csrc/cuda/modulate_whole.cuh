// SPDX-License-Identifier: Apache-2.0
// modulate of maps that a block convolves as a whole, with the taps of a paper's sigma, whose
// number the compiler knows: along the rows from global into shared memory, then down the columns
// into registers, where the results wait until the range of the map is known.
#pragma once
#include "divide.cuh"
#include "extremes.cuh"

namespace dark {

constexpr int kRowRun = 8;      // neighbors in a row that a thread convolves together
constexpr int kColumnRun = 16;  // and below each other

template <typename T, int kReach>
struct WholeArguments {
  const T* heatmaps;
  float* out;  // [maps, H, W]
  int64_t stride_person, stride_joint;
  Divisor joints, width, runs;  // runs of a row
  int height;
  Rescale rescale;
  float taps[2 * kReach + 1];

  WholeArguments(const Tensor& heatmaps_, const Tensor& out_, const Maps& maps,
                 const std::vector<double>& taps_, Rescale rescale_)
      : heatmaps(heatmaps_.const_data_ptr<T>()),
        out(out_.mutable_data_ptr<float>()),
        stride_person(maps.stride_person),
        stride_joint(maps.stride_joint),
        joints(maps.joints),
        width(maps.width),
        runs(ceil_div(maps.width, kRowRun)),
        height(static_cast<int>(maps.height)),
        rescale(rescale_) {
    std::copy(taps_.begin(), taps_.end(), taps);
  }
  // A thread for each run of a column; the last run of a column ends with it.
  int64_t threads() const {
    return ceil_div(ceil_div(height, kColumnRun) * width.divisor, kWarp) * kWarp;
  }
  // The map's rows, convolved along themselves, between rows of zeros.
  int64_t elements() const { return (height + 2 * kReach) * int64_t{width.divisor}; }
};

// A run of a row, from (x, y) on, is left in `rows`; returns the highest of its pixels before. What
// lies outside of the map are zeros, which do not matter: only a highest value above them does.
template <typename T, int kReach>
__device__ float convolve_run(const WholeArguments<T, kReach>& a, const T* map, int x, int y,
                              float* rows) {
  constexpr int N = kVector<T>, kBefore = (kReach + N - 1) / N * N;
  constexpr int kInputs = kRowRun + 2 * kBefore;
  const int width = static_cast<int>(a.width.divisor);
  Vector<T, N> loaded[kInputs / N];
  DARK_UNROLL(kInputs / N)
  for (int i = 0; i < kInputs / N; ++i) {
    const int at = x - kBefore + i * N;
    loaded[i] = at >= 0 && at < width ? load<N>(map + (y * width + at)) : Vector<T, N>{};
  }
  float in[kInputs];
  DARK_UNROLL(kInputs)
  for (int i = 0; i < kInputs; ++i) in[i] = static_cast<float>(loaded[i / N].at(i % N));
  float sums[kRowRun], highest = in[kBefore];
  DARK_UNROLL(kRowRun)
  for (int r = 0; r < kRowRun; ++r) {
    sums[r] = 0;
    DARK_UNROLL(2 * kReach + 1)
    for (int t = 0; t < 2 * kReach + 1; ++t) sums[r] += a.taps[t] * in[kBefore - kReach + r + t];
    highest = std::fmax(highest, in[kBefore + r]);
  }
  constexpr int M = kVector<float>;
  DARK_UNROLL(kRowRun / M)
  for (int r = 0; r < kRowRun; r += M) {
    const float four[M] = {sums[r], sums[r + 1], sums[r + 2], sums[r + 3]};
    if (x + r < width) store(rows + (y * width + x + r), four);
  }
  return highest;
}

template <int kReach>
__device__ void convolve_column(const float (&taps)[2 * kReach + 1], const float* column, int width,
                                float (&sums)[kColumnRun]) {
  DARK_UNROLL(kColumnRun)
  for (int r = 0; r < kColumnRun; ++r) sums[r] = 0;
  DARK_UNROLL(kColumnRun + 2 * kReach)
  for (int i = 0; i < kColumnRun + 2 * kReach; ++i, column += width) {
    const float value = *column;
    DARK_UNROLL(2 * kReach + 1)
    for (int t = 0; t < 2 * kReach + 1; ++t)
      if (i >= t && i - t < kColumnRun) sums[i - t] += taps[t] * value;
  }
}

template <typename T, int kReach>
__global__ void __launch_bounds__(kMaxThreads, 1)
    modulate_whole_kernel(const __grid_constant__ WholeArguments<T, kReach> a) {
  const Team block = whole_block();
  const int width = static_cast<int>(a.width.divisor), index = static_cast<int>(blockIdx.x);
  const int person = a.joints.divide(index), joint = a.joints.rest(index, person);
  const T* map = a.heatmaps + person * a.stride_person + joint * a.stride_joint;
  float* rows = shared_memory<float>();
  Range<float>* of_warp = reinterpret_cast<Range<float>*>(rows);  // once the rows have been read
  const int below = (kReach + a.height) * width;
  DARK_UNROLL(1)
  for (int i = block.rank; i < kReach * width; i += block.size) rows[i] = rows[below + i] = 0;
  Range<float> range{-INFINITY, INFINITY, -INFINITY};
  const int runs = a.height * static_cast<int>(a.runs.divisor);
  DARK_UNROLL(1)
  for (int run = block.rank; run < runs; run += block.size) {
    const int y = a.runs.divide(run), x = a.runs.rest(run, y) * kRowRun;
    range.highest = std::fmax(range.highest, convolve_run(a, map, x, y, rows + kReach * width));
  }
  __syncthreads();
  const int nth = a.width.divide(block.rank), x = a.width.rest(block.rank, nth);
  const int first = nth * kColumnRun, y = min(first, a.height - kColumnRun);
  float sums[kColumnRun];
  // The last threads of the last warp may have no run: theirs is the last one's, and not stored.
  convolve_column<kReach>(a.taps, rows + (y * width + x), width, sums);
  DARK_UNROLL(kColumnRun)
  for (int r = 0; r < kColumnRun; ++r) {
    range.top = higher_or_nan(range.top, sums[r]);
    range.bottom = lower_or_nan(range.bottom, sums[r]);
  }
  range = range_of_block(range, of_warp);
  const Line<float> line = rescaling(a.rescale, range);
  const float offset = line.identity ? 0 : line.offset, scale = line.identity ? 1 : line.scale;
  float* out = a.out + (index * int64_t{a.height} + y) * width + x;
  const int skipped = first < a.height ? first - y : kColumnRun;  // another thread's, too
  DARK_UNROLL(kColumnRun)
  for (int r = 0; r < kColumnRun; ++r, out += width)
    if (r >= skipped) *out = (sums[r] - offset) * scale;
}

}  // namespace dark
