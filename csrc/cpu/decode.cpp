// SPDX-License-Identifier: Apache-2.0
// decode: the maximum of each map (Eq 1 to 9) and its sub-pixel step, then Eq 2. Only the window
// round the maximum is ever blurred: the released rescaling multiplies the map, which adds a
// constant to its logarithm, and constants have no derivative. (Eq 11 itself is in `modulate`.)
#include "../decode.h"

#include "../library.h"
#include "parallel.h"
#include "span.h"

namespace dark {
namespace {

constexpr int64_t kSpan = 1024;
constexpr int kMaxSide = kStencil + kMaxTaps - 1;

// Elements [begin, begin + count) in row-major order: the map's own memory where it has them so,
// else `buffer`.
template <typename T, typename A = Arithmetic<T>>
const A* read_span(const Map<T>& map, int64_t begin, int64_t count, A* buffer) {
  if constexpr (std::is_same_v<T, A>) {
    const bool dense =
        (map.column == 1 || map.width == 1) && (map.row == map.width || map.height == 1);
    if (dense && map.flipped == nullptr) return map.heatmap + begin;
  }
  int64_t y = begin / map.width, x = begin % map.width;
  for (int64_t i = 0; i < count; x = 0, ++y) {
    const int64_t end = std::min(map.width, x + count - i);
    map.read_row(x, end, y, buffer + i);
    i += end - x;
  }
  return buffer;
}

template <typename T, typename A = Arithmetic<T>>
Peak<A> find_peak(const Map<T>& map) {
  A buffer[kSpan];
  const int64_t size = map.width * map.height;
  Peak<A> peak = no_peak<A>();  // its index is at first that of its span
  for (int64_t begin = 0; begin < size; begin += kSpan) {
    const int64_t count = std::min(kSpan, size - begin);
    peak = higher(peak, highest_of(read_span(map, begin, count, buffer), count), begin);
  }
  if (peak.nan) return {peak.value, 0, true};
  const int64_t count = std::min(kSpan, size - peak.index);
  peak.index += first_index_of(peak.value, read_span(map, peak.index, count, buffer), count);
  return peak;
}

template <typename T, typename A = Arithmetic<T>>
int64_t second_index(const Map<T>& map, int64_t first) {
  Peak<A> second = no_peak<A>();
  for (int64_t y = 0, i = 0; y < map.height; ++y)
    for (int64_t x = 0; x < map.width; ++x, ++i)
      if (i != first) second = higher(second, map.at(x, y), i);
  return second.index;
}

// The 5x5 values round (x, y) of the map convolved with the taps: down the columns first, then
// along the five rows.
template <typename T, typename A = Arithmetic<T>>
void blur_window(const DecodeArguments<T>& a, const Map<T>& map, int64_t x, int64_t y,
                 A (&v)[kStencil][kStencil]) {
  const int reach = a.taps_count / 2, side = kStencil + 2 * reach;
  A window[kMaxSide][kMaxSide], rows[kStencil][kMaxSide] = {};
  for (int j = 0; j < side; ++j)
    for (int i = 0; i < side; ++i)
      window[j][i] = map.at_or_zero(x - kReach - reach + i, y - kReach - reach + j);
  for (int j = 0; j < kStencil; ++j) {
    for (int t = 0; t < a.taps_count; ++t)
      for (int i = 0; i < side; ++i) rows[j][i] += a.taps[t] * window[j + t][i];
    for (int i = 0; i < kStencil; ++i) {
      A sum = 0;
      for (int t = 0; t < a.taps_count; ++t) sum += a.taps[t] * rows[j][i + t];
      v[j][i] = sum;
    }
  }
}

template <typename T, typename A = Arithmetic<T>>
Point<A> dark_step(const DecodeArguments<T>& a, const Map<T>& map, int64_t x, int64_t y) {
  if (!taylor_fits(x, y, map.width, map.height)) return {0, 0};
  A v[kStencil][kStencil];
  if (a.taps_count > 0) {
    blur_window(a, map, x, y, v);
  } else {
    for (int j = 0; j < kStencil; ++j)
      for (int i = 0; i < kStencil; ++i) v[j][i] = map.at(x - kReach + i, y - kReach + j);
  }
  return taylor_step(v, a.max_shift);
}

template <typename T, typename A = Arithmetic<T>>
Point<A> step_from(const DecodeArguments<T>& a, const Map<T>& map, const Peak<A>& peak) {
  const int64_t x = peak.index % map.width, y = peak.index / map.width;
  switch (a.method) {
    case Method::dark: return dark_step(a, map, x, y);
    case Method::standard:
      if (!standard_fits(x, y, map.width, map.height)) return {0, 0};
      return standard_step(map.at(x - 1, y), map.at(x + 1, y), map.at(x, y - 1), map.at(x, y + 1));
    case Method::second_max: {
      if (map.width * map.height == 1) return {0, 0};
      const int64_t second = second_index(map, peak.index);
      return second_max_step<A>(second % map.width - x, second / map.width - y);
    }
    default: return {0, 0};
  }
}

template <typename T>
void decode_maps(const DecodeArguments<T>& a, int64_t begin, int64_t end) {
  using A = Arithmetic<T>;
  for (int64_t index = begin; index < end; ++index) {
    const Map<T> map = a.map(index);
    const Peak<A> peak = find_peak(map);
    const Point<A> step = can_step(peak) ? step_from(a, map, peak) : Point<A>{0, 0};
    a.store(index, peak,
            {static_cast<A>(peak.index % map.width) + step.x,
             static_cast<A>(peak.index / map.width) + step.y});
  }
}

std::tuple<Tensor, Tensor> decode(const Tensor& heatmaps,  // [B..., K, H, W]
                                  std::vector<double> taps,
                                  std::optional<Tensor> flipped,    // [B..., K, H, W]
                                  std::optional<Tensor> transform,  // [B..., 2, 3]
                                  std::string method,
                                  std::optional<std::vector<int64_t>> flip_index,
                                  int64_t flip_shift, double max_shift) {
  check_decode(heatmaps, taps, flipped, transform, method, flip_index, flip_shift, max_shift);
  const DecodeCall call(heatmaps, taps, flipped, transform, method, flip_index, flip_shift,
                        max_shift);
  dispatch_floating(heatmaps.scalar_type(), [&](auto zero) {
    const auto arguments = call.arguments<decltype(zero)>();
    parallel_over_maps(call.maps.count, call.maps.size(),
                       [&](int64_t begin, int64_t end) { decode_maps(arguments, begin, end); });
  });
  return {call.coords, call.scores};
}

}  // namespace

DARK_CPU_KERNELS(m) { m.impl("decode", TORCH_BOX(&decode)); }
}  // namespace dark
