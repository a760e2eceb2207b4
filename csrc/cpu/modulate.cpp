// SPDX-License-Identifier: Apache-2.0
// modulate: each map convolved with the taps in both directions, zeros outside (Eq 10), then
// rescaled (Eq 11). A few rows at a time are convolved down the columns and then, still in the L1
// cache, along themselves. The taps are symmetric: pixels at equal distances are added first, which
// halves the products. What bounds it then is the loads of the rows' pixels: fusing products and
// sums saved 5 %, for bits that depend on the processor, and was left.
#include "../modulate.h"

#include "../checks.h"
#include "kernels.h"
#include "parallel.h"
#include "staging.h"

namespace dark {
namespace {

constexpr int kRows = 4;  // convolved together, so that a row is loaded once for all of them

// One map on its way.
template <typename A>
struct Job {
  const A* in;
  int64_t stride, width, height;
  const A* taps;  // 2 reach + 1
  int reach;
  A* rows;  // kRows, each with `reach` zeros and room for a vector at either end
  A* out;   // dense

  int64_t row_stride() const { return width + 2 * reach + 2 * kLanes<A>; }
};

template <typename A>
DARK_INLINE Vector<A> row_vector(const Job<A>& job, int64_t x, int64_t y) {
  if (y < 0 || y >= job.height) return Vector<A>{};
  const A* from = job.in + y * job.stride + x;
  return job.width < kLanes<A> ? read_some(from, job.width) : read(from);
}

// Rows y to y + kRows down their columns, from column x on. kReach is the taps' where it is known.
template <int kReach, typename A>
DARK_INLINE void convolve_columns(const Job<A>& job, int64_t x, int64_t y, Vector<A>& highest) {
  const int reach = kReach > 0 ? kReach : job.reach;
  const bool inside = y >= reach && y + kRows + reach <= job.height && job.width >= kLanes<A>;
  Vector<A> window[kRows + 2 * (kReach > 0 ? kReach : kMaxTaps / 2)];
  if (inside) {
    const A* from = job.in + (y - reach) * job.stride + x;
    for (int i = 0; i < kRows + 2 * reach; ++i) window[i] = read(from + i * job.stride);
  } else {
    for (int i = 0; i < kRows + 2 * reach; ++i) window[i] = row_vector(job, x, y - reach + i);
  }
  for (int j = 0; j < kRows; ++j) {
    Vector<A> sum = job.taps[reach] * window[j + reach];
    for (int t = 0; t < reach; ++t)
      sum += job.taps[t] * (window[j + t] + window[j + 2 * reach - t]);
    store(job.rows + j * job.row_stride() + kLanes<A> + reach + x, sum);
    // Zeros from below the map do not matter: only a highest value above them does.
    highest = Higher()(window[j + reach], highest);
  }
}

// The rows along themselves, at columns x and on.
template <int kReach, typename A>
DARK_INLINE void convolve_rows(const Job<A>& job, int64_t x, Vector<A> (&sums)[kRows]) {
  using V = Vector<A>;
  const int reach = kReach > 0 ? kReach : job.reach;
  const int64_t stride = job.row_stride();
  const A* from = job.rows + kLanes<A> + x;  // `reach` to the left
  for (int j = 0; j < kRows; ++j) sums[j] = job.taps[reach] * load_as<V>(from + j * stride + reach);
  for (int t = 0; t < reach; ++t) {
    const V tap = broadcast(job.taps[t]);
    for (int j = 0; j < kRows; ++j) {
      const A* row = from + j * stride;
      sums[j] += tap * (load_as<V>(row + t) + load_as<V>(row + 2 * reach - t));
    }
  }
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
  // Copies of its own: what is stored to the map cannot change them.
  A taps[kReach > 0 ? 2 * kReach + 1 : kMaxTaps];
  std::copy_n(job.taps, 2 * (kReach > 0 ? kReach : job.reach) + 1, taps);
  job.taps = taps;
  constexpr int64_t n = kLanes<A>;
  const A infinity = static_cast<A>(INFINITY);
  Vector<A> highest = broadcast(-infinity), top = highest, bottom = broadcast(infinity), total{};
  const auto finish = [&](int64_t x, int64_t y) DARK_LAMBDA {
    Vector<A> sums[kRows];
    convolve_rows<kReach>(job, x, sums);
    for (int64_t j = 0; j < kRows && y + j < job.height; ++j) {
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
  for (int64_t y = 0; y < job.height; y += kRows) {
    for (int64_t x = 0; x < job.width; x += n)
      convolve_columns<kReach>(job, std::max<int64_t>(0, std::min(x, job.width - n)), y, highest);
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
  const Rescale rule = parse_rescale(rescale);
  const int reach = static_cast<int>(taps.size()) / 2;
  dispatch_floating(heatmaps.scalar_type(), [&](auto t) {
    using T = decltype(t);
    using A = Arithmetic<T>;
    const std::vector<A> typed_taps(taps.begin(), taps.end());
    // Those of the paper's sigmas, 1, 2 and 3, are known to the compiler.
    const auto modulate_one = reach == 3   ? modulate_map<3, A>
                              : reach == 5 ? modulate_map<5, A>
                              : reach == 8 ? modulate_map<8, A>
                                           : modulate_map<0, A>;
    parallel_over_maps(maps.count, maps.size(), 8, [&](int64_t begin, int64_t end) {
      Job<A> job{nullptr, 0, maps.width, maps.height, typed_taps.data(), reach, nullptr, nullptr};
      std::vector<A> rows(kRows * job.row_stride());
      job.rows = rows.data();
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
