// SPDX-License-Identifier: Apache-2.0
// modulate of maps that a block convolves as a whole, with the taps of a paper's sigma, whose
// number the compiler knows: along the rows, from global into shared memory, then down the columns
// into registers, where the results wait until the range of the map is known. A map whose rows are
// not whole packs is first copied to shared memory, where they are.
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
  int stride_row, stride_column;  // of a map that spans fewer than 2^31 elements
  Divisor joints, width, runs;    // runs of a row
  int height, pitch;              // of rows in shared memory, whole packs
  Rescale rescale;
  float taps[2 * kReach + 1];

  WholeArguments(const Tensor& heatmaps_, const Tensor& out_, const Maps& maps,
                 const std::vector<double>& taps_, Rescale rescale_)
      : heatmaps(heatmaps_.const_data_ptr<T>()),
        out(out_.mutable_data_ptr<float>()),
        stride_person(maps.stride_person),
        stride_joint(maps.stride_joint),
        stride_row(static_cast<int>(maps.stride_row)),
        stride_column(static_cast<int>(maps.stride_column)),
        joints(maps.joints),
        width(maps.width),
        runs(ceil_div(maps.width, kRowRun)),
        height(static_cast<int>(maps.height)),
        pitch(static_cast<int>(ceil_div(maps.width, kPack<float>)) * kPack<float>),
        rescale(rescale_) {
    std::copy(taps_.begin(), taps_.end(), taps);
  }
  // A thread for each run of a column; the last run of a column ends with it.
  int64_t threads() const {
    return ceil_div(ceil_div(height, kColumnRun) * width.divisor, kWarp) * kWarp;
  }
  // The map's rows, convolved along themselves, between rows of zeros; behind them its copy.
  DARK_SHARED int64_t elements() const { return int64_t{height + 2 * kReach} * pitch; }
  int64_t bytes(bool copied) const {
    const int64_t all = elements() + (copied ? int64_t{height} * pitch : 0);
    return std::max<int64_t>(all * sizeof(float), kMaxThreads / kWarp * sizeof(Range<float>));
  }
};

// Copies the map to shared memory in rows of whole packs, zeros behind each.
template <typename T, int kReach>
__device__ void copy_map(const WholeArguments<T, kReach>& a, const T* map, float* copy) {
  const int width = static_cast<int>(a.width.divisor);
  Walk p(whole_block(), a.pitch);
  DARK_UNROLL(4)
  for (; p.y < a.height; p.next())
    copy[p.y * a.pitch + p.x] =
        p.x < width ? static_cast<float>(map[p.y * a.stride_row + p.x * a.stride_column]) : 0.0f;
}

// A run of a row, from (x, y) on, is left in `rows`; returns the highest of its pixels before. What
// lies outside of the map are zeros, which do not matter: only a highest value above them does.
template <int kReach, bool kShared, typename T>
__device__ float convolve_run(const float (&taps)[2 * kReach + 1], const T* map, int pitch, int x,
                              int y, float* rows) {
  constexpr int N = kPack<T>, kBefore = (kReach + N - 1) / N * N;
  constexpr int kInputs = kRowRun + 2 * kBefore;
  Pack<T, N> loaded[kInputs / N];
  DARK_UNROLL(kInputs / N)
  for (int i = 0; i < kInputs / N; ++i) {
    const int at = x - kBefore + i * N;
    const T* from = map + (y * pitch + at);
    loaded[i] = {};
    if (at >= 0 && at < pitch) loaded[i] = kShared ? load_shared<N>(from) : load<N>(from);
  }
  float in[kInputs];
  DARK_UNROLL(kInputs)
  for (int i = 0; i < kInputs; ++i) in[i] = static_cast<float>(loaded[i / N].at(i % N));
  float sums[kRowRun], highest = in[kBefore];
  DARK_UNROLL(kRowRun)
  for (int r = 0; r < kRowRun; ++r) {
    sums[r] = 0;
    DARK_UNROLL(2 * kReach + 1)
    for (int t = 0; t < 2 * kReach + 1; ++t) sums[r] += taps[t] * in[kBefore - kReach + r + t];
    highest = std::fmax(highest, in[kBefore + r]);
  }
  constexpr int M = kPack<float>;
  DARK_UNROLL(kRowRun / M)
  for (int r = 0; r < kRowRun; r += M) {
    const float four[M] = {sums[r], sums[r + 1], sums[r + 2], sums[r + 3]};
    if (x + r < pitch) store(rows + (y * pitch + x + r), four);
  }
  return highest;
}

template <int kReach>
__device__ void convolve_column(const float (&taps)[2 * kReach + 1], const float* column, int pitch,
                                float (&sums)[kColumnRun]) {
  DARK_UNROLL(kColumnRun)
  for (int r = 0; r < kColumnRun; ++r) sums[r] = 0;
  DARK_UNROLL(kColumnRun + 2 * kReach)
  for (int i = 0; i < kColumnRun + 2 * kReach; ++i, column += pitch) {
    const float value = *column;
    DARK_UNROLL(2 * kReach + 1)
    for (int t = 0; t < 2 * kReach + 1; ++t)
      if (i >= t && i - t < kColumnRun) sums[i - t] += taps[t] * value;
  }
}

template <typename T, int kReach, bool kCopied>
__global__ void __launch_bounds__(kMaxThreads, 1)
    modulate_whole_kernel(const __grid_constant__ WholeArguments<T, kReach> a) {
  const Team block = whole_block();
  const int width = static_cast<int>(a.width.divisor), index = static_cast<int>(blockIdx.x);
  const int person = a.joints.divide(index), joint = a.joints.rest(index, person);
  const T* map = a.heatmaps + person * a.stride_person + joint * a.stride_joint;
  float *rows = shared_memory<float>(), *copy = rows + a.elements();
  Range<float>* of_warp = reinterpret_cast<Range<float>*>(rows);  // once the rows have been read
  if constexpr (kCopied) {
    copy_map(a, map, copy);
    __syncthreads();
  }
  const int below = (kReach + a.height) * a.pitch;
  DARK_UNROLL(1)
  for (int i = block.rank; i < kReach * a.pitch; i += block.size) rows[i] = rows[below + i] = 0;
  Range<float> range{-INFINITY, INFINITY, -INFINITY};
  const int runs = a.height * static_cast<int>(a.runs.divisor);
  DARK_UNROLL(1)
  for (int run = block.rank; run < runs; run += block.size) {
    const int y = a.runs.divide(run), x = a.runs.rest(run, y) * kRowRun;
    float* to = rows + kReach * a.pitch;
    float highest;
    if constexpr (kCopied)
      highest = convolve_run<kReach, true, float>(a.taps, copy, a.pitch, x, y, to);
    else
      highest = convolve_run<kReach, false>(a.taps, map, a.pitch, x, y, to);
    range.highest = std::fmax(range.highest, highest);
  }
  __syncthreads();
  const int nth = a.width.divide(block.rank), x = a.width.rest(block.rank, nth);
  const int first = nth * kColumnRun, y = min(first, a.height - kColumnRun);
  float sums[kColumnRun];
  // The last threads of the last warp may have no run: theirs is the last one's, and not stored.
  convolve_column<kReach>(a.taps, rows + (y * a.pitch + x), a.pitch, sums);
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
