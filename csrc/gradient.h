// SPDX-License-Identifier: Apache-2.0
// The host side of heatmap_mse's gradient on every device: a tensor that lies in memory as the
// heatmaps do, so that neither autograd nor what follows has to copy it.
#pragma once
#include "common.h"

namespace dark {

// `result` has the strides of torch.empty_like(heatmaps): those of heatmaps that fill their memory,
// in the same order those of others. Kernels write to `written`, which `maps` describes.
struct Gradient {
  Tensor result, written;
  Maps maps;

  // B... of the result may take several strides, if they have been permuted: written is then
  // contiguous and copied. That is rare, and not worth kernels that walk more dimensions.
  explicit Gradient(const Tensor& heatmaps)
      : result(empty_like(heatmaps)),
        written(has_strided_maps(result)
                    ? result
                    : empty(sizes_of(heatmaps), heatmaps.scalar_type(), heatmaps)),
        maps(describe(written)) {}

  // Once the kernel is launched.
  Tensor finish() {
    if (!has_strided_maps(result)) copy_(result, written);
    return result;
  }
};

}  // namespace dark
