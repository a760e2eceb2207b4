// SPDX-License-Identifier: Apache-2.0
// decode_peaks: the k highest local maxima of each map, and DARK's step from each, as decode takes
// it: for a block of maxima at once, whichever maps they are of.
#include "../peaks.h"
#include "blocks.h"
#include "kernels.h"
#include "maxima.h"
#include "parallel.h"
#include "refine.h"

namespace dark {
namespace {

// Maxima that wait for their steps.
template <typename Reader, typename A = typename Reader::A>
struct Waiting {
  Reader maps[kBlock];
  Peak<A> peaks[kBlock];
  int64_t people[kBlock], places[kBlock];
  int count = 0;

  DARK_INLINE void add(const Reader& map, const Peak<A>& peak, int64_t person, int64_t place) {
    maps[count] = map;
    peaks[count] = peak;
    people[count] = person;
    places[count++] = place;
  }
  DARK_INLINE void refine(const DecodeRule<A>& rule) {
    Point<A> points[kBlock];
    refine_block(rule, maps, peaks, count, points);
    for (int i = 0; i < count; ++i) rule.store(people[i], places[i], peaks[i], points[i]);
    count = 0;
  }
};

// Maps `first` to first + count.
template <typename Reader, typename A = typename Reader::A>
DARK_MULTIVERSION void decode_peaks_block(const DecodeRule<A>& rule, const PeakRule<A>& search,
                                          const Reader* maps, int64_t first, int count,
                                          Highest<A>& highest) {
  Waiting<Reader> waiting;
  for (int i = 0; i < count; ++i) {
    const Reader& map = maps[i];
    const int64_t index = first + i;
    int64_t place = index * search.k;
    const int64_t end = place + search.k;
    highest.start(search);
    const bool known = map.width < kLanes<A> ? find_maxima_of_narrow(map, search.radius, highest)
                                             : find_maxima(map, map.width, search.radius, highest);
    search.counts[index] = 0;
    if (known) {
      for (const Peak<A>& peak : highest.in_order()) {
        waiting.add(map, peak, index / rule.joints, place++);
        if (waiting.count == kBlock) waiting.refine(rule);
      }
      search.counts[index] = place - index * search.k;
    }
    for (; place < end; ++place) rule.store_missing(place, !known);
  }
  waiting.refine(rule);
}

}  // namespace

std::tuple<Tensor, Tensor, Tensor> decode_peaks(const Tensor& heatmaps, std::vector<double> taps,
                                                int64_t k, std::optional<Tensor> flipped,
                                                std::optional<Tensor> transform, int64_t radius,
                                                double threshold,
                                                std::optional<std::vector<int64_t>> flip_index,
                                                int64_t flip_shift, double max_shift,
                                                std::string border) {
  const PeaksCall call = peaks_call(heatmaps, taps, k, flipped, transform, radius, threshold,
                                    flip_index, flip_shift, max_shift, border);
  dispatch_floating(heatmaps.scalar_type(), [&](auto zero) {
    using A = Arithmetic<decltype(zero)>;
    const auto arguments = call.arguments<decltype(zero)>();
    parallel_over_maps(call.maps.count, call.maps.size(), 1, [&](int64_t begin, int64_t end) {
      Highest<A> highest;
      each_block<false>(arguments, begin, end, [&](const auto* maps, int64_t first, int count) {
        decode_peaks_block(arguments, arguments, maps, first, count, highest);
      });
    });
  });
  return {call.coords, call.scores, call.counts};
}

}  // namespace dark
