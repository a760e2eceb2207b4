// SPDX-License-Identifier: Apache-2.0
// The host side of decode on every device: the arguments, checked and laid out as the kernels read
// them.
#pragma once
#include <algorithm>

#include "checks.h"
#include "common.h"
#include "fit.h"
#include "map.h"
#include "peak.h"
#include "step.h"

namespace dark {

// How a map becomes coordinates, whatever it is read from.
template <typename A>
struct DecodeRule {
  const A* transforms;  // [B, 2, 3] or null: coordinates stay in heatmap pixels
  A* coords;            // [B, K, 2], or of decode_peaks [B, K, k, 2]
  A* scores;            // [B, K] or [B, K, k]
  int64_t joints;
  Method method;
  A max_shift;
  FitRule fit;
  int taps_count;  // 0: no modulation
  A taps[kMaxTaps];

  // The last steps, the same for every device: Eq 2, and NaN for a map that holds one. `index` is
  // person x joints + joint.
  DARK_SHARED void store(int64_t person, int64_t index, const Peak<A>& peak, Point<A> p) const {
    if (transforms != nullptr) p = apply_transform(transforms + 6 * person, p);
    const A nan = static_cast<A>(NAN);
    coords[2 * index] = peak.nan ? nan : p.x;
    coords[2 * index + 1] = peak.nan ? nan : p.y;
    scores[index] = peak.nan ? nan : peak.value;
  }

  // Where decode_peaks has found no maximum, or looks for none since the map holds a NaN.
  DARK_SHARED void store_missing(int64_t index, bool nan) const {
    coords[2 * index] = coords[2 * index + 1] = static_cast<A>(NAN);
    scores[index] = nan ? static_cast<A>(NAN) : A(0);
  }
};

// Passed to CUDA kernels by value, lists included, so that a launch needs no copy and a graph can
// capture it.
template <typename T>
struct DecodeArguments : DecodeRule<Arithmetic<T>> {
  const T* heatmaps;
  const T* flipped;  // null: no flip test
  Maps maps, flipped_maps;
  int flip_shift;
  uint16_t flip_index[kMaxJoints];

  DARK_SHARED Map<T> map(int64_t person, int64_t joint) const {
    const T* mirrored =
        flipped == nullptr ? nullptr : flipped + flipped_maps.offset(person, flip_index[joint]);
    return {heatmaps + maps.offset(person, joint),
            mirrored,
            maps.stride_row,
            maps.stride_column,
            flipped_maps.stride_row,
            flipped_maps.stride_column,
            maps.height,
            maps.width,
            flip_shift};
  }
};

// Tensors that the pointers above point into. The lists are the caller's.
struct DecodeCall {
  Maps maps, flipped_maps;  // first: heatmaps is initialized through them
  Tensor heatmaps, scores, coords;
  std::optional<Tensor> flipped, transform;
  Method method;
  const std::vector<double>& taps;
  const std::optional<std::vector<int64_t>>& flip_index;
  int64_t flip_shift;
  double max_shift;
  FitRule fit;

  DecodeCall(const Tensor& heatmaps_, const std::vector<double>& taps_,
             const std::optional<Tensor>& flipped_, const std::optional<Tensor>& transform_,
             const std::string& method_, const std::optional<std::vector<int64_t>>& flip_index_,
             int64_t flip_shift_, double max_shift_, const std::string& border,
             std::vector<int64_t> each = {})  // the sizes of a map's scores
      : heatmaps(strided_maps(heatmaps_, maps)),
        scores(empty(leading_sizes(heatmaps_, 2, each), arithmetic_type(heatmaps_.scalar_type()),
                     heatmaps_)),
        coords(empty(leading_sizes(scores, 0, {2}), scores.scalar_type(), heatmaps_)),
        transform(contiguous_as(transform_, arithmetic_type(heatmaps_.scalar_type()))),
        method(*find_name<Method>(method_)),
        taps(taps_),
        flip_index(flip_index_),
        flip_shift(std::min(flip_shift_, maps.width)),
        max_shift(max_shift_),
        fit(fit_rule(taps_, border)) {
    if (flipped_) flipped = strided_maps(*flipped_, flipped_maps);
  }

  template <typename T>
  DecodeArguments<T> arguments() const {
    using A = Arithmetic<T>;
    DecodeArguments<T> a{};
    a.heatmaps = heatmaps.const_data_ptr<T>();
    a.flipped = flipped ? flipped->const_data_ptr<T>() : nullptr;
    a.transforms = transform ? transform->const_data_ptr<A>() : nullptr;
    a.coords = coords.mutable_data_ptr<A>();
    a.scores = scores.mutable_data_ptr<A>();
    a.joints = maps.joints;
    a.maps = maps;
    a.flipped_maps = flipped_maps;
    a.method = method;
    a.flip_shift = static_cast<int>(flip_shift);
    a.max_shift = static_cast<A>(max_shift);
    a.fit = fit;
    a.taps_count = static_cast<int>(taps.size());
    for (size_t i = 0; i < taps.size(); ++i) a.taps[i] = static_cast<A>(taps[i]);
    for (int64_t k = 0; k < std::min(maps.joints, kMaxJoints); ++k)
      a.flip_index[k] = static_cast<uint16_t>(flip_index ? (*flip_index)[k] : k);
    return a;
  }
};

}  // namespace dark
