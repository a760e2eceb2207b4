// SPDX-License-Identifier: Apache-2.0
// decode_peaks: the k highest local maxima of each map, and DARK's step from each. A block takes a
// map and reads it once, into shared memory; a larger one it reads where it lies, and lists its
// maxima in global memory.
// A cell of radius + 1 pixels a side holds one maximum at most, its highest pixel. A thread finds
// it and, if it is above the threshold, compares it with its window until something is above it:
// 1 + (2 r + 1)^2 / (r + 1)^2 reads of shared memory for a pixel of the map at most, 3.8 for radius
// 2, and 1 where nothing is above the threshold. The n maxima are sorted by up to n log^2 n / 4
// comparisons, whatever k is. A step is a warp's. Of maps whose joints lie side by side each block
// reads one, and relies on the cache that the blocks of a person share.
#include "../library.h"
#include "../peaks.h"
#include "fit.cuh"
#include "peaks.cuh"
#include "refine.cuh"

namespace dark {
namespace {

constexpr int kThreads = 512;            // of a block, at most
constexpr int kPixels = 24;              // of a thread, in maps that do not need so many threads
constexpr int kRefiners = 4;             // warps of a block that take steps, at most
constexpr int64_t kMapBytes = 96 << 10;  // of shared memory: leaves room for a second block

template <typename T, int N, bool kFlip, bool kStaged>
__global__ void __launch_bounds__(kThreads, std::is_same_v<T, double> ? 1 : 2)
    decode_peaks_kernel(const __grid_constant__ PeaksArguments<T> a, const PeakSearch search,
                        const Divisor by_joints, const Divisor by_width, int refiners,
                        Found<Arithmetic<T>>* listed) {
  using A = Arithmetic<T>;
  const Team block = whole_block();
  const int index = static_cast<int>(blockIdx.x), person = by_joints.divide(index);
  Map<T> map = a.map(person, by_joints.rest(index, person));
  if constexpr (!kFlip) map.flipped = nullptr;  // known to the compiler
  List<A> list{};
  const auto find = [&](const auto& values) {
    for (int first = 0; first < search.cells; first += block.size) {
      const int cell = first + block.rank;
      const Found<A> found =
          cell < search.cells ? highest_of_cell<A>(search, values, cell) : nothing_found<A>();
      const bool peak = is_peak(search, values, by_width, found, a.threshold);
      list.add(block, found, peak || found.index == kNan);
    }
  };
  if constexpr (kStaged) {
    A* values = shared_memory<A>();
    list.begin = reinterpret_cast<Found<A>*>(values + staged_elements<A>(map.width * map.height));
    list.of_warp = reinterpret_cast<int*>(list.begin + search.cells);
    stage<N, kFlip>(block, map, by_width, values);
    __syncthreads();
    find(Staged<A>{values, search.width});
  } else {
    list.begin = listed + int64_t{index} * search.cells;
    list.of_warp = shared_memory<int>();
    find(map);
  }
  __syncthreads();  // until all is listed
  const Team sorters = list.count <= 2 * kWarp ? Team{kWarp, block.rank} : block;
  if (block.rank < sorters.size) sort(sorters, list.begin, list.count);
  __syncthreads();
  const bool nan = list.count > 0 && list.begin[0].index == kNan;
  const int count = nan ? 0 : static_cast<int>(min(int64_t{list.count}, a.k));
  const int64_t first = index * a.k;
  if (block.rank == 0) a.counts[index] = count;
  A* scratch = reinterpret_cast<A*>(list.of_warp + kThreads / kWarp) +
               block.warp() * window_elements(a.taps_count);
  for (int i = block.warp(); i < count && block.warp() < refiners; i += refiners) {
    const Found<A> found = list.begin[i];
    refine_and_store<kFlip>(a, map, by_width, person, first + i, found, found, scratch);
    __syncwarp();  // until all lanes have read the scratch
  }
  for (int64_t i = count + block.rank; i < a.k; i += block.size) a.store_missing(first + i, nan);
}

// By packs where they can be read from each map, and backward from its partner.
template <typename T, bool kFlip>
void launch_search(const PeaksCall& call, const PeaksArguments<T>& a) {
  using A = Arithmetic<T>;
  const auto whole = [](const T* p, const Maps& m) {
    return m.dense() && packs_begin_at(p, {m.size(), m.stride_person, m.stride_joint});
  };
  const bool backward = kFlip && a.flip_shift == 0 && a.maps.width % kPack<T> == 0 &&
                        whole(a.flipped, a.flipped_maps);
  const PeakSearch search(a.maps, a.radius);
  const int threads = threads_for(a.maps.size(), kPixels, kWarp, kThreads);
  const int refiners = std::min(threads / kWarp, kRefiners);
  const int64_t windows = refiners * window_elements(a.taps_count) * int64_t{sizeof(A)};
  const int64_t always = kThreads / kWarp * int64_t{sizeof(int)} + windows;
  const int64_t staged = staged_elements<A>(a.maps.size()) * int64_t{sizeof(A)} +
                         search.cells * int64_t{sizeof(Found<A>)} + always;
  const auto run = [&](auto kernel, int64_t bytes, void* listed) {
    launch<kThreads>("decode_peaks", call.heatmaps, {a.maps.count, threads, bytes}, kernel, a,
                     search, Divisor(a.maps.joints), Divisor(a.maps.width), refiners,
                     static_cast<Found<A>*>(listed));
  };
  if (staged <= std::min(most_shared(call.heatmaps), kMapBytes))
    return dispatch_pack<T>(whole(a.heatmaps, a.maps) && (backward || !kFlip), [&](auto n) {
      run(decode_peaks_kernel<T, decltype(n)::value, kFlip, true>, staged, nullptr);
    });
  const int64_t words = sizeof(Found<A>) / sizeof(double);
  const Tensor listed =
      empty({a.maps.count, search.cells, words}, ScalarType::Double, call.heatmaps);
  run(decode_peaks_kernel<T, 1, kFlip, false>, always, listed.mutable_data_ptr<double>());
}

template <typename T>
void launch_decode_peaks(const PeaksCall& call) {
  launch_to_the_border<T>(
      "decode_peaks", call.heatmaps, call.arguments<T>(), call.k, [&](const PeaksArguments<T>& a) {
        call.flipped ? launch_search<T, true>(call, a) : launch_search<T, false>(call, a);
      });
}

std::tuple<Tensor, Tensor, Tensor> decode_peaks(const Tensor& heatmaps,  // [B..., K, H, W]
                                                std::vector<double> taps, int64_t k,
                                                std::optional<Tensor> flipped,    // [B..., K, H, W]
                                                std::optional<Tensor> transform,  // [B..., 2, 3]
                                                int64_t radius, double threshold,
                                                std::optional<std::vector<int64_t>> flip_index,
                                                int64_t flip_shift, double max_shift,
                                                std::string border) {
  const PeaksCall call = peaks_call(heatmaps, taps, k, flipped, transform, radius, threshold,
                                    flip_index, flip_shift, max_shift, border);
  check_counts("decode_peaks", call.maps.count, call.maps.size());
  dispatch_floating(heatmaps.scalar_type(),
                    [&](auto zero) { launch_decode_peaks<decltype(zero)>(call); });
  return {call.coords, call.scores, call.counts};
}

}  // namespace

DARK_CUDA_KERNELS(m) { m.impl("decode_peaks", TORCH_BOX(&decode_peaks)); }
}  // namespace dark
