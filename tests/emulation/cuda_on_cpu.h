// SPDX-License-Identifier: Apache-2.0
// Runs the source of a CUDA kernel on the CPU, so that machines without a GPU can test its
// indexing, reductions, tails and barriers, also under the address sanitizer. Each CUDA thread is a
// fiber; blocks run one after another. Dynamic shared memory has exactly the size that was asked
// for and begins as NaN; a 16-byte access that is not aligned throws. It shows neither the memory
// model nor the limits of a launch nor speed, and of data races only those between warps that the
// order of the fibers brings out. One-dimensional grids and blocks, as the kernels use.
#pragma once
#include <ucontext.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <vector>

#define __global__
#define __device__
#define __grid_constant__
#define __launch_bounds__(...)
#define __shared__ static thread_local  // blocks of one CPU thread run one at a time

using std::max;
using std::min;

struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};

namespace emulation {

struct Index {
  unsigned x;
};

// For benchmarks/instructions.py: of a launch only as many blocks run as DARK_EMULATED_BLOCKS says,
// and how large it was goes to stderr.
inline unsigned blocks_to_run(unsigned blocks, unsigned threads) {
  const char* most = std::getenv("DARK_EMULATED_BLOCKS");
  if (most == nullptr) return blocks;
  std::fprintf(stderr, "launch of %u blocks of %u threads\n", blocks, threads);
  return std::min(blocks, static_cast<unsigned>(std::atoi(most)));
}

enum class State { ready, at_block_barrier, at_warp_barrier, done };

struct Fiber {
  ucontext_t context;
  std::vector<char> stack;
  Index index;
  State state;
  // What the lane gives in its last two shuffles: the other lanes read the last one while this one
  // may already be giving the next.
  uint64_t given[2];
  unsigned shuffles;
};

class Machine {
 public:
  Index block, block_size, grid_size;
  Fiber* current = nullptr;

  void run(unsigned blocks, unsigned threads, size_t shared_bytes, std::function<void()> kernel) {
    kernel_ = std::move(kernel);
    grid_size = {blocks};
    block_size = {threads};
    shared_ = std::vector<unsigned char>(shared_bytes);
    error_ = nullptr;
    fibers_.resize(threads);
    const unsigned most = blocks_to_run(blocks, threads);
    for (block.x = 0; block.x < most; ++block.x) run_block();
  }

  void wait(State barrier) {
    current->state = barrier;
    swapcontext(&current->context, &scheduler_);
  }

  uint64_t exchange(uint64_t value, unsigned lane) {
    Fiber* me = current;
    const unsigned slot = me->shuffles++ % 2;
    me->given[slot] = value;
    wait(State::at_warp_barrier);
    return fibers_[me->index.x / kWarp * kWarp + lane].given[slot];
  }

  unsigned char* shared() { return shared_.data(); }

  // Ends the running thread and, once its warp has been left, the launch.
  void fail(const char* error) {
    error_ = error;
    wait(State::done);
  }

  static constexpr unsigned kWarp = 32;

 private:
  static constexpr size_t kStack = 64 * 1024;

  static void enter();

  void start(Fiber& fiber, unsigned thread) {
    fiber.stack.resize(kStack);
    fiber.index = {thread};
    fiber.state = State::ready;
    fiber.shuffles = 0;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.data();
    fiber.context.uc_stack.ss_size = fiber.stack.size();
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, &Machine::enter, 0);
  }

  // A warp at a time as far as it gets without the others, and in every other block backward: a
  // missing barrier shows wherever a reader then comes before the writer, or the next writer
  // before a reader.
  void run_block() {
    const size_t threads = fibers_.size();
    std::fill(shared_.begin(), shared_.end(), 0xff);
    for (unsigned thread = 0; thread < threads; ++thread) start(fibers_[thread], thread);
    const bool backward = block.x % 2 == 1;
    do {
      for (size_t i = 0; i < threads; i += kWarp) {
        const size_t first = backward ? (threads - 1 - i) / kWarp * kWarp : i;
        const size_t last = std::min<size_t>(first + kWarp, threads);
        do {
          run_lanes(first, last, backward);
        } while (release(first, last, State::at_warp_barrier));
      }
    } while (release(0, threads, State::at_block_barrier));
    for (const Fiber& fiber : fibers_)
      if (fiber.state != State::done)
        throw std::runtime_error("a kernel's threads did not all arrive at a barrier");
  }

