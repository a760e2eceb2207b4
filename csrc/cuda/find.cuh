// SPDX-License-Identifier: Apache-2.0
// The highest pixel of a map, found by a team of threads: 16 bytes at a time where its rows follow
// each other in memory, else pixel by pixel. Inside a map indices are 32-bit.
#pragma once
#include "../flip.h"
#include "block.cuh"
#include "vector.cuh"

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

template <typename A>
__device__ Found<A> highest_of_team(const Team& team, const Found<A>& found) {
  return team_reduce(team, found,
                     [](const Found<A>& a, const Found<A>& b) { return higher(a, b); });
}

struct Pixel {
  int x, y;

  __device__ Pixel(int index, int64_t width) {
    const unsigned i = static_cast<unsigned>(index), w = static_cast<unsigned>(width);
    x = static_cast<int>(i % w);
    y = static_cast<int>(i / w);
  }
};

template <typename T, typename A = Arithmetic<T>>
__device__ A at_index(const Map<T>& map, int index) {
  const Pixel p(index, map.width);
  return map.at(p.x, p.y);
}

// In any layout, the pixel at index `except` left out.
template <typename T, typename A = Arithmetic<T>>
__device__ Found<A> find_strided(const Team& team, const Map<T>& map, int except) {
  const int width = static_cast<int>(map.width), height = static_cast<int>(map.height);
  Found<A> found = nothing_found<A>();
  for (Walk p(team, width); p.y < height; p.next()) {
    const int index = p.y * width + p.x;
    if (index != except) found = higher(found, found_at(map.at(p.x, p.y), index));
  }
  return highest_of_team(team, found);
}

// Where the mirrored partners of a vector's elements are: nowhere, in a vector that is read
// backward, or one by one.
enum class Partner { none, vector, scalars };

// A map whose rows follow each other, read by vectors. Its partner's rows do too, and are a whole
// number of vectors wide.
template <typename T, Partner kPartner>
struct DenseMap {
  using A = Arithmetic<T>;
  static constexpr int N = kVector<T>;
  struct Loaded {
    Vector<T, N> own;
    std::conditional_t<kPartner == Partner::vector, Vector<T, N>, T[N]> other;
  };
  const T *own, *flipped;
  int width, shift;

  explicit __device__ DenseMap(const Map<T>& map)
      : own(map.heatmap),
        flipped(map.flipped),
        width(static_cast<int>(map.width)),
        shift(static_cast<int>(map.shift)) {}

  __device__ void load_at(int index, Loaded& loaded) const {
    loaded.own = load<N>(own + index);
    if constexpr (kPartner == Partner::none) return;
    const int x = Pixel(index, width).x;
    const T* last = flipped + (index - x + width - 1);
    if constexpr (kPartner == Partner::vector) loaded.other = load<N>(last - (x + N - 1));
    if constexpr (kPartner == Partner::scalars)
      for (int i = 0; i < N; ++i) loaded.other[i] = last[-max(x + i - shift, 0)];
  }
  __device__ A value(const Loaded& loaded, int i) const {
    const A value = static_cast<A>(loaded.own.at(i));
    if constexpr (kPartner == Partner::vector)
      return A(0.5) * (value + static_cast<A>(loaded.other.at(N - 1 - i)));
    if constexpr (kPartner == Partner::scalars)
      return A(0.5) * (value + static_cast<A>(loaded.other[i]));
    return value;
  }
};

// Each thread remembers the vector with its highest value; which of the vector's elements that was
// is looked up once, for the winner.
template <Partner kPartner, typename T, typename A = Arithmetic<T>>
__device__ Found<A> find_dense(const Team& team, const Map<T>& map) {
  constexpr int N = kVector<T>;
  // Vectors that a thread asks for before it looks at any.
  constexpr int kInFlight = kPartner == Partner::none ? 4 : 2;
  const DenseMap<T, kPartner> dense(map);
  const int size = static_cast<int>(map.width * map.height);
  const int head = min(to_alignment(map.heatmap), size);
  const int vectors = (size - head) / N, tail = size - head - vectors * N;
  Found<A> found = nothing_found<A>();
  bool nan = false;
  if (team.rank < vectors) found.index = head + team.rank * N;
  for (int first = team.rank; first < vectors; first += kInFlight * team.size) {
    typename DenseMap<T, kPartner>::Loaded loaded[kInFlight];
    int index[kInFlight];
    DARK_UNROLL(kInFlight)
    for (int i = 0; i < kInFlight; ++i) {
      // Beyond the end the last vector once more, which changes nothing.
      index[i] = head + min(first + i * team.size, vectors - 1) * N;
      dense.load_at(index[i], loaded[i]);
    }
    DARK_UNROLL(kInFlight)
    for (int i = 0; i < kInFlight; ++i) {
      A highest = dense.value(loaded[i], 0);
      for (int j = 0; j < N; j += 2) {
        const A left = dense.value(loaded[i], j), right = dense.value(loaded[i], j + 1);
        nan = nan || !(left <= right || left > right);
        highest = std::fmax(highest, std::fmax(left, right));
      }
      if (highest > found.value) found = {highest, index[i]};
    }
  }
  // Where the map does not begin or end with a whole vector; fewer elements than a warp has lanes.
  if (team.rank < head) found = higher(found, found_at(at_index(map, team.rank), team.rank));
  if (team.rank < tail) {
    const int index = size - tail + team.rank;
    found = higher(found, found_at(at_index(map, index), index));
  }
  found = highest_of_team(team, nan ? found_at(static_cast<A>(NAN), kNan) : found);
  if (found.index == kNan) return found;
  const int index = found.index + team.lane();
  const bool here = team.lane() < N && index < size && at_index(map, index) == found.value;
  return {found.value, found.index + __ffs(__ballot_sync(kAllLanes, here)) - 1};
}

}  // namespace dark
