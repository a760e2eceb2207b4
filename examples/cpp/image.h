// SPDX-License-Identifier: Apache-2.0
// Pictures: read, cut people out, write.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "geometry.h"

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

// What the network sees, black outside, as OpenCV's warpAffine: bilinear, or `bicubic` where it is
// enlarged. `to_input` is from image to input pixels; `out` has room for 3 bytes a pixel.
void warp(const Image& image, const Affine& to_input, const Size& size, bool bicubic, uint8_t* out);

}  // namespace darkpose
