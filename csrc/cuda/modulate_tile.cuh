// SPDX-License-Identifier: Apache-2.0
// modulate's two convolutions, of a tile of a map or of the whole map, in shared memory.
#pragma once
#include "../checks.h"
#include "../modulate.h"
#include "block.cuh"
#include "pack.cuh"

namespace dark {

constexpr int kRun = 8;  // neighbors that one thread convolves together, reading each value once

// A tile of the output, at most the map, and the shared memory behind it: the values that reach it,
// [rows_in, pitch_in] with `reach` more at either end of a row, then, of the same tile, those
// convolved along the rows, [rows + reaches, pitch]. Pitches are odd: threads below each other then
// touch different banks. Sides are rounded up to whole runs.
struct Tile {
  int columns, rows, reach, rows_in, pitch_in, pitch;

  Tile(const Maps& maps, int64_t columns_, int64_t rows_, int64_t taps_count)
      : columns(static_cast<int>(std::min(columns_, maps.width))),
        rows(static_cast<int>(std::min(rows_, maps.height))),
        reach(static_cast<int>(taps_count / 2)) {
    rows_in = static_cast<int>(std::min<int64_t>(maps.height, rows + 2 * reach));
    pitch_in = (whole_runs(columns) + 2 * reach) | 1;
    pitch = columns | 1;
  }
  static DARK_SHARED int whole_runs(int count) {
    return static_cast<int>(ceil_div(count, kRun)) * kRun;
  }
  DARK_SHARED int64_t elements() const {
    return int64_t{rows_in} * pitch_in + int64_t{whole_runs(rows) + 2 * reach} * pitch;
  }
};

template <typename T>
struct ModulateArguments {
  using A = Arithmetic<T>;
  const T* heatmaps;
  A* out;  // [maps, H, W]
  Maps maps;
  Rescale rescale;
  Tile tile;
  int taps_count;
  A taps[kMaxTaps];

  ModulateArguments(const Tensor& heatmaps_, const Tensor& out_, const Maps& maps_,
                    const std::vector<double>& taps_, Rescale rescale_, const Tile& tile_)
      : heatmaps(heatmaps_.const_data_ptr<T>()),
        out(out_.mutable_data_ptr<A>()),
        maps(maps_),
        rescale(rescale_),
        tile(tile_),
        taps_count(static_cast<int>(taps_.size())) {
    std::copy(taps_.begin(), taps_.end(), taps);
  }
};

// sums[r] = sum over t of taps[t] in[(r + t) step].
template <typename T, typename A = Arithmetic<T>>
__device__ void convolve(const ModulateArguments<T>& a, const A* in, int step, A (&sums)[kRun]) {
  A window[kRun];
  for (int r = 0; r < kRun; ++r) {
    sums[r] = 0;
    window[r] = r < kRun - 1 ? in[r * step] : A(0);
  }
  in += (kRun - 1) * step;
  const auto add = [&](int t) {
    window[kRun - 1] = *in;
    for (int r = 0; r < kRun; ++r) sums[r] += a.taps[t] * window[r];
    for (int r = 0; r < kRun - 1; ++r) window[r] = window[r + 1];
    in += step;
  };
  add(0);  // there is an odd number of them
  DARK_UNROLL(kRun / 2)
  for (int t = 1; t < a.taps_count; t += 2) {
    add(t);
    add(t + 1);
  }
}

// The packs of an area in an order in which neighboring threads, N rows of them, take theirs
// apart in different banks of shared memory.
template <int N>
struct Packs {
  unsigned of_rows, count;  // packs of N rows, and of all

  __device__ Packs(int width, int height)
      : of_rows(static_cast<unsigned>(width)), count(of_rows * ((height + N - 1) / N)) {}
  // Beyond the last row where the height is no multiple of N.
  __device__ int x(unsigned i) const { return static_cast<int>(i % of_rows / N) * N; }
  __device__ int y(unsigned i) const { return static_cast<int>(i / of_rows * N + i % of_rows % N); }
};

// A tile of a map, convolved along the rows and then down the columns in shared memory.
template <typename T, int N>
struct TileOfMap {
  using A = Arithmetic<T>;
  const ModulateArguments<T>& a;
  const T* map;
  int left, top, columns, rows, first, rows_in;  // `first` of the map's rows, rows_in of them
  A *in, *along;

  __device__ TileOfMap(const ModulateArguments<T>& a_, const T* map_, int left_, int top_)
      : a(a_), map(map_), left(left_), top(top_) {
    const int width = static_cast<int>(a.maps.width), height = static_cast<int>(a.maps.height);
    columns = min(width - left, a.tile.columns);
    rows = min(height - top, a.tile.rows);
    first = max(top - a.tile.reach, 0);
    rows_in = min(top + rows + a.tile.reach, height) - first;
    in = shared_memory<A>();
    along = in + a.tile.rows_in * a.tile.pitch_in;
  }

