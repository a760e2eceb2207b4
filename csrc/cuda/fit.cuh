// SPDX-License-Identifier: Apache-2.0
// What `border="fit"` does to maxima that a kernel has found and not yet refined.
#pragma once
#include "../decode.h"

namespace dark {

// What finds them: without their steps, in the maps' own pixels.
template <typename Arguments>
Arguments unrefined(Arguments a) {
  a.method = Method::argmax;
  a.transforms = nullptr;
  return a;
}

// Goes on from the coordinates and scores of `each` maxima a map, of which the last ones may be
// missing, to those of method dark: the fit's step near the border, DARK's elsewhere, and Eq 2.
template <typename T>
void launch_fit(const char* op, const Tensor& on, const DecodeArguments<T>& a, int64_t each);

}  // namespace dark
