// SPDX-License-Identifier: Apache-2.0
// Cuts a person out as the network will see them: no libtorch, to compare one's own cropping with.
//
//   crop udp 192x256 1.25 image.ppm 100,50,80,200 crop.ppm [bicubic]
//
// enlarges as asked, bilinearly if not, and prints the matrix from heatmap to image pixels (a
// heatmap is a quarter of the input).
#include <cstdio>
#include <exception>
#include <string>

#include "arguments.h"
#include "image.h"

using namespace darkpose;

int main(int count, char** arguments) {
  try {
    const bool bicubic = count == 8 && std::string(arguments[7]) == "bicubic";
    if (count != 7 + bicubic)
      throw std::invalid_argument(
          "usage: crop CONVENTION WIDTHxHEIGHT PADDING IMAGE X,Y,W,H OUT.ppm [bicubic]");
    const auto size = parse_numbers(arguments[2], 'x', 2);
    const Size input{parse_count(size[0]), parse_count(size[1])};
    if (input.width < 4 || input.height < 4)
      throw std::invalid_argument("the input's size must be 4x4 or more");
    const Convention convention{arguments[1],
                                input,
                                {input.width / 4, input.height / 4},
                                parse_numbers(arguments[3], ',', 1)[0]};
    const Crop crop = convention.crop(parse_box(arguments[5]));
    Image cut(input.width, input.height);
    warp(read_image(arguments[4]), convention.image_to_input(crop), input, bicubic, cut.rgb.data());
    write_ppm(arguments[6], cut);
    const Affine back = convention.heatmap_to_image(crop);
    std::printf("[[%.9g, 0, %.9g], [0, %.9g, %.9g]]\n", back.scale_x, back.offset_x, back.scale_y,
                back.offset_y);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "crop: %s\n", error.what());
    return 1;
  }
}
