// SPDX-License-Identifier: Apache-2.0
// How long a package takes for crops that are there already: for each line on standard input, one
// run and one line with its microseconds.
//
//   yes | head -100 | latency model.pt2 crops.raw 32 --threads 1
//
// crops.raw holds uint8 [N, H, W, 3]; runs are of as many people as the third argument says.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>

#include "arguments.h"
#include "model.h"

using namespace darkpose;

namespace {

void serve(const std::string& package, const std::string& file, int64_t people) {
  Model model(package, DARKPOSE_OPS);
  const Size input = model.input();
  at::Tensor crops = at::empty({people, input.height, input.width, 3}, at::kByte);
  std::ifstream raw(file, std::ios::binary);
  if (!raw.read(reinterpret_cast<char*>(crops.data_ptr<uint8_t>()), crops.numel()))
    throw std::runtime_error(file + " must hold " + std::to_string(people) +
                             " crops of the model's size");
  const at::Tensor to_image = at::eye(2, 3).repeat({people, 1, 1});
  model.run({crops, to_image});
  for (std::string line; std::getline(std::cin, line);) {
    const auto begin = std::chrono::steady_clock::now();
    model.run({crops, to_image});
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begin;
    std::cout << took.count() << std::endl;
  }
}

}  // namespace

int main(int count, char** arguments) {
  try {
    if (count != 4 && !(count == 6 && std::string(arguments[4]) == "--threads"))
      throw std::invalid_argument("usage: latency MODEL.pt2 CROPS.raw PEOPLE [--threads N]");
    if (count == 6) at::set_num_threads(parse_count(arguments[5]));
    serve(arguments[1], arguments[2], parse_count(arguments[3]));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "latency: %s\n", error.what());
    return 1;
  }
}
