// SPDX-License-Identifier: Apache-2.0
// The interface page: every op of torch.ops.dark. Append-only, since exported programs hold these
// schemas. `darkpose_ext/ops.py` documents them. B... are any leading dimensions, K joints, maps of
// H x W.
// No tensor is keyword-only: torch.library.register_autograd and register_vmap refuse such ops.
#include "library.h"

DARK_LIBRARY(m) {
  // joints [B..., K, 2], weights [B..., K], transform [B..., 2, 3]
  // -> heatmaps [B..., K, H, W], weights [B..., K]
  m.def(
      "encode(Tensor joints, Tensor weights, SymInt height, SymInt width, float sigma, "
      "Tensor? transform=None, *, str rounding=\"none\", bool truncate=False, "
      "ScalarType? dtype=None) -> (Tensor heatmaps, Tensor weights)");

  // heatmaps [..., H, W] -> [..., H, W]
  m.def("modulate(Tensor heatmaps, float[] taps, *, str rescale=\"minmax\") -> Tensor");

  // heatmaps, flipped [B..., K, H, W], transform [B..., 2, 3]
  // -> coords [B..., K, 2], scores [B..., K]
  m.def(
      "decode(Tensor heatmaps, float[] taps, Tensor? flipped=None, Tensor? transform=None, *, "
      "str method=\"dark\", int[]? flip_index=None, int flip_shift=0, float max_shift=3.0, "
      "str border=\"stay\") -> (Tensor coords, Tensor scores)");

  // heatmaps, flipped [B..., K, H, W], transform [B..., 2, 3]
  // -> coords [B..., K, k, 2], scores [B..., K, k], count [B..., K] of int64
  m.def(
      "decode_peaks(Tensor heatmaps, float[] taps, SymInt k, Tensor? flipped=None, "
      "Tensor? transform=None, *, int radius, float threshold=0.0, int[]? flip_index=None, "
      "int flip_shift=0, float max_shift=3.0, str border=\"stay\") "
      "-> (Tensor coords, Tensor scores, Tensor count)");

  // heatmaps [B..., K, H, W], joints [B..., K, 2], weights [B..., K], transform [B..., 2, 3]
  // -> loss [B..., K]
  m.def(
      "heatmap_mse(Tensor heatmaps, Tensor joints, Tensor weights, float sigma, "
      "Tensor? transform=None, *, str rounding=\"none\", bool truncate=False) -> Tensor");

  // grad [B..., K], the rest as above -> gradient of heatmaps [B..., K, H, W]
  m.def(
      "heatmap_mse_backward(Tensor grad, Tensor heatmaps, Tensor joints, Tensor weights, "
      "float sigma, Tensor? transform=None, *, str rounding=\"none\", bool truncate=False) "
      "-> Tensor");

  // images uint8 [H_i, W_i, C], index [N], transform [N, 2, 3] from crop to image pixels
  // -> uint8 [N, height, width, C], or of dtype [N, C, height, width] in channels-last memory
  m.def(
      "crop(Tensor[] images, Tensor index, Tensor transform, SymInt height, SymInt width, *, "
      "float[]? mean=None, float[]? std=None, str interpolation=\"bilinear\", "
      "ScalarType? dtype=None) -> Tensor");
}
