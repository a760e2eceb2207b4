// SPDX-License-Identifier: Apache-2.0
// modulate: each map convolved with the taps in both directions, zeros outside (Eq 10), then
// rescaled (Eq 11). A band of as many rows as a vector has lanes is convolved down the columns,
// transposed, and convolved once more in the same way, still in the L1 cache: no load begins in the
// middle of a vector, and four sums share what they load. The taps are symmetric: pixels at equal
// distances are added first, which halves the products.
#include "../modulate.h"

#include "../checks.h"
#include "kernels.h"
#include "parallel.h"
#include "staging.h"
#include "transpose.h"

namespace dark {
namespace {

// One map on its way.
template <typename A>
struct Job {
  static constexpr int64_t n = kLanes<A>;  // rows of a band

  const A* in;
  int64_t stride, width, height;
  const A* taps;  // those up to the central one, n times each
  int reach;
  const A* zeros;  // a row of them
  A* columns;      // n values each, and `reach` of zeros to either side
  A* out;          // dense

  A* column(int64_t x) const { return columns + (reach + x) * n; }
};

// Convolves the vectors load(0) to load(2 reach + 3) to four. kReach is the taps' where it is
// known.
template <int kReach, typename A, typename Load>
DARK_INLINE void convolve(const A* taps, int any_reach, Load&& load, Vector<A>* sums) {
  constexpr int n = kLanes<A>;
  const int64_t reach = kReach > 0 ? kReach : any_reach;
  // What is next to be added: at equal distances, below and above each of the four.
  Vector<A> total[4], low[4], high[4];
  const Vector<A> center = read(taps + reach * n);
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    total[j] = center * load(reach + j);
    low[j] = load(j);
    high[j] = load(2 * reach + j);
  }
  const auto add = [&](int64_t t) DARK_LAMBDA {
    const Vector<A> tap = read(taps + t * n);
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) total[j] += tap * (low[j] + high[j]);
#pragma GCC unroll 3
    for (int j = 0; j < 3; ++j) {
      low[j] = low[j + 1];
      high[3 - j] = high[2 - j];
    }
    low[3] = load(t + 4);
    high[0] = load(2 * reach - t - 1);
  };
  if constexpr (kReach > 0) {
#pragma GCC unroll 8
    for (int64_t t = 0; t < kReach; ++t) add(t);
  } else {
    for (int64_t t = 0; t < reach; ++t) add(t);
  }
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) sums[j] = total[j];
}

// The band of rows from y on down their columns; `highest` is of its own pixels.
template <int kReach, typename A>
DARK_INLINE void convolve_columns(const Job<A>& job, int64_t y, Vector<A>& highest) {
  constexpr int64_t n = kLanes<A>;
  const int reach = kReach > 0 ? kReach : job.reach;
  const A* rows[n + kMaxTaps - 1];
  for (int64_t i = 0; i < n + 2 * reach; ++i) {
    const int64_t row = y - reach + i;
    rows[i] = row >= 0 && row < job.height ? job.in + row * job.stride : job.zeros;
  }
  const A* ahead = job.in + (y + n + reach) * job.stride;
  for (int64_t begin = 0; begin < job.width; begin += n) {
    const int64_t x = std::max<int64_t>(0, std::min(begin, job.width - n));
    const auto load = [&](int64_t i) DARK_LAMBDA {
      return job.width < n ? read_some(rows[i], job.width) : read(rows[i] + x);
    };
    Vector<A> sums[n];
#pragma GCC unroll 2
    for (int64_t j = 0; j < n; j += 4)
      convolve<kReach>(
          job.taps, reach, [&](int64_t i) DARK_LAMBDA { return load(j + i); }, sums + j);
    // The band after the next, as it lies in memory: a map's rows, then the next map's.
    for (int64_t j = 0; j < n; j += 64 / static_cast<int64_t>(sizeof(Vector<A>)))
      __builtin_prefetch(ahead + (begin + j) * n, 0, 3);
    // Zeros from below the map do not matter: only a highest value above them does.
#pragma GCC unroll 8
    for (int64_t j = 0; j < n; ++j) highest = Higher()(load(reach + j), highest);
    transpose(sums);
#pragma GCC unroll 8
    for (int64_t i = 0; i < n; ++i) store(job.column(x + i), sums[i]);
  }
}

// The band along its rows, at columns x and on: a vector of each row.
template <int kReach, typename A>
DARK_INLINE void convolve_rows(const Job<A>& job, int64_t x, Vector<A> (&sums)[kLanes<A>]) {
  constexpr int64_t n = kLanes<A>;
#pragma GCC unroll 2
  for (int64_t j = 0; j < n; j += 4) {
    const A* from = job.columns + (x + j) * n;  // `reach` to the left
    convolve<kReach>(
        job.taps, job.reach, [&](int64_t i) DARK_LAMBDA { return read(from + i * n); }, sums + j);
  }
  transpose(sums);
}

