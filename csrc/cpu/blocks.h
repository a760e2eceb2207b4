// SPDX-License-Identifier: Apache-2.0
// The maps of decode and decode_peaks as blocks of dense ones.
#pragma once
#include "../decode.h"
#include "staging.h"

namespace dark {

constexpr int kBlock = 16;  // maps

// Maps that are dense as they are.
template <typename T, typename F>
void each_dense_block(const DecodeArguments<T>& a, int64_t begin, int64_t end, F&& f) {
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
      f(maps, first, count);
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
template <typename T, typename F>
void each_staged_block(const DecodeArguments<T>& a, int64_t begin, int64_t end, F&& f) {
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
      f(maps, begin, count);
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
    f(maps, begin, count);
  }
}

// Calls f(readers of dense maps, the first one's index, how many: at most a block) for maps `begin`
// to `end`. Without `kHalves` half types are made dense as what they are computed in, which spares
// the compiler half of the readers.
template <bool kHalves, typename T, typename F>
void each_block(const DecodeArguments<T>& a, int64_t begin, int64_t end, F&& f) {
  using A = Arithmetic<T>;
  const bool dense = a.maps.dense() && (a.flipped == nullptr ||
                                        (a.flipped_maps.dense() && a.maps.width >= kLanes<A>));
  if constexpr (kHalves || std::is_same_v<T, A>)
    if (dense) return each_dense_block(a, begin, end, f);
  each_staged_block(a, begin, end, f);
}

}  // namespace dark