  // Packs serve a tile that is the map.
  __device__ void read(Range<A>& range) const {
    const int width = static_cast<int>(a.maps.width), reach = a.tile.reach;
    if constexpr (N > 1) {
      constexpr int kInFlight = 2;
      const Team block = whole_block();
      const Packs<N> packs(columns, rows);
      for (unsigned first = block.rank; first < packs.count; first += kInFlight * block.size) {
        Pack<T, N> loaded[kInFlight];
        int x[kInFlight], y[kInFlight];
        DARK_UNROLL(kInFlight)
        for (int k = 0; k < kInFlight; ++k) {
          // Beyond the end a pack once more, which is not put anywhere.
          const unsigned i = min(first + k * block.size, packs.count - 1);
          x[k] = packs.x(i);
          y[k] = first + k * block.size < packs.count ? packs.y(i) : rows;
          loaded[k] = load<N>(map + (min(y[k], rows - 1) * width + x[k]));
        }
        DARK_UNROLL(kInFlight)
        for (int k = 0; k < kInFlight; ++k)
          for (int i = 0; i < N && y[k] < rows; ++i)
            put(x[k] + i, y[k], static_cast<A>(loaded[k].at(i)), range);
      }
      for (Walk p(whole_block(), 2 * reach + 1); p.y < rows; p.next()) {
        if (p.x == 2 * reach) continue;  // so that no width is 0
        in[p.y * a.tile.pitch_in + (p.x < reach ? p.x : columns + p.x)] = 0;
      }
    } else {
      for (Walk p(whole_block(), columns + 2 * reach); p.y < rows_in; p.next()) {
        const int x = left - reach + p.x;
        const bool inside = x >= 0 && x < width;
        const int64_t at = (first + p.y) * a.maps.stride_row + x * a.maps.stride_column;
        put(p.x - reach, p.y, inside ? static_cast<A>(map[at]) : A(0), range, inside);
      }
    }
  }
  __device__ void put(int x, int y, A value, Range<A>& range, bool counts = true) const {
    in[y * a.tile.pitch_in + a.tile.reach + x] = value;
    // A NaN shows in what is convolved.
    if (counts) range.highest = std::fmax(range.highest, value);
  }

  // Threads below each other take rows below each other.
  __device__ void along_rows() const {
    const int runs = (columns + kRun - 1) / kRun, count = rows + 2 * a.tile.reach;
    const int above = first - (top - a.tile.reach);  // rows above the map: zeros
    for (Walk p(whole_block(), rows_in); p.y < runs; p.next()) {
      A sums[kRun];
      convolve(a, in + p.x * a.tile.pitch_in + p.y * kRun, 1, sums);
      A* out = along + (above + p.x) * a.tile.pitch + p.y * kRun;
      for (int r = 0; r < kRun; ++r)
        if (p.y * kRun + r < columns) out[r] = sums[r];
    }
    for (Walk p(whole_block(), columns); p.y < count - rows_in; p.next())
      along[(p.y < above ? p.y : rows_in + p.y) * a.tile.pitch + p.x] = 0;
  }

  // The result takes the place of the values read.
  __device__ void down_columns(Range<A>& range) const {
    const int runs = (rows + kRun - 1) / kRun;
    bool nan = false;
    for (Walk p(whole_block(), columns); p.y < runs; p.next()) {
      A sums[kRun];
      convolve(a, along + p.y * kRun * a.tile.pitch + p.x, a.tile.pitch, sums);
      for (int r = 0; r < kRun; ++r) {
        if (p.y * kRun + r >= rows) break;
        in[(p.y * kRun + r) * a.tile.pitch + p.x] = sums[r];
        nan = nan || sums[r] != sums[r];
        range.bottom = std::fmin(range.bottom, sums[r]);
        range.top = std::fmax(range.top, sums[r]);
      }
    }
    if (nan) range.top = static_cast<A>(NAN);
  }

  // The output is of the arithmetic type, whose packs are W's.
  __device__ void write(A* out, const Line<A>& line) const {
    constexpr int M = N > 1 ? kPack<A> : 1;
    const int width = static_cast<int>(a.maps.width);
    const Team block = whole_block();
    const Packs<M> packs(columns, rows);
    for (unsigned i = block.rank; i < packs.count; i += block.size) {
      const int x = packs.x(i), y = packs.y(i);
      if (y >= rows) continue;
      A values[M];
      for (int k = 0; k < M; ++k) values[k] = line(in[y * a.tile.pitch + x + k]);
      store(out + ((top + y) * width + left + x), values);
    }
  }
};

}  // namespace dark
