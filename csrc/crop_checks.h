// SPDX-License-Identifier: Apache-2.0
// The argument rules of crop, as `checks.h` has those of the other ops.
#pragma once
#include "checks.h"

namespace dark {

constexpr int64_t kMaxSide = int64_t{1} << 29;  // rows or columns of what crop reads and writes
constexpr double kMinFloat = std::numeric_limits<float>::min();

inline void check_images(const std::vector<Tensor>& images) {
  const char* op = "crop";
  require(!images.empty(), op, ": images must be one tensor or more, got none");
  const Tensor& first = images.front();
  for (const Tensor& image : images) {
    require(image.scalar_type() == ScalarType::Byte, op, ": images must be uint8, got ",
            type_name(image.scalar_type()));
    const int64_t channels = image.dim() == 3 ? image.size(2) : 0;
    require(channels == 1 || channels == 3 || channels == 4, op,
            ": images must be [H, W, C] with a C of 1, 3 or 4, got ", shape_text(image));
    const int64_t least = std::min(image.size(0), image.size(1)),
                  most = std::max(image.size(0), image.size(1));
    require(least >= 1 && most < kMaxSide, op,
            ": images must have at least one and fewer than 2^29 rows and columns, got ",
            shape_text(image));
    require(channels == first.size(2), op, ": images must have as many channels as the first, ",
            first.size(2), ", got ", channels);
    require(image.device() == first.device(), op, ": images must be on the device of the first, ",
            device_text(first), ", got ", device_text(image));
  }
}

// mean or std of crop.
inline void check_channel_values(const char* name, const std::optional<std::vector<double>>& values,
                                 const std::optional<ScalarType>& dtype, int64_t channels) {
  if (!values) return;
  require(dtype.has_value(), "crop: ", name, " must go with a dtype, got none");
  require(static_cast<int64_t>(values->size()) == channels, "crop: ", name, " must have ", channels,
          " values, one a channel, got ", values->size());
  const bool divides = std::string(name) == "std";
  for (const double value : *values)
    require(std::abs(value) <= kMaxFloat && !(divides && value < kMinFloat), "crop: ", name,
            " must be ", divides ? "positive and finite" : "finite", ", got ", list_text(*values));
}

// Of another device index and transform would have to be waited for.
inline void check_crops_in_memory(int64_t images, const Tensor& index, const Tensor& transform) {
  const Tensor numbers = index.is_contiguous() ? index : contiguous(index);
  for (int64_t i = 0; i < numbers.numel(); ++i) {
    const int64_t image = numbers.const_data_ptr<int64_t>()[i];
    require(image >= 0 && image < images, "crop: index must be from 0 to ", images - 1,
            " to go with ", images, " images, got ", image);
  }
  const Tensor matrices = contiguous_as(transform, ScalarType::Double);
  for (int64_t i = 0; i < matrices.numel(); ++i) {
    const double value = matrices.const_data_ptr<double>()[i];
    require(std::abs(value) <= kMaxFloat, "crop: transform must be finite, in float32 too, got ",
            value);
  }
}

inline void check_crop(const std::vector<Tensor>& images, const Tensor& index,
                       const Tensor& transform, int64_t height, int64_t width,
                       const std::optional<std::vector<double>>& mean,
                       const std::optional<std::vector<double>>& std,
                       const std::string& interpolation, const std::optional<ScalarType>& dtype) {
  const char* op = "crop";
  check_images(images);
  const Tensor& first = images.front();
  require(index.scalar_type() == ScalarType::Long, op, ": index must be int64, got ",
          type_name(index.scalar_type()));
  require(index.dim() == 1, op, ": index must be [N], got ", shape_text(index));
  require(index.device() == first.device(), op, ": index must be on the device of images, ",
          device_text(first), ", got ", device_text(index));
  const bool known =
      transform.scalar_type() == ScalarType::Float || transform.scalar_type() == ScalarType::Double;
  require(known, op, ": transform must be float32 or float64, got ",
          type_name(transform.scalar_type()));
  check_like(op, "transform", transform, {index.size(0), 2, 3}, "index", index);
  require(height >= 1 && width >= 1 && std::max(height, width) < kMaxSide, op,
          ": height and width must be at least 1 and less than 2^29, got ", height, " and ", width);
  const int64_t channels = first.size(2);
  check_extent(op, {index.size(0), height, width, channels}, "crops");
  named<Interpolation>(op, "interpolation", interpolation);
  require(!dtype || is_floating(*dtype), op,
          ": dtype must be float16, bfloat16, float32 or float64, got ",
          dtype ? type_name(*dtype) : "");
  check_channel_values("mean", mean, dtype, channels);
  check_channel_values("std", std, dtype, channels);
#ifndef DARK_EMULATED  // which stands for a GPU
  if (index.is_cpu()) check_crops_in_memory(static_cast<int64_t>(images.size()), index, transform);
#endif
}

}  // namespace dark
