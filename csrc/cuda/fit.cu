// SPDX-License-Identifier: Apache-2.0
// The steps of `border="fit"`, a warp for each maximum: a kernel of its own, so that decode without
// it keeps its registers. It reads the window of a maximum again, 13 x 13 values or so; near the
// border every lane sums up the fit's few tens of pixels by itself, by the code and in the order of
// the CPU's: as long as for one lane, but few maxima are there.
#include "fit.cuh"
#include "refine.cuh"

namespace dark {
namespace {

constexpr int kThreads = 128;  // of a block, at most

template <typename T, bool kFlip>
__global__ void __launch_bounds__(kThreads)
    fit_kernel(const __grid_constant__ DecodeArguments<T> a, const Divisor by_joints,
               const Divisor by_width, int64_t each) {
  using A = Arithmetic<T>;
  const Team block = whole_block(), team{kWarp, block.lane()};
  const int index = static_cast<int>(blockIdx.x), person = by_joints.divide(index);
  Map<T> map = a.map(person, by_joints.rest(index, person));
  if constexpr (!kFlip) map.flipped = nullptr;  // known to the compiler
  A* scratch = shared_memory<A>() + block.warp() * window_elements(a.taps_count);
  for (int64_t nth = block.warp(); nth < each; nth += block.warps()) {
    const int64_t i = index * each + nth;
    const A x = a.coords[2 * i], y = a.coords[2 * i + 1];
    if (x != x) return;  // nor are those that follow
    const Peak<A> peak{a.scores[i], 0, false};
    const Pixel p(static_cast<int>(y) * static_cast<int>(map.width) + static_cast<int>(x),
                  by_width);
    team.sync();  // until all lanes have read them, and the scratch of the maximum before
    Point<A> step{0, 0};
    const bool fitted = can_step(peak) && near_border(a.fit, p.x, p.y, map.width, map.height) &&
                        fit_step(a.fit, map, p.x, p.y, peak.value, a.max_shift, step);
    if (can_step(peak) && !fitted) step = step_from<kFlip>(a, map, p, by_width, {}, scratch);
    if (team.rank == 0) a.store(person, i, peak, {x + step.x, y + step.y});
  }
}

}  // namespace

template <typename T>
void launch_fit(const char* op, const Tensor& on, const DecodeArguments<T>& a, int64_t each) {
  // Coordinates of float32, from which the pixels are told.
  require(std::max(a.maps.width, a.maps.height) <= 1 << 24, op,
          ": a GPU fits at the border of maps of at most 2^24 columns and rows, got ", a.maps.width,
          " and ", a.maps.height);
  const int warps = static_cast<int>(std::min<int64_t>(each, kThreads / kWarp));
  const int64_t shared = warps * window_elements(a.taps_count) * int64_t{sizeof(Arithmetic<T>)};
  const auto kernel = a.flipped == nullptr ? fit_kernel<T, false> : fit_kernel<T, true>;
  launch<kThreads>(op, on, {a.maps.count, warps * kWarp, shared}, kernel, a, Divisor(a.maps.joints),
                   Divisor(a.maps.width), each);
}

template void launch_fit(const char*, const Tensor&, const DecodeArguments<float>&, int64_t);
template void launch_fit(const char*, const Tensor&, const DecodeArguments<double>&, int64_t);
template void launch_fit(const char*, const Tensor&, const DecodeArguments<Half>&, int64_t);
template void launch_fit(const char*, const Tensor&, const DecodeArguments<BFloat16>&, int64_t);

}  // namespace dark
