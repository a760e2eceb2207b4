// SPDX-License-Identifier: Apache-2.0
// Writes a picture as it is read here, which needs no libtorch:
//
//   read image.jpg image.ppm
#include <cstdio>
#include <exception>
#include <stdexcept>

#include "image.h"

using namespace darkpose;

int main(int count, char** arguments) {
  try {
    if (count != 3) throw std::invalid_argument("usage: read IMAGE OUT.ppm");
    write_ppm(arguments[2], read_image(arguments[1]));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "read: %s\n", error.what());
    return 1;
  }
}
