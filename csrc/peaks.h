// SPDX-License-Identifier: Apache-2.0
// The host side of decode_peaks on every device: that of decode, and what is looked for.
#pragma once
#include "decode.h"

namespace dark {

// A local maximum is a pixel above `threshold` that is the highest of the square within `radius`
// round it; of equal ones the first in row-major order. The highest `k` of a map come first, of
// equal ones the first.
template <typename A>
struct PeakRule {
  int64_t* counts;  // [B, K]
  int64_t k;
  int64_t radius;  // at most the map's longer side
  A threshold;
};

// coords are [B, K, k, 2] and scores [B, K, k].
template <typename T>
struct PeaksArguments : DecodeArguments<T>, PeakRule<Arithmetic<T>> {};

struct PeaksCall : DecodeCall {
  Tensor counts;
  int64_t k, radius;
  double threshold;

  PeaksCall(const Tensor& heatmaps, const std::vector<double>& taps, int64_t k_,
            const std::optional<Tensor>& flipped, const std::optional<Tensor>& transform,
            int64_t radius_, double threshold_,
            const std::optional<std::vector<int64_t>>& flip_index, int64_t flip_shift,
            double max_shift, const std::string& border)
      : DecodeCall(heatmaps, taps, flipped, transform, "dark", flip_index, flip_shift, max_shift,
                   border, {k_}),
        counts(empty(leading_sizes(heatmaps, 2), ScalarType::Long, heatmaps)),
        k(k_),
        radius(std::min(radius_, std::max(maps.height, maps.width))),
        threshold(threshold_) {}

  template <typename T>
  PeaksArguments<T> arguments() const {
    return {DecodeCall::arguments<T>(),
            {counts.mutable_data_ptr<int64_t>(), k, radius, static_cast<Arithmetic<T>>(threshold)}};
  }
};

// Checks the arguments of torch.ops.dark.decode_peaks.
inline PeaksCall peaks_call(const Tensor& heatmaps, const std::vector<double>& taps, int64_t k,
                            const std::optional<Tensor>& flipped,
                            const std::optional<Tensor>& transform, int64_t radius,
                            double threshold, const std::optional<std::vector<int64_t>>& flip_index,
                            int64_t flip_shift, double max_shift, const std::string& border) {
  check_decode("decode_peaks", heatmaps, taps, flipped, transform, "dark", flip_index, flip_shift,
               max_shift, border);
  check_search(heatmaps, k, radius, threshold);
  return {heatmaps,  taps,       k,          flipped,   transform, radius,
          threshold, flip_index, flip_shift, max_shift, border};
}

}  // namespace dark
