// SPDX-License-Identifier: Apache-2.0
#include "machine.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <stdexcept>
#include <vector>

namespace emulation {
namespace {

// The halves of a word are NaN as float16 and bfloat16, the word as float32 (and, twice, as
// float64), and as an integer leads far out of every array.
constexpr uint32_t kPoison = 0x7ff47ff4;
// Bytes of poison before and after shared memory. The address sanitizer sees more without them.
#ifdef __SANITIZE_ADDRESS__
constexpr size_t kMargin = 0;
#else
constexpr size_t kMargin = 4096;
#endif

// SplitMix64.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  // From 0 to n - 1.
  unsigned below(unsigned n) {
    state_ += 0x9e3779b97f4a7c15;
    uint64_t z = state_;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return static_cast<unsigned>(((z ^ z >> 31) >> 32) * n >> 32);
  }
  template <typename V>
  void shuffle(V* values, unsigned count) {
    for (unsigned i = count; i > 1; --i) std::swap(values[i - 1], values[below(i)]);
  }

 private:
  uint64_t state_;
};

// The same for each launch, so that a test that fails fails by itself too.
uint64_t seed() {
  const char* told = std::getenv("DARKPOSE_EMULATED_SEED");
  return told == nullptr ? 0 : std::strtoull(told, nullptr, 10);
}

thread_local Thread* current = nullptr;  // the one that runs

// For benchmarks/instructions.py: of a launch only as many blocks run as DARK_EMULATED_BLOCKS says,
// and how large it was goes to stderr.
void leave_out_blocks(std::vector<unsigned>& blocks, const Launch& launch) {
  const char* most = std::getenv("DARK_EMULATED_BLOCKS");
  if (most == nullptr) return;
  std::fprintf(stderr, "launch of %zu blocks of %d threads, %lld bytes\n", blocks.size(),
               launch.threads, static_cast<long long>(launch.shared_bytes));
  blocks.resize(std::min(blocks.size(), static_cast<size_t>(std::atoi(most))));
}

class Machine {
 public:
  void run(const Launch& launch, const std::function<void()>& kernel);

  // A fiber's life: one thread of each block after another.
  [[noreturn]] void live() {
    for (;;) {
      try {
        (*kernel_)();
      } catch (const std::exception& error) {
        error_ = position(*current) + " " + error.what();
      }
      wait(State::done);
    }
  }

  static void wait(State state) {
    current->state = state;
    current->fiber.leave();
  }

  unsigned char* shared() { return reinterpret_cast<unsigned char*>(shared_.data()) + kMargin; }
  size_t shared_size() const { return shared_size_; }

 private:
  void run_block(unsigned block, unsigned blocks);
  void start_threads(unsigned block, unsigned blocks);
  void run_warps();
  void run_lanes(unsigned warp);
  bool pass_barrier();
  void check_margins(unsigned block);

