// SPDX-License-Identifier: Apache-2.0
// Pictures: read, write.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace darkpose {

struct Image {
  int width = 0, height = 0;
  std::vector<uint8_t> rgb;  // [height, width, 3]

  Image() = default;
  Image(int width_, int height_)
      : width(width_), height(height_), rgb(size_t{3} * width_ * height_) {}
};

// PNM (P2, P3, P5, P6), and JPEG and PNG where their libraries were found when this was built.
// Pixels are the stored ones: an orientation that the file asks for is not applied. Throws
// std::runtime_error with the file's name for anything that cannot be read whole.
Image read_image(const std::string& path);

void write_ppm(const std::string& path, const Image& image);

}  // namespace darkpose
