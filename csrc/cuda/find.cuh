// SPDX-License-Identifier: Apache-2.0
// The highest pixel of a map, found by a team of threads: 16 bytes at a time where its rows follow
// each other in memory, else pixel by pixel. Inside a map indices are 32-bit.
#pragma once
#include "../map.h"
#include "divide.cuh"
#include "extremes.cuh"

namespace dark {

// `Peak` in the fewest words, since it travels between threads. A NaN met anywhere becomes infinity
// at index kNan, before which nothing comes.
template <typename A>
struct Found {
  A value;
  int index;
};

constexpr int kNan = -1, kNowhere = INT32_MAX;

template <typename A>
__device__ Found<A> higher(const Found<A>& a, const Found<A>& b) {
  return b.value > a.value || (b.value == a.value && b.index < a.index) ? b : a;
}

template <typename A>
__device__ Found<A> found_at(A value, int index) {
  return value != value ? Found<A>{static_cast<A>(INFINITY), kNan} : Found<A>{value, index};
}

template <typename A>
__device__ Found<A> nothing_found() {
  return {-static_cast<A>(INFINITY), kNowhere};
}

// Given to all lanes of the warp.
template <typename A>
__device__ Found<A> highest_of_warp(const Found<A>& found) {
#if DARK_HAS_WARP_EXTREMES
  if constexpr (std::is_same_v<A, float>) {
    const int order = in_order(found.value), highest = __reduce_max_sync(kAllLanes, order);
    const int index = __reduce_min_sync(kAllLanes, order == highest ? found.index : kNowhere);
    return {from_order(highest), index};
  }
#endif
  return warp_reduce(found, [](const Found<A>& a, const Found<A>& b) { return higher(a, b); });
}

// Given to all threads of the team, which has room for a Found of each of its warps.
template <typename A>
__device__ Found<A> highest_of_team(const Team& team, const Found<A>& found, Found<A>* of_warp) {
  if (team.size == kWarp) return highest_of_warp(found);
  return block_reduce(
      found, nothing_found<A>(), [](const Found<A>& f) { return highest_of_warp(f); }, of_warp);
}

struct Pixel {
  int x, y;

  __device__ Pixel(int index, const Divisor& width)
      : x(width.rest(index, width.divide(index))), y(width.divide(index)) {}
};

// In any layout, the pixel at index `except` left out.
template <typename T, typename A = Arithmetic<T>>
__device__ Found<A> find_strided(const Team& team, const Map<T>& map, int except,
                                 Found<A>* of_warp) {
  const int width = static_cast<int>(map.width), height = static_cast<int>(map.height);
  Found<A> found = nothing_found<A>();
  for (Walk p(team, width); p.y < height; p.next()) {
    const int index = p.y * width + p.x;
    if (index != except) found = higher(found, found_at(map.at(p.x, p.y), index));
  }
  return highest_of_team(team, found, of_warp);
}

// Where the mirrored partners of a pack's elements are: nowhere, in a pack that is read
// backward, or one by one.
enum class Partner { none, pack, scalars };

// A map whose rows follow each other, read by packs. Its partner's rows do too, and are a whole
// number of packs wide.
template <typename T, Partner kPartner>
struct DenseMap {
  using A = Arithmetic<T>;
  static constexpr int N = kPack<T>;
  struct Loaded {
    Pack<T, N> own;
    std::conditional_t<kPartner == Partner::pack, Pack<T, N>, T[N]> other;
  };
  const T *own, *flipped;
  int shift;
  const Divisor& width;

  __device__ DenseMap(const Map<T>& map, const Divisor& width_)
      : own(map.heatmap), flipped(map.flipped), shift(static_cast<int>(map.shift)), width(width_) {}

