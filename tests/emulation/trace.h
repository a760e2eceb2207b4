// SPDX-License-Identifier: Apache-2.0
// What the tracer remembers: of each byte its last accesses, of each warp what its lanes know of
// each other's.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "machine.h"

namespace emulation {

// Where an access stands among the barriers. Two of one warp are told apart by `clock`, which a
// lane advances at each __syncwarp; two of one block by `epoch`, which __syncthreads advances.
struct Access {
  uint32_t block = 0;  // counted over all launches, from 1
  uint32_t epoch = 0, clock = 0, thread = 0;
  uint32_t code = 0;  // offset in the library
};

// The last two readers are kept: of different warps if there have been such since the last write,
// else of different threads.
struct Byte {
  Access write, read[2];
};

// Which accesses of a block have come before, by its barriers.
class Clocks {
 public:
  void block_begins(unsigned threads);
  void block_barrier() { ++epoch_; }
  void warp_barrier(unsigned warp, unsigned mask);

  void stamp(Access& access) const {
    access.epoch = epoch_;
    access.clock = own_[access.thread];
  }
  // Whether `before`, an access of the same block, has ended before the thread's present one.
  bool ordered(const Access& before, const Access& now) const;

 private:
  uint32_t epoch_ = 0;
  std::vector<uint32_t> own_;                       // of each thread
  std::vector<std::array<uint32_t, kWarp>> known_;  // of each thread: its lanes' clocks it has seen
};

// An access of a lane to shared memory.
struct SharedAccess {
  uint32_t code, lane, offset, size;
};

// Accesses of one instruction by a warp that need one another's turn.
struct Conflicts {
  uint64_t instructions = 0, ways = 0;
  unsigned most = 0;

  void add(unsigned ways_of_one);
};

// How many turns the 32 banks of 4 bytes take for the accesses of one instruction: 1 without
// conflicts. A GPU serves 8 bytes a lane in two halves of the warp and 16 in four quarters; of
// these the worst counts.
unsigned bank_ways(const std::vector<SharedAccess>& lanes);

}  // namespace emulation
