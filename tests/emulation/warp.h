// SPDX-License-Identifier: Apache-2.0
// What the lanes of a warp do together. Only the lanes that a mask names take part. Each of them
// must come to the same operation with the same mask, and names itself; where one does not, the
// launch fails and says which lane waits for which. As strict with lanes that have returned: CUDA
// does without them, but no value can be had from them.
#pragma once
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace emulation {

constexpr unsigned kWarp = 32;

enum class Operation {
  sync,
  shuffle,
  shuffle_xor,
  shuffle_up,
  shuffle_down,
  ballot,
  any,
  all,
  add,
  min,
  max,
  bit_and,
  bit_or,
  bit_xor,
};

// What a lane brings to an operation, and what it takes from it.
struct Call {
  Operation operation;
  unsigned mask;
  uint64_t given;
  unsigned source;  // the lane whose value a shuffle takes
  bool is_signed;   // of a reduction
  uint64_t taken;
};

// Gives and takes, together with the other lanes of the mask.
uint64_t together(const Call& call);

unsigned lane();

template <typename T>
T shuffle(Operation operation, unsigned mask, T value, unsigned source) {
  static_assert(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8),
                "CUDA shuffles numbers of 4 and 8 bytes");
  Call call{operation, mask, 0, source, false, 0};
  std::memcpy(&call.given, &value, sizeof(T));
  const uint64_t taken = together(call);
  std::memcpy(&value, &taken, sizeof(T));
  return value;
}

template <typename T>
T reduce(Operation operation, unsigned mask, T value) {
  static_assert(std::is_integral_v<T> && sizeof(T) == 4, "CUDA reduces int and unsigned");
  const uint64_t given = static_cast<uint32_t>(value);
  return static_cast<T>(together({operation, mask, given, 0, std::is_signed_v<T>, 0}));
}

inline uint64_t vote(Operation operation, unsigned mask, bool given) {
  return together({operation, mask, given, 0, false, 0});
}

struct Thread;

// Called when no lane of the warp can run: completes the operations whose lanes have all come.
// Returns whether there were any; throws where lanes wait that wait in vain.
bool complete_operations(Thread* warp);

}  // namespace emulation

inline void __syncwarp(unsigned mask = 0xffffffff) {
  emulation::together({emulation::Operation::sync, mask, 0, 0, false, 0});
}

template <typename T>
T __shfl_sync(unsigned mask, T value, int source) {
  const unsigned from = static_cast<unsigned>(source) % emulation::kWarp;
  return emulation::shuffle(emulation::Operation::shuffle, mask, value, from);
}

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits) {
  const unsigned from = (emulation::lane() ^ static_cast<unsigned>(bits)) % emulation::kWarp;
  return emulation::shuffle(emulation::Operation::shuffle_xor, mask, value, from);
}

// A lane that would take from beyond the warp takes its own value.
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta) {
  const unsigned own = emulation::lane(), from = own >= delta ? own - delta : own;
  return emulation::shuffle(emulation::Operation::shuffle_up, mask, value, from);
}

template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta) {
  const unsigned own = emulation::lane(), from = own + delta < emulation::kWarp ? own + delta : own;
  return emulation::shuffle(emulation::Operation::shuffle_down, mask, value, from);
}

inline unsigned __ballot_sync(unsigned mask, int vote) {
  return static_cast<unsigned>(emulation::vote(emulation::Operation::ballot, mask, vote != 0));
}

inline int __any_sync(unsigned mask, int vote) {
  return static_cast<int>(emulation::vote(emulation::Operation::any, mask, vote != 0));
}

inline int __all_sync(unsigned mask, int vote) {
  return static_cast<int>(emulation::vote(emulation::Operation::all, mask, vote != 0));
}

#define EMULATED_REDUCTION(name, operation)                                 \
  template <typename T>                                                     \
  T __reduce_##name##_sync(unsigned mask, T value) {                        \
    return emulation::reduce(emulation::Operation::operation, mask, value); \
  }
EMULATED_REDUCTION(add, add)
EMULATED_REDUCTION(min, min)
EMULATED_REDUCTION(max, max)
EMULATED_REDUCTION(and, bit_and)
EMULATED_REDUCTION(or, bit_or)
EMULATED_REDUCTION(xor, bit_xor)
#undef EMULATED_REDUCTION

// The lanes that happen to run together: nobody but the one that asks, which CUDA also allows.
inline unsigned __activemask() { return 1u << emulation::lane(); }
