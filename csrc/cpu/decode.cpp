// SPDX-License-Identifier: Apache-2.0
// decode: the maximum of each map (Eq 1 to 9) and its sub-pixel step, then Eq 2. Only the window
// round the maximum is ever blurred: the released rescaling multiplies the map, which adds a
// constant to its logarithm, and constants have no derivative. (Eq 11 itself is in `modulate`.)
// Each step is done for a block of maps before the next, so that the latencies of one map hide
// behind the work on others.
#include "../decode.h"

#include "kernels.h"
#include "parallel.h"
#include "peaks.h"
#include "staging.h"
#include "window.h"

namespace dark {
namespace {

// The steps that are taken at once, map by map; DARK's waits for those of other maps.
template <typename Reader, typename A = typename Reader::A>
DARK_INLINE Point<A> simple_step(Method method, const Reader& map, int64_t x, int64_t y,
                                 int64_t index) {
  switch (method) {
    case Method::argmax:
    case Method::dark: break;
    case Method::standard:
      if (!standard_fits(x, y, map.width, map.height)) break;
      return standard_step(map.at(x - 1, y), map.at(x + 1, y), map.at(x, y - 1), map.at(x, y + 1));
    case Method::second_max: {
      if (map.width * map.height == 1) break;
      const int64_t second = find_peak_slowly(map, index).index;
      return second_max_step<A>(second % map.width - x, second / map.width - y);
    }
  }
  return {0, 0};
}

// The steps of those near the border, of which there are few: apart from the others' code, and
// compiled once, so that they are the same on every machine.
template <typename Reader, typename A = typename Reader::A>
__attribute__((noinline)) void fit_block(const DecodeRule<A>& rule, const Reader* maps,
                                         const Peak<A>* peaks, const int64_t* x, const int64_t* y,
                                         int count, A* dx, A* dy) {
  for (int i = 0; i < count; ++i) {
    if (peaks[i].nan || !can_step(peaks[i]) ||
        !near_border(rule.fit, x[i], y[i], maps[i].width, maps[i].height))
      continue;
    Point<A> step{dx[i], dy[i]};
    fit_step(rule.fit, maps[i], x[i], y[i], peaks[i].value, rule.max_shift, step);
    dx[i] = step.x;
    dy[i] = step.y;
  }
}

// Maps `first` to first + count, at most a block.
template <typename Reader, typename A = typename Reader::A>
DARK_MULTIVERSION void decode_block(const DecodeRule<A>& rule, const Reader* maps, int64_t first,
                                    int count) {
  const bool small = maps->width * maps->height < kLanes<A>;
  Scan<A> scans[kBlock];
  Vector<A> sum{};
  for (int i = 0; i < count && !small; ++i) {
    scans[i] = scan(maps[i]);
    sum += scans[i].sum;
  }
  const bool finite = is_finite<A>(sum);
  Peak<A> peaks[kBlock];
  for (int i = 0; i < count; ++i) {
    const bool slow = small || (!finite && !is_finite<A>(scans[i].sum) && has_nan(maps[i]));
    peaks[i] = slow ? find_peak_slowly(maps[i]) : find_peak(maps[i], scans[i]);
  }

  int64_t x[kBlock], y[kBlock];
  A dx[kBlock] = {}, dy[kBlock] = {};
  int taylor[kBlock], taylor_count = 0;  // the maps that have a Taylor step
  for (int i = 0; i < count; ++i) {
    const Reader& map = maps[i];
    y[i] = peaks[i].index / map.width;
    x[i] = peaks[i].index - y[i] * map.width;
    if (peaks[i].nan || !can_step(peaks[i])) continue;
    if (rule.method == Method::dark && taylor_fits(x[i], y[i], map.width, map.height))
      taylor[taylor_count++] = i;
    const Point<A> step = simple_step(rule.method, map, x[i], y[i], peaks[i].index);
    dx[i] = step.x;
    dy[i] = step.y;
  }
  if (taylor_count > 0) {
    Stencils<A> stencils;
    stencils.clear();
    if (rule.taps_count == 0)
      for (int i = 0; i < taylor_count; ++i)
        copy_window(maps[taylor[i]], x[taylor[i]], y[taylor[i]], stencils, taylor[i]);
    else if (rule.taps_count == 11)  // those of sigma 2, the usual one
      blur_windows<11>(maps, rule.taps, 11, x, y, taylor, taylor_count, stencils);
    else
      blur_windows<0>(maps, rule.taps, rule.taps_count, x, y, taylor, taylor_count, stencils);
    stencils.steps(rule.max_shift, dx, dy);
  }
  if (rule.fit.on) fit_block(rule, maps, peaks, x, y, count, dx, dy);
  for (int i = 0; i < count; ++i)
    rule.store((first + i) / rule.joints, first + i, peaks[i],
               {static_cast<A>(x[i]) + dx[i], static_cast<A>(y[i]) + dy[i]});
}

// Maps that are dense as they are.
template <typename T>
void decode_dense(const DecodeArguments<T>& a, int64_t begin, int64_t end) {
  // More bytes than caches hold.
  const bool far = a.maps.count * a.maps.size() > (int64_t{1} << 24) / static_cast<int>(sizeof(T));
  // A block of large maps is a smaller one: windows are cut from maps that are still in the L2
  // cache.
  constexpr int64_t kBlockBytes = 1 << 19;
  const int64_t bytes = a.maps.size() * static_cast<int>(sizeof(T)) * (a.flipped ? 2 : 1);
  const int64_t block = std::clamp<int64_t>(kBlockBytes / bytes, 1, kBlock);
  const auto blocks = [&](auto read) {
    for (int64_t first = begin; first < end; first += block) {
      const int count = static_cast<int>(std::min(block, end - first));
      decltype(read(a.map(0, 0))) maps[kBlock];
      for (int i = 0; i < count; ++i)
        maps[i] = read(a.map((first + i) / a.joints, (first + i) % a.joints));
      decode_block(a, maps, first, count);
    }
  };
  if (a.flipped == nullptr)
    blocks([&](const Map<T>& m) { return Plain<T>{m.heatmap, m.width, m.height, far}; });
  else
    blocks([](const Map<T>& m) {
      return Mirrored<T>{m.heatmap, m.flipped, m.width, m.height, m.shift};
    });
}

// Any others: a person's maps, or a block of them, are made dense first.
template <typename T>
void decode_staged(const DecodeArguments<T>& a, int64_t begin, int64_t end) {
  using A = Arithmetic<T>;
  const int64_t joints = a.joints, width = a.maps.width, height = a.maps.height;
  Staged<A> own, flipped;
  int64_t flipped_person = -1;
  for (int64_t next; begin < end; begin = next) {
    const int64_t person = begin / joints, joint = begin % joints;
    next = std::min({end, begin + kBlock, (person + 1) * joints});
    const int count = static_cast<int>(next - begin);
    own.copy(a.heatmaps + a.maps.offset(person, joint), a.maps, count);
    if (a.flipped != nullptr && width >= kLanes<A>) {
      if (person != flipped_person)
        flipped.copy(a.flipped + a.flipped_maps.offset(person, 0), a.flipped_maps, joints);
      flipped_person = person;
      Mirrored<A> maps[kBlock];
      for (int i = 0; i < count; ++i)
        maps[i] = {own.map(i), flipped.map(a.flip_index[joint + i]), width, height, a.flip_shift};
      decode_block(a, maps, begin, count);
      continue;
    }
    Plain<A> maps[kBlock];
    for (int i = 0; i < count; ++i) {
      maps[i] = {own.map(i), width, height, false};
      if (a.flipped == nullptr) continue;
      const Map<T> map = a.map(person, joint + i);
      for (int64_t y = 0; y < height; ++y)
        for (int64_t x = 0; x < width; ++x) own.map(i)[y * width + x] = map.at(x, y);
    }
    decode_block(a, maps, begin, count);
  }
}

template <typename T>
void decode_maps(const DecodeArguments<T>& a, int64_t begin, int64_t end) {
  const bool dense =
      a.maps.dense() &&
      (a.flipped == nullptr || (a.flipped_maps.dense() && a.maps.width >= kLanes<Arithmetic<T>>));
  dense ? decode_dense(a, begin, end) : decode_staged(a, begin, end);
}

}  // namespace

std::tuple<Tensor, Tensor> decode(const Tensor& heatmaps, std::vector<double> taps,
                                  std::optional<Tensor> flipped, std::optional<Tensor> transform,
                                  std::string method,
                                  std::optional<std::vector<int64_t>> flip_index,
                                  int64_t flip_shift, double max_shift, std::string border) {
  check_decode("decode", heatmaps, taps, flipped, transform, method, flip_index, flip_shift,
               max_shift, border);
  const DecodeCall call(heatmaps, taps, flipped, transform, method, flip_index, flip_shift,
                        max_shift, border);
  dispatch_floating(heatmaps.scalar_type(), [&](auto zero) {
    const auto arguments = call.arguments<decltype(zero)>();
    parallel_over_maps(call.maps.count, call.maps.size(), 1,
                       [&](int64_t begin, int64_t end) { decode_maps(arguments, begin, end); });
  });
  return {call.coords, call.scores};
}

}  // namespace dark
