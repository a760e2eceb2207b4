// SPDX-License-Identifier: Apache-2.0
// modulate: each map convolved with the taps in both directions, zeros outside (Eq 10), then
// rescaled (Eq 11). A block owns a map and keeps it in shared memory from its only reading to its
// only writing. A larger map it goes through in tiles, and comes back to the output, now in the L2
// cache, once the range of the whole map is known.
#include "../library.h"
#include "modulate_tile.cuh"
#include "modulate_whole.cuh"

namespace dark {
namespace {

constexpr int64_t kTileSide = 64;
constexpr int kThreads = 512;  // of a block, at most
// Blocks that share a multiprocessor at least: as many as leave each thread the registers it needs.
#if defined(__CUDA_ARCH__) && (__CUDA_ARCH__ == 800 || __CUDA_ARCH__ == 900)
constexpr int kBlocks = 3;
#else
constexpr int kBlocks = 2;
#endif
constexpr int64_t kMapBytes = 96 << 10;  // of shared memory: leaves room for a second block

template <typename T, int N>
__global__ void __launch_bounds__(kThreads, std::is_same_v<T, double> ? 2 : kBlocks)
    modulate_kernel(const __grid_constant__ ModulateArguments<T> a) {
  using A = Arithmetic<T>;
  const unsigned joints = static_cast<unsigned>(a.maps.joints);
  const T* map = a.heatmaps + a.maps.offset(blockIdx.x / joints, blockIdx.x % joints);
  A* out = a.out + blockIdx.x * a.maps.size();
  const int width = static_cast<int>(a.maps.width), height = static_cast<int>(a.maps.height);
  const bool whole = a.tile.columns == width && a.tile.rows == height;
  const A infinity = static_cast<A>(INFINITY);
  Range<A> range{-infinity, infinity, -infinity};
  Range<A>* of_warp = reinterpret_cast<Range<A>*>(shared_memory<A>() + a.tile.elements());
  const auto convolve_tile = [&](int left, int top) {
    const TileOfMap<T, N> tile(a, map, left, top);
    tile.read(range);
    __syncthreads();
    tile.along_rows();
    __syncthreads();
    tile.down_columns(range);
    __syncthreads();
    return tile;
  };
  if (whole) {
    const auto tile = convolve_tile(0, 0);
    range = range_of_block(range, of_warp);
    return tile.write(out, rescaling(a.rescale, range));
  }
  for (int top = 0; top < height; top += a.tile.rows) {
    for (int left = 0; left < width; left += a.tile.columns) {
      convolve_tile(left, top).write(out, {A(0), A(1), true});
      __syncthreads();
    }
  }
  range = range_of_block(range, of_warp);
  __syncthreads();  // until every thread can see what the others have written to `out`
  const Line<A> line = rescaling(a.rescale, range);
  if (line.identity) return;
  for (int i = threadIdx.x; i < width * height; i += blockDim.x) out[i] = line(out[i]);
}

// Whether the map is one for `modulate_whole_kernel`, which is launched then.
template <typename T, int kReach>
bool launch_whole(const Tensor& view, const Tensor& out, const Maps& maps,
                  const std::vector<double>& taps, Rescale rescale, bool rows_of_packs) {
  if (static_cast<int>(taps.size()) != 2 * kReach + 1 || maps.height < kColumnRun ||
      maps.size() * int64_t{sizeof(float)} > kMapBytes ||
      maps.height * maps.stride_row + maps.width * maps.stride_column > INT32_MAX)
    return false;
  const WholeArguments<T, kReach> a(view, out, maps, taps, rescale);
  const int64_t bytes = a.bytes(!rows_of_packs);
  if (a.threads() > kMaxThreads || bytes > std::min(most_shared(view), kMapBytes)) return false;
  const Grid grid{maps.count, static_cast<int>(a.threads()), bytes};
  if (rows_of_packs)
    launch<kMaxThreads>("modulate", view, grid, modulate_whole_kernel<T, kReach, false>, a);
  else
    launch<kMaxThreads>("modulate", view, grid, modulate_whole_kernel<T, kReach, true>, a);
  return true;
}

template <typename T>
void launch_modulate(const Tensor& view, const Tensor& out, const Maps& maps,
                     const std::vector<double>& taps, Rescale rescale) {
  using A = Arithmetic<T>;
  const bool rows_of_packs =
      maps.stride_column == 1 && (maps.stride_row == maps.width || maps.height == 1) &&
      packs_begin_at(view.const_data_ptr<T>(), {maps.width, maps.stride_joint, maps.stride_person});
  if constexpr (std::is_same_v<A, float>) {
    const auto launched = [&](auto reach) {
      constexpr int kReach = decltype(reach)::value;
      return launch_whole<T, kReach>(view, out, maps, taps, rescale, rows_of_packs);
    };
    // The taps of the paper's sigmas, 1, 2 and 3.
    if (launched(std::integral_constant<int, 3>{}) || launched(std::integral_constant<int, 5>{}) ||
        launched(std::integral_constant<int, 8>{}))
      return;
  }
  const int64_t taps_count = static_cast<int64_t>(taps.size()), most = most_shared(view);
  constexpr int64_t kOfWarps = kThreads / kWarp * sizeof(Range<A>);
  const auto bytes = [](const Tile& tile) {
    return tile.elements() * int64_t{sizeof(A)} + kOfWarps;
  };
  Tile tile(maps, maps.width, maps.height, taps_count);
  const bool whole = bytes(tile) <= std::min(most, kMapBytes);
  // With many taps or float64 a tile of the usual side may not fit.
  for (int64_t side = kTileSide; bytes(tile) > std::min(most, kMapBytes); side /= 2)
    tile = Tile(maps, side, side, taps_count);
  const ModulateArguments<T> a(view, out, maps, taps, rescale, tile);
  const int threads = threads_for(int64_t{tile.columns} * tile.rows, kRun, 64, kThreads);
  dispatch_pack<T>(whole && rows_of_packs, [&](auto n) {
    launch<kThreads>("modulate", view, {maps.count, threads, bytes(tile)},
                     modulate_kernel<T, decltype(n)::value>, a);
  });
}

// heatmaps [..., H, W] -> [..., H, W], contiguous
Tensor modulate(const Tensor& heatmaps, std::vector<double> taps, std::string rescale) {
  check_modulate(heatmaps, taps, rescale);
  Maps maps;
  const Tensor view = strided_maps(heatmaps, maps);
  const Tensor out = empty(sizes_of(heatmaps), arithmetic_type(heatmaps.scalar_type()), heatmaps);
  if (maps.count == 0) return out;
  check_counts("modulate", maps.count, maps.size());
  dispatch_floating(heatmaps.scalar_type(), [&](auto t) {
    launch_modulate<decltype(t)>(view, out, maps, taps, *find_name<Rescale>(rescale));
  });
  return out;
}

}  // namespace

DARK_CUDA_KERNELS(m) { m.impl("modulate", TORCH_BOX(&modulate)); }
}  // namespace dark
