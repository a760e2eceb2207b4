// SPDX-License-Identifier: Apache-2.0
// decode: the maximum of each map (Eq 1 to 9) and its sub-pixel step, then Eq 2. Only the window
// round the maximum is ever blurred: the released rescaling multiplies the map, which adds a
// constant to its logarithm, and constants have no derivative. (Eq 11 itself is in `modulate`.)
// Each step is done for a block of maps before the next, so that the latencies of one map hide
// behind the work on others.
#include "../decode.h"

#include "blocks.h"
#include "kernels.h"
#include "parallel.h"
#include "refine.h"

namespace dark {
namespace {

// Maps `first` to first + count, at most a block.
template <typename Reader, typename A = typename Reader::A>
DARK_MULTIVERSION void decode_block(const DecodeRule<A>& rule, const Reader* maps, int64_t first,
                                    int count) {
  const bool small = maps->width * maps->height < kLanes<A>;
  Scan<A> scans[kBlock];
  Vector<A> sum{};
  for (int i = 0; i < count && !small; ++i) {
    scans[i] = scan(maps[i]);
    sum += scans[i].sum;
  }
  const bool finite = is_finite<A>(sum);
  Peak<A> peaks[kBlock];
  for (int i = 0; i < count; ++i) {
    const bool slow = small || (!finite && !is_finite<A>(scans[i].sum) && has_nan(maps[i]));
    peaks[i] = slow ? find_peak_slowly(maps[i]) : find_peak(maps[i], scans[i]);
  }

  Point<A> points[kBlock];
  refine_block(rule, maps, peaks, count, points);
  for (int i = 0; i < count; ++i)
    rule.store((first + i) / rule.joints, first + i, peaks[i], points[i]);
}

}  // namespace

std::tuple<Tensor, Tensor> decode(const Tensor& heatmaps, std::vector<double> taps,
                                  std::optional<Tensor> flipped, std::optional<Tensor> transform,
                                  std::string method,
                                  std::optional<std::vector<int64_t>> flip_index,
                                  int64_t flip_shift, double max_shift, std::string border) {
  check_decode("decode", heatmaps, taps, flipped, transform, method, flip_index, flip_shift,
               max_shift, border);
  const DecodeCall call(heatmaps, taps, flipped, transform, method, flip_index, flip_shift,
                        max_shift, border);
  dispatch_floating(heatmaps.scalar_type(), [&](auto zero) {
    const auto arguments = call.arguments<decltype(zero)>();
    parallel_over_maps(call.maps.count, call.maps.size(), 1, [&](int64_t begin, int64_t end) {
      each_block<true>(arguments, begin, end, [&](const auto* maps, int64_t first, int count) {
        decode_block(arguments, maps, first, count);
      });
    });
  });
  return {call.coords, call.scores};
}

}  // namespace dark
