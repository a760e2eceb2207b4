// SPDX-License-Identifier: Apache-2.0
// modulate: each map convolved with the taps in both directions, zeros outside (Eq 10), then
// rescaled (Eq 11). A map is read once and written once; what lies between stays in cache.
#include "../modulate.h"

#include "../checks.h"
#include "../library.h"
#include "parallel.h"
#include "span.h"

namespace dark {
namespace {

// What one thread needs between the two directions.
template <typename A>
struct Scratch {
  std::vector<A> padded;  // one row with `reach` zeros at either end
  std::vector<A> along;   // the map convolved along its rows, `reach` rows of zeros above and below
  Scratch(const Maps& maps, int64_t reach)
      : padded(maps.width + 2 * reach), along((maps.height + 2 * reach) * maps.width) {}
};

template <typename T, typename A>
Range<A> convolve_map(const Maps& maps, const T* in, const std::vector<A>& taps,
                      Scratch<A>& scratch, A* out) {
  const int64_t count = static_cast<int64_t>(taps.size()), reach = count / 2, width = maps.width;
  A* row = scratch.padded.data() + reach;
  A highest = -INFINITY;
  for (int64_t y = 0; y < maps.height; ++y, in += maps.stride_row) {
    for (int64_t x = 0; x < width; ++x) row[x] = static_cast<A>(in[x * maps.stride_column]);
    highest = highest_or_nan(highest, highest_of(row, width));
    A* along = scratch.along.data() + (reach + y) * width;
    convolve(scratch.padded.data(), 1, taps.data(), count, along, width);
  }
  // Down the columns the whole map is one run: a pixel's neighbors below are `width` apart.
  convolve(scratch.along.data(), width, taps.data(), count, out, maps.size());
  return {highest, lowest_of(out, maps.size()), highest_of(out, maps.size())};
}

// heatmaps [..., H, W] -> [..., H, W], contiguous
Tensor modulate(const Tensor& heatmaps, std::vector<double> taps, std::string rescale) {
  check_modulate(heatmaps, taps, rescale);
  Maps maps;
  const Tensor view = strided_maps(heatmaps, maps);
  const Tensor out = empty(sizes_of(heatmaps), arithmetic_type(heatmaps.scalar_type()), heatmaps);
  const Rescale rule = parse_rescale(rescale);
  dispatch_floating(heatmaps.scalar_type(), [&](auto t) {
    using T = decltype(t);
    using A = Arithmetic<T>;
    const std::vector<A> typed_taps(taps.begin(), taps.end());
    parallel_over_maps(maps.count, maps.size(), [&](int64_t begin, int64_t end) {
      Scratch<A> scratch(maps, static_cast<int64_t>(taps.size()) / 2);
      for (int64_t map = begin; map < end; ++map) {
        const T* in = view.const_data_ptr<T>() + maps.offset(map / maps.joints, map % maps.joints);
        A* result = out.mutable_data_ptr<A>() + map * maps.size();
        const Line<A> line = rescaling(rule, convolve_map(maps, in, typed_taps, scratch, result));
        for (int64_t i = 0; i < maps.size(); ++i) result[i] = line(result[i]);
      }
    });
  });
  return out;
}

}  // namespace

DARK_CPU_KERNELS(m) { m.impl("modulate", TORCH_BOX(&modulate)); }
}  // namespace dark
