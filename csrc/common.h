// SPDX-License-Identifier: Apache-2.0
// What every op shares, whichever framework's tensors it is given: dispatch on the element type,
// and a strided view of heatmaps.
#pragma once
#include <algorithm>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <vector>

#ifdef DARK_NUMPY
#include "numpy/tensor.h"
#else
#include "torch.h"
#endif
#include "portable.h"

namespace dark {

// float16, bfloat16 and float32 are computed in float32, float64 in float64.
template <typename T>
using Arithmetic = std::conditional_t<std::is_same_v<T, double>, double, float>;

inline ScalarType arithmetic_type(ScalarType type) {
  return type == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

// Calls f with a zero of the element type, which a check has found to be one of the four.
// A template where THO_DISPATCH_V2 would split f at its commas.
template <typename F>
void dispatch_floating(ScalarType type, F&& f) {
  switch (type) {
    case ScalarType::Double: return f(double{});
    case ScalarType::Half: return f(Half{});
    case ScalarType::BFloat16: return f(BFloat16{});
    default: return f(float{});
  }
}

// The tensor itself where it already has this type, is contiguous and aligned, else a copy that is.
inline Tensor contiguous_as(const Tensor& t, ScalarType type) {
  const Tensor typed = t.scalar_type() == type ? aligned(t) : to(t, type);
  return typed.is_contiguous() ? typed : contiguous(typed);
}

inline std::optional<Tensor> contiguous_as(const std::optional<Tensor>& t, ScalarType type) {
  return t ? std::optional<Tensor>(contiguous_as(*t, type)) : std::nullopt;
}

inline std::vector<int64_t> sizes_of(const Tensor& t) {
  return {t.sizes().begin(), t.sizes().end()};
}

// The sizes of t without the last `dropped` dimensions, followed by `tail`.
inline std::vector<int64_t> leading_sizes(const Tensor& t, int64_t dropped,
                                          std::vector<int64_t> tail = {}) {
  std::vector<int64_t> sizes(t.sizes().begin(), t.sizes().end() - dropped);
  sizes.insert(sizes.end(), tail.begin(), tail.end());
  return sizes;
}

// Heatmaps [B..., K, H, W] (or one map [H, W]) as maps that are strided alike, whatever their
// layout. Offsets are 64-bit: a batch may hold more than 2^31 elements.
struct Maps {
  int64_t count = 1, joints = 1, height = 1, width = 1;
  int64_t stride_person = 0, stride_joint = 0, stride_row = 0, stride_column = 0;

  DARK_SHARED int64_t offset(int64_t person, int64_t joint) const {
    return person * stride_person + joint * stride_joint;
  }
  DARK_SHARED int64_t size() const { return height * width; }
  // Whether each map lies in one piece of memory, row after row.
  DARK_SHARED bool dense() const {
    return (stride_column == 1 || width == 1) && (stride_row == width || height == 1);
  }
};

// The one stride that walks the dimensions before `end` of t, or nothing if it takes several.
// Dimensions of size 1 are not walked.
inline std::optional<int64_t> common_stride(const Tensor& t, int64_t end) {
  if (t.numel() == 0) return 0;  // whose strides may be any
  std::optional<int64_t> common;
  int64_t inner = 0;  // the last dimension walked, from the inside out
  for (int64_t d = end - 1; d >= 0; --d) {
    if (t.size(d) == 1) continue;
    if (!common)
      common = t.stride(d);
    else if (t.stride(d) != t.size(inner) * t.stride(inner))
      return std::nullopt;
    inner = d;
  }
  return common ? common : 0;
}

// Whether one stride walks B... of heatmaps, so that `describe` can.
inline bool has_strided_maps(const Tensor& t) {
  return common_stride(t, std::max<int64_t>(0, t.dim() - 3)).has_value();
}

// Heatmaps whose B... one stride walks, as `Maps`.
inline Maps describe(const Tensor& t) {
  Maps maps;
  const int64_t dims = t.dim();
  maps.height = t.size(dims - 2);
  maps.width = t.size(dims - 1);
  maps.stride_row = t.stride(dims - 2);
  maps.stride_column = t.stride(dims - 1);
  if (dims > 2) {
    maps.joints = t.size(dims - 3);
    maps.stride_joint = t.stride(dims - 3);
  }
  maps.stride_person = common_stride(t, std::max<int64_t>(0, dims - 3)).value_or(0);
  for (int64_t d = 0; d < dims - 2; ++d) maps.count *= t.size(d);
  return maps;
}

// Returns t, or a copy where it is misaligned or B... cannot be walked with one stride, and
// describes it in `maps`.
inline Tensor strided_maps(const Tensor& t, Maps& maps) {
  const Tensor placed = aligned(t), view = has_strided_maps(placed) ? placed : contiguous(placed);
  maps = describe(view);
  return view;
}

}  // namespace dark
