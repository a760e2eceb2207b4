// SPDX-License-Identifier: Apache-2.0
// The argument rules of every op, for callers of torch.ops.dark and of NumPy's. Mirrors
// `darkpose_ext/_checks.py` word for word. Thrown directly, without torch's check macro, whose
// message would begin with a source path.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>
#include <stdexcept>

#include "common.h"
#include "names.h"

namespace dark {

constexpr int64_t kMaxTaps = 63;  // lists travel to CUDA kernels by value
constexpr int64_t kMaxJoints = 1024;
// Products of sizes, times what an element costs in bytes or work, must fit in 64 bits.
constexpr int64_t kMaxPixels = int64_t{1} << 60;
constexpr double kMaxFloat = std::numeric_limits<float>::max();

template <typename... Parts>
void require(bool holds, const Parts&... parts) {
  if (holds) return;
  std::ostringstream message;
  (message << ... << parts);
  throw ArgumentError(message.str());
}

inline bool is_floating(ScalarType type) {
  return type == ScalarType::Float || type == ScalarType::Double || type == ScalarType::Half ||
         type == ScalarType::BFloat16;
}

// Parts of messages that are put into words only where a check fails: a call of an op must not pay
// for them.
template <typename Numbers>
struct ListText {
  const Numbers& numbers;
};

template <typename Numbers>
ListText<Numbers> list_text(const Numbers& numbers) {
  return {numbers};
}

template <typename Numbers>
std::ostream& operator<<(std::ostream& stream, const ListText<Numbers>& text) {
  stream << '[';
  for (size_t i = 0; i < text.numbers.size(); ++i)
    stream << (i == 0 ? "" : ", ") << text.numbers[i];
  return stream << ']';
}

struct ShapeText {
  const Tensor& tensor;
};

inline ShapeText shape_text(const Tensor& tensor) { return {tensor}; }

inline std::ostream& operator<<(std::ostream& stream, const ShapeText& text) {
  return stream << list_text(sizes_of(text.tensor));
}

inline void check_floating(const char* op, const char* name, const Tensor& t) {
  require(is_floating(t.scalar_type()), op, ": ", name,
          " must be float16, bfloat16, float32 or float64, got ", type_name(t.scalar_type()));
}

// A size of 0 counts as 1: products of the others are formed too.
inline void check_extent(const char* op, const std::vector<int64_t>& sizes,
                         const char* what = "heatmaps", const char* of = "pixels") {
  int64_t extent = 1;
  for (const int64_t size : sizes) {
    const int64_t factor = std::max<int64_t>(1, size);
    require(extent <= (kMaxPixels - 1) / factor, op, ": ", what, " must have fewer than 2^60 ", of,
            ", a size of 0 taken as 1, got ", list_text(sizes));
    extent *= factor;
  }
}

inline void check_heatmaps(const char* op, const Tensor& heatmaps, int64_t least_dims) {
  check_floating(op, "heatmaps", heatmaps);
  const char* shape = least_dims == 3 ? "[..., K, H, W]" : "[..., H, W]";
  require(heatmaps.dim() >= least_dims, op, ": heatmaps must be ", shape, ", got ",
          shape_text(heatmaps));
  require(heatmaps.size(heatmaps.dim() - 2) >= 1 && heatmaps.size(heatmaps.dim() - 1) >= 1, op,
          ": heatmaps must have at least one row and one column, got ", shape_text(heatmaps));
  check_extent(op, sizes_of(heatmaps));
}

// Another floating-point argument: its shape, and the device of the op's first one.
inline void check_like(const char* op, const char* name, const Tensor& t,
                       const std::vector<int64_t>& shape, const char* first_name,
                       const Tensor& first) {
  check_floating(op, name, t);
  require(sizes_of(t) == shape, op, ": ", name, " must be ", list_text(shape), " to go with ",
          first_name, " ", shape_text(first), ", got ", shape_text(t));
  require(t.device() == first.device(), op, ": ", name, " must be on the device of ", first_name,
          ", ", device_text(first), ", got ", device_text(t));
}

inline void check_transform(const char* op, const std::optional<Tensor>& transform,
                            const char* first_name, const Tensor& first, int64_t own_dims) {
  if (!transform) return;
  check_like(op, "transform", *transform, leading_sizes(first, own_dims, {2, 3}), first_name,
             first);
  // Of another device they would have to be waited for.
  if (transform->scalar_type() != ScalarType::Double || !transform->is_cpu()) return;
  const Tensor matrices = contiguous_as(*transform, ScalarType::Double);
  const double* values = matrices.const_data_ptr<double>();
  for (int64_t i = 0; i < matrices.numel(); ++i)
    require(!std::isfinite(values[i]) || std::abs(values[i]) <= kMaxFloat, op,
            ": transform must have no number that is finite in float64 alone, got ", values[i]);
}

inline void check_taps(const char* op, const std::vector<double>& taps) {
  const int64_t n = static_cast<int64_t>(taps.size());
  require(n % 2 == 1 && n <= kMaxTaps, op, ": taps must be an odd number of values, at most ",
          kMaxTaps, ", got ", n);
  for (int64_t i = 0; i < n; ++i)
    require(std::abs(taps[i]) <= kMaxFloat && taps[i] == taps[n - 1 - i], op,
            ": taps must be finite and symmetric, got ", list_text(taps));
}

inline void check_sigma(const char* op, double sigma) {
  // In float32 too.
  require(sigma > 1e-37 && sigma < 1e37, op, ": sigma must be positive and finite, got ", sigma);
}

// The enumerator that is called `value`.
template <typename Enum>
Enum named(const char* op, const char* argument, const std::string& value) {
  if (const std::optional<Enum> found = find_name<Enum>(value)) return *found;
  std::string known;
  for (const char* name : names(Enum{})) known += (known.empty() ? "" : ", ") + std::string(name);
  require(false, op, ": ", argument, " must be one of ", known, ", got ", value);
  return {};
}

inline void check_targets(const char* op, const Tensor& joints, const Tensor& weights, double sigma,
                          const std::optional<Tensor>& transform, const std::string& rounding) {
  check_floating(op, "joints", joints);
  require(joints.dim() >= 2 && joints.size(joints.dim() - 1) == 2, op,
          ": joints must be [..., K, 2], got ", shape_text(joints));
  check_like(op, "weights", weights, leading_sizes(joints, 1), "joints", joints);
  check_sigma(op, sigma);
  named<Rounding>(op, "rounding", rounding);
  check_transform(op, transform, "joints", joints, 2);
}

inline void check_encode(const Tensor& joints, const Tensor& weights, int64_t height, int64_t width,
                         double sigma, const std::optional<Tensor>& transform,
                         const std::string& rounding, const std::optional<ScalarType>& dtype) {
  check_targets("encode", joints, weights, sigma, transform, rounding);
  require(height >= 1 && width >= 1, "encode: height and width must be at least 1, got ", height,
          " and ", width);
  check_extent("encode", leading_sizes(joints, 1, {height, width}));
  require(!dtype || is_floating(*dtype),
          "encode: dtype must be float16, bfloat16, float32 or float64, got ",
          dtype ? type_name(*dtype) : "");
}

inline void check_modulate(const Tensor& heatmaps, const std::vector<double>& taps,
                           const std::string& rescale) {
  check_heatmaps("modulate", heatmaps, 2);
  check_taps("modulate", taps);
  named<Rescale>("modulate", "rescale", rescale);
}

inline void check_flip(const char* op, const Tensor& heatmaps, const std::optional<Tensor>& flipped,
                       const std::optional<std::vector<int64_t>>& flip_index, int64_t flip_shift) {
  const int64_t joints = heatmaps.size(heatmaps.dim() - 3);
  if (!flipped) {
    require(!flip_index && flip_shift == 0, op,
            ": flip_index and flip_shift need flipped, got none");
    return;
  }
  check_like(op, "flipped", *flipped, sizes_of(heatmaps), "heatmaps", heatmaps);
  require(flipped->scalar_type() == heatmaps.scalar_type(), op,
          ": flipped must have the type of heatmaps, ", type_name(heatmaps.scalar_type()), ", got ",
          type_name(flipped->scalar_type()));
  require(flip_shift >= 0, op, ": flip_shift must not be negative, got ", flip_shift);
  require(joints <= kMaxJoints, op, ": flipped serves at most ", kMaxJoints, " joints, got ",
          joints);
  if (!flip_index) return;
  std::vector<int64_t> sorted = *flip_index;
  std::sort(sorted.begin(), sorted.end());
  bool permutation = static_cast<int64_t>(sorted.size()) == joints;
  for (size_t i = 0; i < sorted.size(); ++i)
    permutation = permutation && sorted[i] == static_cast<int64_t>(i);
  require(permutation, op, ": flip_index must be a permutation of 0 to ", joints - 1, ", got ",
          list_text(*flip_index));
}

// What decode does near a map's border: a fit needs the sigma of taps, which method dark alone has.
inline void check_border(const char* op, const std::vector<double>& taps, const std::string& border,
                         const std::string& method = "dark") {
  const bool fits = named<Border>(op, "border", border) == Border::fit;
  require(!fits || find_name<Method>(method) == Method::dark, op,
          ": border must be stay with method ", method, ", got ", border);
  require(!fits || !taps.empty(), op, ": border must be stay without taps, got ", border);
}

// Of decode and decode_peaks.
inline void check_decode(const char* op, const Tensor& heatmaps, const std::vector<double>& taps,
                         const std::optional<Tensor>& flipped,
                         const std::optional<Tensor>& transform, const std::string& method,
                         const std::optional<std::vector<int64_t>>& flip_index, int64_t flip_shift,
                         double max_shift, const std::string& border) {
  check_heatmaps(op, heatmaps, 3);
  require(named<Method>(op, "method", method) == Method::dark || taps.empty(), op,
          ": taps belong to method dark, got ", taps.size(), " with ", method);
  if (!taps.empty()) check_taps(op, taps);
  check_border(op, taps, border, method);
  check_flip(op, heatmaps, flipped, flip_index, flip_shift);
  require(max_shift >= 0, op, ": max_shift must not be negative, got ", max_shift);
  check_transform(op, transform, "heatmaps", heatmaps, 3);
}

inline void check_search(const Tensor& heatmaps, int64_t k, int64_t radius, double threshold) {
  const char* op = "decode_peaks";
  require(k >= 1, op, ": k must be at least 1, got ", k);
  require(radius >= 0, op, ": radius must not be negative, got ", radius);
  require(threshold == threshold, op, ": threshold must be a number, got ", threshold);
  check_extent(op, leading_sizes(heatmaps, 2, {k, 2}), "coords", "numbers");
}

inline void check_heatmap_mse(const char* op, const Tensor& heatmaps, const Tensor& joints,
                              const Tensor& weights, double sigma,
                              const std::optional<Tensor>& transform, const std::string& rounding) {
  check_heatmaps(op, heatmaps, 3);
  check_like(op, "joints", joints, leading_sizes(heatmaps, 2, {2}), "heatmaps", heatmaps);
  check_targets(op, joints, weights, sigma, transform, rounding);
}

inline void check_heatmap_mse_backward(const Tensor& grad, const Tensor& heatmaps,
                                       const Tensor& joints, const Tensor& weights, double sigma,
                                       const std::optional<Tensor>& transform,
                                       const std::string& rounding) {
  const char* op = "heatmap_mse_backward";
  check_heatmap_mse(op, heatmaps, joints, weights, sigma, transform, rounding);
  check_like(op, "grad", grad, leading_sizes(heatmaps, 2), "heatmaps", heatmaps);
}

}  // namespace dark
