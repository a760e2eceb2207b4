// SPDX-License-Identifier: Apache-2.0
// A network exported by `darkpose export --to pt2`: an image and boxes in, keypoints out.
#pragma once
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "crops.h"
#include "image.h"

namespace darkpose {

class Model {
 public:
  // `ops` is darkpose_ext/_C.so, which holds the op that the package calls. A package is machine
  // code: load only what you would run. Throws std::runtime_error.
  Model(const std::string& package, const std::string& ops);

  // The size of the network's input.
  Size input() const;

  // What the package says of itself, as JSON: names, skeleton, flip_pairs, decoder ...
  const std::string& metadata(const std::string& name) const;

  // [N, K, 3], x, y and score in image pixels, of the people in these boxes.
  at::Tensor keypoints(const Image& image, const std::vector<Box>& boxes);

  // What the package makes of its inputs: image [H, W, 3] and boxes [N, 4], or, without
  // `--from image`, crops [B, H, W, 3] and to_image [B, 2, 3]; uint8 and float32.
  std::vector<at::Tensor> run(const std::vector<at::Tensor>& inputs);

 private:
  // Crops and to_image of people, cut by the op that packages from images call themselves.
  std::vector<at::Tensor> cut(const at::Tensor& image, const std::vector<Box>& boxes) const;

  std::string package_;
  std::unique_ptr<torch::inductor::AOTIModelPackageLoader> loader_;
  std::unordered_map<std::string, std::string> metadata_;
};

}  // namespace darkpose