  void run_lanes(size_t begin, size_t end, bool backward) {
    for (size_t i = begin; i < end; ++i) {
      Fiber& fiber = fibers_[backward ? begin + end - 1 - i : i];
      if (fiber.state != State::ready) continue;
      current = &fiber;
      swapcontext(&scheduler_, &fiber.context);
      if (error_ != nullptr) throw std::runtime_error(error_);
    }
  }

  // Stricter than CUDA, where threads that have returned need not arrive.
  bool release(size_t begin, size_t end, State barrier) {
    for (size_t i = begin; i < end; ++i)
      if (fibers_[i].state != barrier) return false;
    for (size_t i = begin; i < end; ++i) fibers_[i].state = State::ready;
    return true;
  }

  std::vector<Fiber> fibers_;
  std::vector<unsigned char> shared_;  // its storage is aligned to 16 bytes
  const char* error_ = nullptr;
  std::function<void()> kernel_;
  ucontext_t scheduler_;
};

inline thread_local Machine machine;

inline void Machine::enter() {
  machine.kernel_();
  machine.wait(State::done);
}

inline void run(unsigned blocks, unsigned threads, size_t shared_bytes,
                std::function<void()> kernel) {
  machine.run(blocks, threads, shared_bytes, std::move(kernel));
}

inline void check_alignment(const void* p, size_t alignment) {
  if (reinterpret_cast<uintptr_t>(p) % alignment != 0) machine.fail("a misaligned access");
}

}  // namespace emulation

#define threadIdx (emulation::machine.current->index)
#define blockIdx (emulation::machine.block)
#define blockDim (emulation::machine.block_size)
#define gridDim (emulation::machine.grid_size)

inline void __syncthreads() { emulation::machine.wait(emulation::State::at_block_barrier); }
inline void __syncwarp() { emulation::machine.wait(emulation::State::at_warp_barrier); }

template <typename T>
T __ldg(const T* p) {
  emulation::check_alignment(p, alignof(T));
  return *p;
}

template <typename T>
T __shfl_sync(unsigned, T value, int lane) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  uint64_t given = 0;
  std::memcpy(&given, &value, sizeof(T));
  const uint64_t taken = emulation::machine.exchange(given, static_cast<unsigned>(lane) % 32);
  std::memcpy(&value, &taken, sizeof(T));
  return value;
}

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lanes) {
  return __shfl_sync(mask, value, static_cast<int>(threadIdx.x % 32) ^ lanes);
}

inline unsigned __ballot_sync(unsigned mask, bool vote) {
  unsigned votes = vote ? 1u << threadIdx.x % 32 : 0;
  for (int lanes = 1; lanes < 32; lanes *= 2) votes |= __shfl_xor_sync(mask, votes, lanes);
  return votes;
}

inline int __ffs(int bits) { return __builtin_ffs(bits); }

template <typename T, typename F>
T emulated_reduce(unsigned mask, T value, F combine) {
  for (int lanes = 16; lanes > 0; lanes /= 2) value = combine(value, __shfl_xor_sync(mask, value, lanes));
  return value;
}
inline int __reduce_max_sync(unsigned mask, int v) { return emulated_reduce(mask, v, [](int a, int b) { return std::max(a, b); }); }
inline int __reduce_min_sync(unsigned mask, int v) { return emulated_reduce(mask, v, [](int a, int b) { return std::min(a, b); }); }
inline int __float_as_int(float x) { int i; std::memcpy(&i, &x, 4); return i; }
inline float __int_as_float(int x) { float i; std::memcpy(&i, &x, 4); return i; }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(uint64_t{a} * b >> 32); }
