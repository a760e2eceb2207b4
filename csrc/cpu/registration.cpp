// SPDX-License-Identifier: Apache-2.0
// The CPU kernels as ops of torch.
#include "../library.h"
#include "kernels.h"

namespace dark {

DARK_CPU_KERNELS(m) {
  m.impl("encode", TORCH_BOX(&encode));
  m.impl("modulate", TORCH_BOX(&modulate));
  m.impl("decode", TORCH_BOX(&decode));
  m.impl("decode_peaks", TORCH_BOX(&decode_peaks));
  m.impl("heatmap_mse", TORCH_BOX(&heatmap_mse));
  m.impl("heatmap_mse_backward", TORCH_BOX(&heatmap_mse_backward));
  m.impl("crop", TORCH_BOX(&crop));
}

}  // namespace dark
