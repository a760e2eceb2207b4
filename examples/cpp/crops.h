// SPDX-License-Identifier: Apache-2.0
// Boxes, and how packages of crops, exported without `--from image`, are to be given people.
#pragma once
#include <algorithm>
#include <array>
#include <string>

namespace darkpose {

struct Box {
  double x, y, width, height;  // image pixels
};

struct Size {
  int width, height;
};

// What a package says of its crops; `python/darkpose/geometry.py` explains the conventions.
struct Convention {
  std::string name;  // hrnet, darkpose or udp
  Size input, heatmap;
  double padding;

  // The affine map [2, 3] from pixels of a target, the input or the heatmap, to the image's, of
  // the crop of a box. Mirrors `python/darkpose/affine.py`.
  std::array<double, 6> to_image(const Size& target, const Box& box) const {
    const double aspect = static_cast<double>(input.width) / input.height;
    const double inset = name == "darkpose" ? 1 : 0, last = name == "hrnet" ? 0 : 1;
    const double width = std::max(box.width, box.height * aspect) * padding;
    const double height = std::max(box.height, box.width / aspect) * padding;
    const double scale_x = (width - inset) / (target.width - last);
    const double scale_y = name == "udp" ? height / (target.height - last) : scale_x;
    return {
        scale_x, 0,       box.x + (box.width - inset) / 2 - scale_x * (target.width - last) / 2,
        0,       scale_y, box.y + (box.height - inset) / 2 - scale_y * (target.height - last) / 2};
  }
};

}  // namespace darkpose
