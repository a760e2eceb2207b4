// SPDX-License-Identifier: Apache-2.0
// modulate: each map convolved with the taps in both directions, zeros outside (Eq 10), then
// rescaled (Eq 11). A block owns a map, which may be larger than its shared memory: it goes through
// it in tiles, along the rows into shared memory and down the columns to the output, and comes back
// to the output, now in the L2 cache, once the range of the whole map is known.
#include "../checks.h"
#include "../library.h"
#include "../modulate.h"
#include "block.cuh"

namespace dark {
namespace {

constexpr int kTileColumns = 64;        // at most
constexpr int kTileElements = 80 * 64;  // of shared memory: 20 KB, 40 KB for float64
static_assert(kTileElements / kTileColumns >= kMaxTaps, "room for a row and what it reaches");

template <typename T>
struct ModulateArguments {
  using A = Arithmetic<T>;
  const T* heatmaps;
  A* out;  // [maps, H, W]
  Maps maps;
  Rescale rescale;
  int taps_count;
  A taps[kMaxTaps];
  int columns, rows;  // of a tile's output

  ModulateArguments(const Tensor& heatmaps_, const Tensor& out_, const Maps& maps_,
                    const std::vector<double>& taps_, Rescale rescale_)
      : heatmaps(heatmaps_.const_data_ptr<T>()),
        out(out_.mutable_data_ptr<A>()),
        maps(maps_),
        rescale(rescale_),
        taps_count(static_cast<int>(taps_.size())) {
    std::copy(taps_.begin(), taps_.end(), taps);
    // Tiles as wide as each other, and as high as shared memory allows.
    columns = static_cast<int>(ceil_div(maps.width, ceil_div(maps.width, kTileColumns)));
    rows = kTileElements / columns - (taps_count - 1);
  }
};

template <typename A>
__device__ Range<A> wider(const Range<A>& a, const Range<A>& b) {
  return {highest_or_nan(a.highest, b.highest), lowest_or_nan(a.bottom, b.bottom),
          highest_or_nan(a.top, b.top)};
}

// The output pixels of the tile at (left, top), and what this thread met in it added to `range`.
template <typename T, typename A = Arithmetic<T>>
__device__ void convolve_tile(const ModulateArguments<T>& a, const T* in, A* out, int64_t left,
                              int64_t top, Range<A>& range) {
  __shared__ A along[kTileElements];  // convolved along the rows, `reach` rows more at either end
  const Maps& maps = a.maps;
  const int reach = a.taps_count / 2;
  const int64_t right = maps.width - left, below = maps.height - top;
  const int columns = static_cast<int>(right < a.columns ? right : a.columns);
  const int rows = static_cast<int>(below < a.rows ? below : a.rows);
  __syncthreads();  // until the tile before has been read
  for (Walk p(columns); p.y < rows + 2 * reach; p.next()) {
    const int64_t x = left + p.x, y = top - reach + p.y;
    A sum = 0;
    if (y >= 0 && y < maps.height) {
      const T* row = in + y * maps.stride_row;
      range.highest = highest_or_nan(range.highest, static_cast<A>(row[x * maps.stride_column]));
      for (int t = 0; t < a.taps_count; ++t) {
        const int64_t at = x - reach + t;
        const bool inside = at >= 0 && at < maps.width;
        sum += a.taps[t] * (inside ? static_cast<A>(row[at * maps.stride_column]) : A(0));
      }
    }
    along[p.index] = sum;
  }
  __syncthreads();
  for (Walk p(columns); p.y < rows; p.next()) {
    A sum = 0;
    for (int t = 0; t < a.taps_count; ++t) sum += a.taps[t] * along[p.index + t * columns];
    out[(top + p.y) * maps.width + left + p.x] = sum;
    range.bottom = lowest_or_nan(range.bottom, sum);
    range.top = highest_or_nan(range.top, sum);
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    modulate_kernel(const __grid_constant__ ModulateArguments<T> a) {
  using A = Arithmetic<T>;
  const A infinity = static_cast<A>(INFINITY);
  for (int64_t map = blockIdx.x; map < a.maps.count; map += gridDim.x) {
    const T* in = a.heatmaps + a.maps.offset(map / a.maps.joints, map % a.maps.joints);
    A* out = a.out + map * a.maps.size();
    Range<A> range{-infinity, infinity, -infinity};
    for (int64_t top = 0; top < a.maps.height; top += a.rows)
      for (int64_t left = 0; left < a.maps.width; left += a.columns)
        convolve_tile(a, in, out, left, top, range);
    // Its barriers also let every thread see what the others have written to `out`.
    range = block_reduce(range, wider<A>);
    const Line<A> line = rescaling(a.rescale, range);
    if (line.identity) continue;
    for (int64_t i = threadIdx.x; i < a.maps.size(); i += kThreads) out[i] = line(out[i]);
  }
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
    launch("modulate", view, maps.count, modulate_kernel<T>,
           ModulateArguments<T>(view, out, maps, taps, rule));
  });
  return out;
}

}  // namespace

DARK_CUDA_KERNELS(m) { m.impl("modulate", TORCH_BOX(&modulate)); }
}  // namespace dark
