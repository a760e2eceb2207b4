// SPDX-License-Identifier: Apache-2.0
// The emulated GPU: runs the blocks of a launch one after another, each thread of a block as a
// fiber. A thread runs until it must wait for others. Which block, warp and lane comes next is
// random, repeatably: the environment variable DARKPOSE_EMULATED_SEED chooses among the orders.
#pragma once
#include <functional>
#include <string>

#include "fiber.h"
#include "launch.h"
#include "warp.h"

namespace emulation {

struct Index {
  unsigned x;
};

struct Place {
  Index thread, block, block_size, grid_size;
};

enum class State { ready, at_block_barrier, at_warp_operation, done };

struct Thread {
  Fiber fiber;
  Place place;
  State state = State::done;
  Call call{};  // the last one, of the warp
};

// Throws std::runtime_error where the launch breaks a limit, or a thread a rule.
void run(const Launch& launch, const std::function<void()>& kernel);

// Of the thread that runs.
const Place& place();
unsigned char* shared_memory();
void block_barrier();
uint64_t wait_for_warp(const Call& call);
void check_alignment(const void* p, size_t alignment);
// Ends the launch; `error` begins with what the thread does.
[[noreturn]] void fail(const std::string& error);

// "lane 1 of warp 1 of block 0"
std::string position(const Thread& thread);

// For the tracer.

// Null outside of kernels.
const Thread* running();
size_t shared_bytes();

class Observer {
 public:
  virtual ~Observer() = default;
  virtual void launch_begins(const Launch& launch) = 0;
  virtual void block_begins(unsigned threads) = 0;
  virtual void block_barrier() = 0;
  virtual void warp_barrier(unsigned warp, unsigned mask) = 0;
  // The lanes of the warp have all run as far as they got.
  virtual void warp_rests(unsigned warp) = 0;
};

// Of all CPU threads, or null. To be set before the first launch.
Observer*& observer();

}  // namespace emulation