  __device__ void load_at(int index, Loaded& loaded) const {
    loaded.own = load<N>(own + index);
    if constexpr (kPartner == Partner::pack) {
      // Pixel (x, y) and its mirror image add up to 2 y width + width - 1.
      const int columns = static_cast<int>(width.divisor),
                sum = (2 * width.divide(index) + 1) * columns;
      loaded.other = load<N>(flipped + (sum - N - index));
    } else if constexpr (kPartner == Partner::scalars) {
      const int x = Pixel(index, width).x, last = index - x + static_cast<int>(width.divisor) - 1;
      DARK_UNROLL(N)
      for (int i = 0; i < N; ++i) loaded.other[i] = flipped[last - max(x + i - shift, 0)];
    }
  }
  __device__ A highest(const Loaded& loaded) const {
    if constexpr (kPartner == Partner::none) {
      return highest_of(loaded.own);
    } else {
      A highest = value(loaded, 0);
      DARK_UNROLL(N)
      for (int i = 1; i < N; ++i) highest = higher_or_nan(highest, value(loaded, i));
      return highest;
    }
  }
  __device__ A at(int index) const {
    if constexpr (kPartner == Partner::none) {
      return static_cast<A>(own[index]);
    } else {
      const int x = Pixel(index, width).x, last = index - x + static_cast<int>(width.divisor) - 1;
      return average(own[index], flipped[last - max(x - shift, 0)]);
    }
  }

  static __device__ A value(const Loaded& loaded, int i) {
    if constexpr (kPartner == Partner::none)
      return static_cast<A>(loaded.own.at(i));
    else if constexpr (kPartner == Partner::pack)
      return average(loaded.own.at(i), loaded.other.at(N - 1 - i));
    else
      return average(loaded.own.at(i), loaded.other[i]);
  }

 private:
  static __device__ A average(T a, T b) { return A(0.5) * (static_cast<A>(a) + static_cast<A>(b)); }
};

// Each thread remembers the pack with its highest value; which of the pack's elements that was
// is looked up once, for the winner. kSize is the team's size where the compiler is to know it.
template <Partner kPartner, int kSize, typename T, typename A = Arithmetic<T>>
__device__ Found<A> find_dense(const Team& team, const Map<T>& map, const Divisor& width,
                               Found<A>* of_warp) {
  constexpr int N = kPack<T>;
  // Packs that a thread asks for before it looks at any.
  constexpr int kInFlight = kPartner == Partner::none ? 4 : 2;
  const DenseMap<T, kPartner> dense(map, width);
  const int size = static_cast<int>(map.width) * static_cast<int>(map.height);
  const int head = min(to_alignment(map.heatmap), size);
  const int end = size - (size - head) % N, step = (kSize == 0 ? team.size : kSize) * N;
  int next = head + team.rank * N;
  A highest = -static_cast<A>(INFINITY);
  int at = next < end ? next : kNowhere;
  const auto look_at = [&](auto count) {
    constexpr int kCount = decltype(count)::value;
    typename DenseMap<T, kPartner>::Loaded loaded[kCount];
    DARK_UNROLL(kCount)
    for (int i = 0; i < kCount; ++i) dense.load_at(next + i * step, loaded[i]);
    DARK_UNROLL(kCount)
    for (int i = 0; i < kCount; ++i) {
      const A value = dense.highest(loaded[i]);
      if (value > highest) at = next + i * step;
      highest = higher_or_nan(highest, value);
    }
    next += kCount * step;
  };
  DARK_UNROLL(1)
  while (next + (kInFlight - 1) * step < end) look_at(std::integral_constant<int, kInFlight>{});
  DARK_UNROLL(1)
  while (next < end) look_at(std::integral_constant<int, 1>{});
  Found<A> found = found_at(highest, at);
  // Where the map does not begin or end with a whole pack; fewer elements than a warp has lanes.
  if (team.rank < head) found = higher(found, found_at(dense.at(team.rank), team.rank));
  if (team.rank < size - end)
    found = higher(found, found_at(dense.at(end + team.rank), end + team.rank));
  found = highest_of_team(team, found, of_warp);
  if (found.index == kNan) return found;
  const int index = found.index + team.lane();
  const bool here = team.lane() < N && index < size && dense.at(index) == found.value;
  return {found.value, found.index + __ffs(__ballot_sync(kAllLanes, here)) - 1};
}

}  // namespace dark
