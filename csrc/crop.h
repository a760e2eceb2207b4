// SPDX-License-Identifier: Apache-2.0
// The host side of crop on every device: the arguments, checked and laid out as the kernels read
// them.
#pragma once
#include "common.h"
#include "crop_checks.h"
#include "sample.h"

namespace dark {

constexpr int kMostChannels = 4;

// What a gray level becomes in a channel: (level / 255 - mean) / std.
template <typename A>
struct Normalization {
  A mean[kMostChannels], std[kMostChannels];

  DARK_SHARED A operator()(int level, int channel) const {
    return (static_cast<A>(level) / A(255) - mean[channel]) / std[channel];
  }
};

template <typename T>
struct CropRule {
  const int64_t* index;      // [N]
  const double* transforms;  // [N, 2, 3]
  T* out;                    // [N, H, W, C]
  int64_t crops, images;
  int height, width, channels;
  Interpolation interpolation;
};

template <typename T>
struct CropArguments : CropRule<T> {
  Normalization<Arithmetic<T>> normalization;
};

template <>
struct CropArguments<uint8_t> : CropRule<uint8_t> {};

// Tensors that the pointers above point into.
struct CropCall {
  std::vector<Tensor> images;
  Tensor index, transform, out;
  Interpolation interpolation;
  std::vector<double> mean, std;

  CropCall(const std::vector<Tensor>& images_, const Tensor& index_, const Tensor& transform_,
           int64_t height, int64_t width, const std::optional<std::vector<double>>& mean_,
           const std::optional<std::vector<double>>& std_, const std::string& interpolation_,
           const std::optional<ScalarType>& dtype)
      : images(images_),
        index(index_.is_contiguous() ? index_ : contiguous(index_)),
        transform(contiguous_as(transform_, ScalarType::Double)),
        out(empty({index_.size(0), height, width, images_[0].size(2)},
                  dtype.value_or(ScalarType::Byte), images_[0])),
        interpolation(*find_name<Interpolation>(interpolation_)),
        mean(mean_.value_or(std::vector<double>(kMostChannels, 0.0))),
        std(std_.value_or(std::vector<double>(kMostChannels, 1.0))) {}

  Image image(int64_t i) const {
    const Tensor& t = images[i];
    return {t.const_data_ptr<uint8_t>(),
            t.stride(0),
            t.stride(1),
            t.stride(2),
            static_cast<int>(t.size(0)),
            static_cast<int>(t.size(1))};
  }

  template <typename T>
  CropArguments<T> arguments() const {
    CropArguments<T> a{};
    a.index = index.const_data_ptr<int64_t>();
    a.transforms = transform.const_data_ptr<double>();
    a.out = out.mutable_data_ptr<T>();
    a.crops = out.size(0);
    a.images = static_cast<int64_t>(images.size());
    a.height = static_cast<int>(out.size(1));
    a.width = static_cast<int>(out.size(2));
    a.channels = static_cast<int>(out.size(3));
    a.interpolation = interpolation;
    if constexpr (!std::is_same_v<T, uint8_t>)
      for (int c = 0; c < a.channels; ++c) {
        a.normalization.mean[c] = static_cast<Arithmetic<T>>(mean[c]);
        a.normalization.std[c] = static_cast<Arithmetic<T>>(std[c]);
      }
    return a;
  }

  // Calls f with a zero of the result's element type.
  template <typename F>
  void dispatch(F&& f) const {
    if (out.scalar_type() == ScalarType::Byte) return f(uint8_t{});
    dispatch_floating(out.scalar_type(), f);
  }

  // uint8 [N, H, W, C], else [N, C, H, W] in channels-last memory.
  Tensor result() const {
    return out.scalar_type() == ScalarType::Byte ? out : channels_first(out);
  }
};

}  // namespace dark
