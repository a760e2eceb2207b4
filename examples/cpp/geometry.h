// SPDX-License-Identifier: Apache-2.0
// How a person's box becomes the network's input, and heatmap pixels become the image's again.
// The network was trained with one of three conventions and is only right with that one; the
// exported file names it. Mirrors `python/darkpose/geometry.py`, which explains them.
// Pixel centers are at integers, sizes are (width, height).
#pragma once
#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

namespace darkpose {

struct Box {
  double x, y, width, height;  // image pixels
};

struct Size {
  int width, height;
};

// The region of the image that the network sees.
struct Crop {
  double center_x, center_y, width, height;
};

// (x, y) -> (scale_x x + offset_x, scale_y y + offset_y): crops are never turned here.
struct Affine {
  double scale_x, offset_x, scale_y, offset_y;

  bool enlarges() const { return scale_x >= 1 && scale_y >= 1; }

  Affine inverse() const {
    return {1 / scale_x, -offset_x / scale_x, 1 / scale_y, -offset_y / scale_y};
  }
};

// What the exported file's metadata say of its crops.
struct Convention {
  std::string name;  // hrnet, darkpose or udp
  Size input, heatmap;
  double padding;
  bool bicubic = false;  // crops that are enlarged, others always are bilinear

  // The box enlarged to the input's aspect ratio, then by the padding.
  Crop crop(const Box& box) const {
    const bool sound = std::isfinite(box.x) && std::isfinite(box.y) && std::isfinite(box.width) &&
                       std::isfinite(box.height) && box.width > 0 && box.height > 0;
    if (!sound) throw std::invalid_argument("a box must be finite and of positive size");
    if (!(padding > 0)) throw std::invalid_argument("padding must be positive");
    const double aspect = static_cast<double>(input.width) / input.height;
    const double inset = name == "darkpose" ? 1 : 0;
    const Crop crop{box.x + (box.width - inset) / 2, box.y + (box.height - inset) / 2,
                    std::max(box.width, box.height * aspect) * padding,
                    std::max(box.height, box.width / aspect) * padding};
    if (name == "darkpose" && crop.width <= 1)
      throw std::invalid_argument("a box must be wider than a pixel when padded");
    return crop;
  }

  // From image pixels to those of a target that shows the crop: the input, or the heatmap (Eq 12).
  Affine to(const Size& target, const Crop& crop) const {
    const double width = target.width, height = target.height;
    double scale_x, scale_y, center_x = (width - 1) / 2, center_y = (height - 1) / 2;
    if (name == "hrnet") {
      scale_x = scale_y = width / crop.width;
      center_x = width / 2;
      center_y = height / 2;
    } else if (name == "darkpose") {
      scale_x = scale_y = (width - 1) / (crop.width - 1);
    } else if (name == "udp") {
      scale_x = (width - 1) / crop.width;
      scale_y = (height - 1) / crop.height;
    } else {
      throw std::invalid_argument("convention must be hrnet, darkpose or udp, got " + name);
    }
    return {scale_x, center_x - scale_x * crop.center_x, scale_y,
            center_y - scale_y * crop.center_y};
  }

  Affine image_to_input(const Crop& crop) const { return to(input, crop); }
  Affine heatmap_to_image(const Crop& crop) const { return to(heatmap, crop).inverse(); }
};

}  // namespace darkpose