template <typename A>
Range<A> range_with_nan(const Job<A>& job) {
  const A infinity = static_cast<A>(INFINITY);
  Range<A> range{-infinity, infinity, -infinity};
  for (int64_t y = 0; y < job.height; ++y)
    for (int64_t x = 0; x < job.width; ++x) {
      const A out = job.out[y * job.width + x];
      range.highest = highest_or_nan(range.highest, job.in[y * job.stride + x]);
      range.bottom = lowest_or_nan(range.bottom, out);
      range.top = highest_or_nan(range.top, out);
    }
  return range;
}

template <int kReach, typename A>
DARK_INLINE Range<A> convolve_map(Job<A> job) {
  constexpr int64_t n = kLanes<A>;
  const A infinity = static_cast<A>(INFINITY);
  Vector<A> highest = broadcast(-infinity), top = highest, bottom = broadcast(infinity), total{};
  const auto finish = [&](int64_t x, int64_t y) DARK_LAMBDA {
    Vector<A> sums[n];
    convolve_rows<kReach>(job, x, sums);
    for (int64_t j = 0; j < n && y + j < job.height; ++j) {
      A* to = job.out + (y + j) * job.width + x;
      if (job.width < n) {
        write_some(to, sums[j], job.width);
        for (int64_t lane = job.width; lane < n; ++lane) sums[j][lane] = sums[j][0];
      } else {
        store(to, sums[j]);
      }
      top = Higher()(sums[j], top);
      bottom = Lower()(sums[j], bottom);
      total += sums[j];
    }
  };
  for (int64_t y = 0; y < job.height; y += n) {
    convolve_columns<kReach>(job, y, highest);
    int64_t x = 0;
    for (; x + n <= job.width; x += n) finish(x, y);
    if (job.width % n != 0) finish(std::max<int64_t>(0, job.width - n), y);
  }
  if (!is_finite<A>(total)) return range_with_nan(job);
  return {across<A>(highest, Higher()), across<A>(bottom, Lower()), across<A>(top, Higher())};
}

template <int kReach, typename A>
DARK_MULTIVERSION void modulate_map(const Job<A>& job, Rescale rule) {
  const Line<A> line = rescaling(rule, convolve_map<kReach>(job));
  if (line.identity) return;
  const int64_t size = job.width * job.height;
  int64_t i = 0;
  for (; i + kLanes<A> <= size; i += kLanes<A>)
    store(job.out + i, (read(job.out + i) - line.offset) * line.scale);
  for (; i < size; ++i) job.out[i] = line(job.out[i]);
}

}  // namespace

Tensor modulate(const Tensor& heatmaps, std::vector<double> taps, std::string rescale) {
  check_modulate(heatmaps, taps, rescale);
  Maps maps;
  const Tensor view = strided_maps(heatmaps, maps);
  const Tensor out = empty(sizes_of(heatmaps), arithmetic_type(heatmaps.scalar_type()), heatmaps);
  const Rescale rule = *find_name<Rescale>(rescale);
  const int reach = static_cast<int>(taps.size()) / 2;
  dispatch_floating(heatmaps.scalar_type(), [&](auto t) {
    using T = decltype(t);
    using A = Arithmetic<T>;
    std::vector<A> wide_taps;
    for (int i = 0; i <= reach; ++i) wide_taps.insert(wide_taps.end(), kLanes<A>, taps[i]);
    // Those of the paper's sigmas, 1, 2 and 3, are known to the compiler.
    const auto modulate_one = reach == 3   ? modulate_map<3, A>
                              : reach == 5 ? modulate_map<5, A>
                              : reach == 8 ? modulate_map<8, A>
                                           : modulate_map<0, A>;
    parallel_over_maps(maps.count, maps.size(), 8, [&](int64_t begin, int64_t end) {
      const std::vector<A> zeros(maps.width);
      // Each a vector, at its natural address.
      struct alignas(sizeof(Vector<A>)) Column {
        A values[kLanes<A>] = {};
      };
      std::vector<Column> columns(std::max<int64_t>(maps.width, kLanes<A>) + 2 * reach);
      Job<A> job{nullptr,          0,     maps.width,   maps.height,
                 wide_taps.data(), reach, zeros.data(), columns.data()->values,
                 nullptr};
      for_each_map<false>(view.const_data_ptr<T>(), maps, begin, end,
                          [&](int64_t map, const A* in, int64_t stride) {
                            job.in = in;
                            job.stride = stride;
                            job.out = out.mutable_data_ptr<A>() + map * maps.size();
                            modulate_one(job, rule);
                          });
    });
  });
  return out;
}

}  // namespace dark
