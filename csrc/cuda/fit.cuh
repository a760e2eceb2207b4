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

// Launches find(arguments), which finds `each` maxima a map and refines them as their method says,
// and what `border` adds.
template <typename T, typename Arguments, typename F>
void launch_to_the_border(const char* op, const Tensor& on, Arguments a, int64_t each, F&& find) {
  if (a.taps_count == 0) a.taps[a.taps_count++] = 1;  // which leaves the map as it is
  if (a.maps.count == 0) return;
  if (!a.fit.on) return find(a);
  find(unrefined(a));
  launch_fit<T>(op, on, a, each);
}

}  // namespace dark
