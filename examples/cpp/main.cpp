// SPDX-License-Identifier: Apache-2.0
// An image and boxes in, keypoints out, without Python:
//
//   darkpose_cpp model.pt2 image.jpg 100,50,80,200 300,40,90,210 > people.json
//
// `model.pt2` is what `darkpose export --from image` wrote; boxes are x,y,width,height in pixels of
// the image as it is stored, the whole image if there is none. Packages of crops are read too.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "arguments.h"
#include "image.h"
#include "model.h"

using namespace darkpose;

namespace {

constexpr size_t kBatch = 32;  // people at a time, whatever their number: memory is bounded

struct Options {
  std::string model, image, ops = DARKPOSE_OPS;
  std::vector<Box> boxes;
  int threads = 0;
};

Options parse(int count, char** arguments) {
  Options options;
  std::vector<std::string> named;
  for (int i = 1; i < count; ++i) {
    const std::string argument = arguments[i];
    const bool option = argument == "--ops" || argument == "--threads";
    if (!option && argument.rfind("--", 0) == 0)
      throw std::invalid_argument("there is no option " + argument);
    if (!option) {
      named.push_back(argument);
      continue;
    }
    if (++i == count) throw std::invalid_argument(argument + " needs a value");
    if (argument == "--ops")
      options.ops = arguments[i];
    else
      options.threads = parse_count(arguments[i]);
  }
  if (named.size() < 2)
    throw std::invalid_argument(
        "usage: darkpose_cpp MODEL.pt2 IMAGE [X,Y,W,H ...] [--ops _C.so] [--threads N]");
  options.model = named[0];
  options.image = named[1];
  for (size_t i = 2; i < named.size(); ++i) options.boxes.push_back(parse_box(named[i]));
  return options;
}

void print_person(const Box& box, const at::Tensor& keypoints, bool first) {
  std::printf("%s\n  {\"box\": [%.10g, %.10g, %.10g, %.10g], \"keypoints\": [", first ? "" : ",",
              box.x, box.y, box.width, box.height);
  const auto joints = keypoints.accessor<float, 2>();
  for (int64_t k = 0; k < keypoints.size(0); ++k) {
    const float x = joints[k][0], y = joints[k][1], score = joints[k][2];
    if (std::isfinite(x) && std::isfinite(y) && std::isfinite(score))
      std::printf("%s[%.3f, %.3f, %.4f]", k > 0 ? ", " : "", x, y, score);
    else
      std::printf("%snull", k > 0 ? ", " : "");
  }
  std::printf("]}");
}

void run(const Options& options) {
  if (options.threads > 0) at::set_num_threads(options.threads);
  const Image image = read_image(options.image);
  Model model(options.model, options.ops);
  std::vector<Box> boxes = options.boxes;
  if (boxes.empty())
    boxes.push_back({0, 0, static_cast<double>(image.width), static_cast<double>(image.height)});

  std::printf(
      "{\"image\": %s, \"size\": [%d, %d],\n \"names\": %s,\n \"skeleton\": %s,\n \"people\": [",
      quoted(options.image).c_str(), image.width, image.height, model.metadata("names").c_str(),
      model.metadata("skeleton").c_str());
  for (size_t first = 0; first < boxes.size(); first += kBatch) {
    const size_t last = std::min(boxes.size(), first + kBatch);
    const at::Tensor found = model.keypoints(image, {boxes.begin() + first, boxes.begin() + last});
    for (size_t i = first; i < last; ++i) print_person(boxes[i], found[i - first], i == 0);
  }
  std::printf("\n ]}\n");
}

}  // namespace

int main(int count, char** arguments) {
  try {
    run(parse(count, arguments));
  } catch (const c10::Error& error) {
    std::fprintf(stderr, "darkpose_cpp: %s\n", error.what_without_backtrace());
    return 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "darkpose_cpp: %s\n", error.what());
    return 1;
  }
}
