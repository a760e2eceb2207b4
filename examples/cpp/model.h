// SPDX-License-Identifier: Apache-2.0
// A network exported by `darkpose export --to pt2`: crops in, keypoints in the image out.
#pragma once
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>

#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "geometry.h"
#include "image.h"

namespace darkpose {

class Model {
 public:
  // `ops` is darkpose_ext/_C.so, which holds the op that the package calls. A package is machine
  // code: load only what you would run. Throws std::runtime_error.
  Model(const std::string& package, const std::string& ops);

  const Convention& convention() const { return convention_; }

  // What the package says of itself, as JSON: names, skeleton, flip_pairs, decoder ...
  const std::string& metadata(const std::string& name) const;

  // coords [B, K, 2] in image pixels and scores [B, K] of the people in these crops.
  std::pair<at::Tensor, at::Tensor> keypoints(const Image& image, const std::vector<Crop>& crops);

  // The same, of crops uint8 [B, H, W, 3] and matrices float32 [B, 2, 3] that are there already.
  std::pair<at::Tensor, at::Tensor> run(const at::Tensor& crops, const at::Tensor& to_image);

 private:
  std::string package_;
  std::unique_ptr<torch::inductor::AOTIModelPackageLoader> loader_;
  std::unordered_map<std::string, std::string> metadata_;
  Convention convention_;
};

}  // namespace darkpose
