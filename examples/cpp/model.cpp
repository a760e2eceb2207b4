// SPDX-License-Identifier: Apache-2.0
#include "model.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
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

// A number of each box as a tensor [N, ...].
template <size_t kNumbers, class Numbers>
at::Tensor of_each(const std::vector<Box>& boxes, at::IntArrayRef shape, Numbers numbers) {
  at::Tensor made = at::empty({static_cast<int64_t>(boxes.size()), kNumbers}, at::kDouble);
  double* at = made.data_ptr<double>();
  for (const Box& box : boxes)
    for (const double number : numbers(box)) *at++ = number;
  return made.unflatten(1, shape);
}

at::Tensor crop(const at::Tensor& image, const at::Tensor& to_image, Size size, const char* how) {
  const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("dark::crop", "");
  const at::Tensor index = at::zeros({to_image.size(0)}, at::kLong);
  const c10::IValue none;
  torch::jit::Stack stack{c10::List<at::Tensor>({image}),
                          index,
                          to_image,
                          size.height,
                          size.width,
                          none,
                          none,
                          how,
                          none};
  op.callBoxed(stack);
  return stack[0].toTensor();
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
}

Size Model::input() const { return parse_size(metadata("input_size")); }

const std::string& Model::metadata(const std::string& name) const {
  const auto found = metadata_.find(name);
  if (found == metadata_.end())
    throw std::runtime_error("model " + package_ +
                             " must be written by `darkpose export`, it has no " + name);
  return found->second;
}

at::Tensor Model::keypoints(const Image& image, const std::vector<Box>& boxes) {
  const at::Tensor pixels = at::from_blob(const_cast<uint8_t*>(image.rgb.data()),
                                          {image.height, image.width, 3}, at::kByte);
  const auto from = metadata_.find("from");  // earlier packages lack it
  if (from == metadata_.end() || from->second != "\"image\"") {
    const auto found = run(cut(pixels, boxes));
    return at::cat({found[0], found[1].unsqueeze(-1)}, -1);
  }
  const auto numbers = [](const Box& box) {
    return std::array<double, 4>{box.x, box.y, box.width, box.height};
  };
  return run({pixels, of_each<4>(boxes, {4}, numbers).to(at::kFloat)})[0];
}

std::vector<at::Tensor> Model::cut(const at::Tensor& image, const std::vector<Box>& boxes) const {
  const std::string name = metadata("convention");
  const auto enlarging = metadata_.find("enlarging");  // earlier packages lack it
  const bool bicubic = enlarging != metadata_.end() && enlarging->second == "\"bicubic\"";
  const Convention convention{name.substr(1, name.size() - 2), input(),
                              parse_size(metadata("heatmap_size")),
                              parse_numbers(metadata("padding"), ',', 1)[0]};
  const auto to_image = [&](const Size& target) {
    return of_each<6>(boxes, {2, 3},
                      [&](const Box& box) { return convention.to_image(target, box); });
  };
  const at::Tensor from_input = to_image(convention.input);
  at::Tensor crops = crop(image, from_input, convention.input, "bilinear");
  if (bicubic) {
    const at::Tensor enlarged = from_input.slice(2, 0, 2).amax({1, 2}).le(1).view({-1, 1, 1, 1});
    crops = at::where(enlarged, crop(image, from_input, convention.input, "bicubic"), crops);
  }
  return {crops, to_image(convention.heatmap).to(at::kFloat)};
}

std::vector<at::Tensor> Model::run(const std::vector<at::Tensor>& inputs) {
  const c10::InferenceMode guard;
  return loader_->run(inputs);
}

}  // namespace darkpose
