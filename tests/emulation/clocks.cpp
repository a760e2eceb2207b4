// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "trace.h"

namespace emulation {

void Clocks::block_begins(unsigned threads) {
  epoch_ = 0;
  own_.assign(threads, 1);
  known_.assign(threads, {});
}

void Clocks::warp_barrier(unsigned warp, unsigned mask) {
  std::array<uint32_t, kWarp> joined{};
  const unsigned first = warp * kWarp;
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    if ((mask >> lane & 1) == 0) continue;
    for (unsigned i = 0; i < kWarp; ++i) joined[i] = std::max(joined[i], known_[first + lane][i]);
    joined[lane] = std::max(joined[lane], own_[first + lane]);
  }
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    if ((mask >> lane & 1) == 0) continue;
    known_[first + lane] = joined;
    ++own_[first + lane];
  }
}

bool Clocks::ordered(const Access& before, const Access& now) const {
  if (before.thread == now.thread || before.epoch < now.epoch) return true;
  if (before.thread / kWarp != now.thread / kWarp) return false;
  return before.clock <= known_[now.thread][before.thread % kWarp];
}

void Conflicts::add(unsigned ways_of_one) {
  ++instructions;
  ways += ways_of_one;
  most = std::max(most, ways_of_one);
}

unsigned bank_ways(const std::vector<SharedAccess>& lanes) {
  constexpr unsigned kBanks = 32, kWord = 4;
  unsigned size = kWord, worst = 1;
  for (const SharedAccess& access : lanes) size = std::max(size, access.size);
  const unsigned together = kWarp * kWord / size;  // lanes
  for (unsigned first = 0; first < kWarp; first += together) {
    std::vector<uint32_t> words;
    for (const SharedAccess& access : lanes)
      if (access.lane >= first && access.lane < first + together)
        for (unsigned byte = 0; byte < access.size; byte += kWord)
          words.push_back((access.offset + byte) / kWord);
    std::sort(words.begin(), words.end());
    words.erase(std::unique(words.begin(), words.end()), words.end());
    unsigned turns[kBanks] = {};
    for (const uint32_t word : words) worst = std::max(worst, ++turns[word % kBanks]);
  }
  return worst;
}

}  // namespace emulation