  std::vector<Thread> threads_;  // kept from launch to launch, with their stacks
  unsigned count_ = 0;           // of the threads, those of this launch
  std::vector<uint32_t> shared_;
  size_t shared_size_ = 0;
  const std::function<void()>* kernel_ = nullptr;
  std::string error_;
  Random random_{0};
};

thread_local Machine machine;

void Machine::run(const Launch& launch, const std::function<void()>& kernel) {
  check_limits(launch);
  kernel_ = &kernel;
  error_.clear();
  random_ = Random(seed());
  count_ = static_cast<unsigned>(launch.threads);
  shared_size_ = static_cast<size_t>(launch.shared_bytes);
  // Anew, so that the address sanitizer knows its end.
  shared_ =
      std::vector<uint32_t>((shared_size_ + 2 * kMargin + sizeof kPoison - 1) / sizeof kPoison);
  threads_.resize(kMostThreads);
  if (observer() != nullptr) observer()->launch_begins(launch);
  std::vector<unsigned> blocks(static_cast<size_t>(launch.blocks));
  std::iota(blocks.begin(), blocks.end(), 0);
  random_.shuffle(blocks.data(), static_cast<unsigned>(blocks.size()));
  leave_out_blocks(blocks, launch);
  for (const unsigned block : blocks) run_block(block, static_cast<unsigned>(launch.blocks));
}

void Machine::run_block(unsigned block, unsigned blocks) {
  std::fill(shared_.begin(), shared_.end(), kPoison);
  start_threads(block, blocks);
  if (observer() != nullptr) observer()->block_begins(count_);
  do {
    run_warps();
  } while (pass_barrier());
  check_margins(block);
}

void Machine::start_threads(unsigned block, unsigned blocks) {
  for (unsigned i = 0; i < count_; ++i) {
    Thread& thread = threads_[i];
    if (thread.state != State::done || thread.fiber.stack_size() == 0)  // new, or left by an error
      thread.fiber.prepare([] { machine.live(); });
    thread.place = {{i}, {block}, {count_}, {blocks}};
    thread.state = State::ready;
  }
}

// Until every thread has come to the block's barrier or returned.
void Machine::run_warps() {
  unsigned runnable[kMostThreads / kWarp];
  unsigned warps = count_ / kWarp;
  std::iota(runnable, runnable + warps, 0);
  while (warps > 0) {
    unsigned& warp = runnable[random_.below(warps)];
    run_lanes(warp);
    if (observer() != nullptr) observer()->warp_rests(warp);
    if (!complete_operations(&threads_[warp * kWarp])) warp = runnable[--warps];
  }
}

void Machine::run_lanes(unsigned warp) {
  unsigned lanes[kWarp];
  std::iota(lanes, lanes + kWarp, 0);
  random_.shuffle(lanes, kWarp);
  for (const unsigned lane : lanes) {
    Thread& thread = threads_[warp * kWarp + lane];
    if (thread.state != State::ready) continue;
    current = &thread;
    thread.fiber.enter();
    current = nullptr;
    if (!error_.empty()) throw std::runtime_error(error_);
  }
}

// Stricter than CUDA, where threads that have returned need not come.
bool Machine::pass_barrier() {
  const Thread *waits = nullptr, *returned = nullptr;
  for (unsigned i = 0; i < count_; ++i)
    (threads_[i].state == State::done ? returned : waits) = &threads_[i];
  if (waits == nullptr) return false;
  if (returned != nullptr)
    throw std::runtime_error(position(*waits) + " waits at __syncthreads for " +
                             position(*returned) + ", which has returned");
  for (unsigned i = 0; i < count_; ++i) threads_[i].state = State::ready;
  if (observer() != nullptr) observer()->block_barrier();
  return true;
}

void Machine::check_margins(unsigned block) {
  const size_t first = kMargin, last = kMargin + shared_size_;
  const unsigned char* bytes = reinterpret_cast<const unsigned char*>(shared_.data());
  unsigned char poison[sizeof kPoison];
  std::memcpy(poison, &kPoison, sizeof kPoison);
  for (size_t i = 0; i < shared_.size() * sizeof kPoison; ++i) {
    if (i == first) i = last;
    if (i < shared_.size() * sizeof kPoison && bytes[i] != poison[i % sizeof kPoison])
      throw std::runtime_error("block " + std::to_string(block) + " wrote byte " +
                               std::to_string(static_cast<int64_t>(i - kMargin)) + " of its " +
                               std::to_string(shared_size_) + " bytes of shared memory");
  }
}

}  // namespace

void run(const Launch& launch, const std::function<void()>& kernel) { machine.run(launch, kernel); }

const Place& place() { return current->place; }

unsigned char* shared_memory() { return machine.shared(); }

size_t shared_bytes() { return machine.shared_size(); }

void block_barrier() { Machine::wait(State::at_block_barrier); }

uint64_t wait_for_warp(const Call& call) {
  Thread& thread = *current;
  thread.call = call;
  Machine::wait(State::at_warp_operation);
  return thread.call.taken;
}

void check_alignment(const void* p, size_t alignment) {
  if (reinterpret_cast<uintptr_t>(p) % alignment != 0)
    fail("makes a misaligned access of " + std::to_string(alignment) + " bytes");
}

void fail(const std::string& error) { throw std::runtime_error(error); }

std::string position(const Thread& thread) {
  const unsigned index = thread.place.thread.x;
  return "lane " + std::to_string(index % kWarp) + " of warp " + std::to_string(index / kWarp) +
         " of block " + std::to_string(thread.place.block.x);
}

const Thread* running() { return current; }

Observer*& observer() {
  static Observer* only = nullptr;
  return only;
}

}  // namespace emulation
