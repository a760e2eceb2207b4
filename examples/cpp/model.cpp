// SPDX-License-Identifier: Apache-2.0
#include "model.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <dlfcn.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "arguments.h"

namespace darkpose {
namespace {

// "[192, 256]" of the metadata.
Size parse_size(const std::string& json) {
  const auto numbers = parse_numbers(json.substr(1, json.size() - 2), ',', 2);
  return {parse_count(numbers[0]), parse_count(numbers[1])};
}

}  // namespace

Model::Model(const std::string& package, const std::string& ops) : package_(package) {
  if (!std::ifstream(package))
    throw std::runtime_error("model " + package + " must be a readable file");
  // It registers the op and stays for as long as the program.
  const std::string library = std::filesystem::absolute(ops);  // else a bare name is searched for
  if (dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr)
    throw std::runtime_error("the ops' library must load (--ops names it): " +
                             std::string(dlerror()));
  try {
    loader_ = std::make_unique<torch::inductor::AOTIModelPackageLoader>(package);
  } catch (const c10::Error& error) {
    throw std::runtime_error("model " + package + " must be a .pt2 package of this libtorch: " +
                             error.what_without_backtrace());
  }
  metadata_ = loader_->get_metadata();
  if (metadata("format") != "1")
    throw std::runtime_error("model " + package + " must be of format 1, got " +
                             metadata("format"));
  const std::string name = metadata("convention");
  convention_ = {name.substr(1, name.size() - 2), parse_size(metadata("input_size")),
                 parse_size(metadata("heatmap_size")),
                 parse_numbers(metadata("padding"), ',', 1)[0]};
  const auto enlarging = metadata_.find("enlarging");  // earlier packages lack it
  convention_.bicubic = enlarging != metadata_.end() && enlarging->second == "\"bicubic\"";
}

const std::string& Model::metadata(const std::string& name) const {
  const auto found = metadata_.find(name);
  if (found == metadata_.end())
    throw std::runtime_error("model " + package_ +
                             " must be written by `darkpose export`, it has no " + name);
  return found->second;
}

std::pair<at::Tensor, at::Tensor> Model::keypoints(const Image& image,
                                                   const std::vector<Crop>& crops) {
  const auto people = static_cast<int64_t>(crops.size());
  const Size input = convention_.input;
  at::Tensor pixels = at::empty({people, input.height, input.width, 3}, at::kByte);
  at::Tensor matrices = at::zeros({people, 2, 3}, at::kFloat);
  const int64_t bytes = int64_t{3} * input.width * input.height;
  auto matrix = matrices.accessor<float, 3>();
  for (int64_t i = 0; i < people; ++i) {
    warp(image, convention_.image_to_input(crops[i]), input, convention_.bicubic,
         pixels.data_ptr<uint8_t>() + i * bytes);
    const Affine back = convention_.heatmap_to_image(crops[i]);
    matrix[i][0][0] = static_cast<float>(back.scale_x);
    matrix[i][0][2] = static_cast<float>(back.offset_x);
    matrix[i][1][1] = static_cast<float>(back.scale_y);
    matrix[i][1][2] = static_cast<float>(back.offset_y);
  }
  return run(pixels, matrices);
}

std::pair<at::Tensor, at::Tensor> Model::run(const at::Tensor& crops, const at::Tensor& to_image) {
  const c10::InferenceMode guard;
  const auto outputs = loader_->run({crops, to_image});
  return {outputs[0], outputs[1]};
}

}  // namespace darkpose
