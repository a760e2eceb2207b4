// SPDX-License-Identifier: Apache-2.0
// Every CPU kernel is parallel over maps: in torch's own thread pool, or as NumPy's caller says.
#pragma once
#include <algorithm>

#include "../common.h"

namespace dark {

// Calls f(begin, end) for ranges of maps, each worth a thread: 10 microseconds and more. `work` is
// what an element costs, in terms of one that is only read.
template <typename F>
void parallel_over_maps(int64_t maps, int64_t elements_per_map, int64_t work, F&& f) {
  constexpr int64_t kElements = 1 << 17;
  const int64_t grain =
      std::max<int64_t>(1, kElements / std::max<int64_t>(1, elements_per_map * work));
  if (maps <= grain) {
    if (maps > 0) f(int64_t{0}, maps);
    return;
  }
  parallel_for(0, maps, grain, f);
}

}  // namespace dark
