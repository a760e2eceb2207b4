// SPDX-License-Identifier: Apache-2.0
// Small kernels, each of which can be given one fault, to show that the emulator finds it. Each
// writes to out[i] the `expected` value where it has none. `tests/test_emulator.py` calls `run`.
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda_on_cpu.h"

namespace {

constexpr unsigned kAllLanes = 0xffffffff;
constexpr int kThreads = 64, kBlocks = 3, kWarp = 32;

float* tile() { return reinterpret_cast<float*>(emulation::shared_memory()); }

// Another thread's value, by way of shared memory.
__global__ void block_barrier(float* out, bool fault) {
  const int i = threadIdx.x;
  tile()[i] = static_cast<float>(i);
  if (!fault) __syncthreads();
  out[blockIdx.x * kThreads + i] = tile()[kThreads - 1 - i];
}

// The same tile once more, before all have read it.
__global__ void barrier_before_reuse(float* out, bool fault) {
  const int i = threadIdx.x;
  tile()[i] = static_cast<float>(i);
  __syncthreads();
  const float taken = tile()[kThreads - 1 - i];
  if (!fault) __syncthreads();
  tile()[i] = -1;
  out[blockIdx.x * kThreads + i] = taken;
}

// Lanes take what lane 0 of their warp stored before a shuffle, which does not order memory. The
// emulator's shuffle does wait: only the tracer sees the fault.
__global__ void warp_barrier(float* out, bool fault) {
  const int i = threadIdx.x, lane = i % kWarp, warp = i / kWarp;
  if (lane == 0) tile()[warp] = 5;
  const int zero = __shfl_sync(kAllLanes, lane, 0);
  if (!fault) __syncwarp();
  out[blockIdx.x * kThreads + i] = tile()[warp + zero] + static_cast<float>(kThreads - 6 - i);
}

// Half a warp meets; the other half does not.
__global__ void half_warp_barrier(float* out, bool fault) {
  const int i = threadIdx.x, lane = i % kWarp;
  const unsigned half = lane < kWarp / 2 ? 0x0000ffff : 0xffff0000;
  tile()[i] = static_cast<float>(i);
  __syncwarp(fault ? half : kAllLanes);
  const float other = tile()[i ^ (kWarp / 2)];
  out[blockIdx.x * kThreads + i] = static_cast<float>(kThreads - 1 - i) + other - (i ^ (kWarp / 2));
}

__device__ float sum_of_lanes(unsigned mask, float value) {
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) value += __shfl_xor_sync(mask, value, lanes);
  return value;
}

// Names half of the lanes that call.
__global__ void mask_too_small(float* out, bool fault) {
  const int i = threadIdx.x;
  const float sum = sum_of_lanes(fault ? 0x0000ffff : kAllLanes, 1);
  out[blockIdx.x * kThreads + i] = static_cast<float>(kThreads - 1 - i) + sum - kWarp;
}

// Names lanes that do not come.
__global__ void mask_too_large(float* out, bool fault) {
  const int i = threadIdx.x;
  int first = 0;
  if (i % kWarp < 8)
    first = __ffs(static_cast<int>(__ballot_sync(fault ? kAllLanes : 0xff, 1))) - 1;
  out[blockIdx.x * kThreads + i] = static_cast<float>(kThreads - 1 - i + first);
}

// Takes a value from a lane that gives none.
__global__ void lane_outside_mask(float* out, bool fault) {
  const int i = threadIdx.x;
  int taken = 0;
  if (i % kWarp < 8) taken = __shfl_sync(0xff, i % kWarp, fault ? 8 : 7) - 7;
  out[blockIdx.x * kThreads + i] = static_cast<float>(kThreads - 1 - i + taken);
}

// One lane is at another operation.
__global__ void operations_differ(float* out, bool fault) {
  const int i = threadIdx.x;
  int highest = kWarp - 1;
  if (fault && i % kWarp == 3)
    __syncwarp();
  else
    highest = __reduce_max_sync(kAllLanes, i % kWarp);
  out[blockIdx.x * kThreads + i] = static_cast<float>(kThreads - 1 - i + highest - (kWarp - 1));
}

// Half of the warp means itself, the other half all.
__global__ void masks_differ(float* out, bool fault) {
  const int i = threadIdx.x, lane = i % kWarp;
  const int any = __any_sync(fault && lane < kWarp / 2 ? 0x0000ffff : kAllLanes, lane == 20);
  out[blockIdx.x * kThreads + i] = static_cast<float>(kThreads - i - any);
}

// A thread returns, for which the others then wait.
__global__ void thread_that_returns(float* out, bool fault) {
  const int i = threadIdx.x;
  out[blockIdx.x * kThreads + i] = static_cast<float>(kThreads - 1 - i);
  if (fault && i == 40) return;
  __syncthreads();
}

// One more pixel than the tile has.
__global__ void read_beyond_tile(float* out, bool fault) {
  const int i = threadIdx.x;
  tile()[i] = static_cast<float>(i);
  __syncthreads();
  out[blockIdx.x * kThreads + i] = tile()[fault ? kThreads - i : kThreads - 1 - i];
}

__global__ void write_beyond_tile(float* out, bool fault) {
  const int i = threadIdx.x;
  tile()[fault ? i + 1 : i] = static_cast<float>(i);
  out[blockIdx.x * kThreads + i] = static_cast<float>(kThreads - 1 - i);
}

// A vector that begins one element late. Plain pointers: only the tracer sees the fault.
__global__ void misaligned_vector(float* out, bool fault) {
  const int i = threadIdx.x;
  tile()[i] = static_cast<float>(i);
  __syncthreads();
  if (i == 0) {
    const float4 four = *reinterpret_cast<const float4*>(tile() + (fault ? 5 : 4));
    tile()[0] = four.x - 4 - (fault ? 1 : 0);
  }
  out[blockIdx.x * kThreads + i] = static_cast<float>(kThreads - 1 - i);
}

__global__ void misaligned_load(float* out, bool fault) {
  const int i = threadIdx.x;
  tile()[i] = static_cast<float>(i);
  __syncthreads();
  const float* at = tile() + (fault ? 5 : 4);
  __ldg(reinterpret_cast<const float4*>(at));
  out[blockIdx.x * kThreads + i] = static_cast<float>(kThreads - 1 - i);
}

// What the block before has left.
__global__ void stale_shared_memory(float* out, bool fault) {
  const int i = threadIdx.x;
  if (!fault || blockIdx.x == 0) tile()[i] = static_cast<float>(kThreads - 1 - i);
  out[blockIdx.x * kThreads + i] = tile()[i];
}

// Every block writes the same words.
__global__ void blocks_share_a_word(float* out, bool fault) {
  const int i = threadIdx.x;
  out[blockIdx.x * kThreads + i] = static_cast<float>(kThreads - 1 - i);
  if (fault && i == 0) out[kBlocks * kThreads] = 1;
}

// Neighboring threads take values a row of 32 apart, all from one bank.
__global__ void bank_conflict(float* out, bool fault) {
  const int i = threadIdx.x, row = fault ? 32 : 33;
  tile()[i % kWarp * row + i / kWarp] = static_cast<float>(kThreads - 1 - i);
  out[blockIdx.x * kThreads + i] = tile()[i % kWarp * row + i / kWarp];
}

// The same by vectors, of which a quarter of a warp's are served at a time.
__global__ void bank_conflict_of_vectors(float* out, bool fault) {
  const int i = threadIdx.x;
  float4* at = reinterpret_cast<float4*>(tile()) + (fault ? 2 * i : i);
  const float value = static_cast<float>(kThreads - 1 - i);
  *at = make_float4(value, 0, 0, 0);
  const float4 taken = *at;
  out[blockIdx.x * kThreads + i] = taken.x + taken.w;
}

__global__ void no_fault(float* out, bool) {
  out[blockIdx.x * kThreads + threadIdx.x] = static_cast<float>(kThreads - 1 - threadIdx.x);
}

struct Large {
  char bytes[4096 - 16];
};
struct TooLarge {
  char bytes[4096];
};
__global__ void large_parameters(float* out, bool fault, Large) { no_fault(out, fault); }
__global__ void too_large_parameters(float* out, bool fault, TooLarge) { no_fault(out, fault); }

struct Fault {
  const char* name;
  void (*kernel)(float*, bool);
  int64_t shared_bytes;
};

const Fault kFaults[] = {
    {"block_barrier", block_barrier, kThreads * sizeof(float)},
    {"barrier_before_reuse", barrier_before_reuse, kThreads * sizeof(float)},
    {"warp_barrier", warp_barrier, kThreads * sizeof(float)},
    {"half_warp_barrier", half_warp_barrier, kThreads * sizeof(float)},
    {"mask_too_small", mask_too_small, 0},
    {"mask_too_large", mask_too_large, 0},
    {"lane_outside_mask", lane_outside_mask, 0},
    {"operations_differ", operations_differ, 0},
    {"masks_differ", masks_differ, 0},
    {"thread_that_returns", thread_that_returns, 0},
    {"read_beyond_tile", read_beyond_tile, kThreads * sizeof(float)},
    {"write_beyond_tile", write_beyond_tile, kThreads * sizeof(float)},
    {"misaligned_vector", misaligned_vector, kThreads * sizeof(float)},
    {"misaligned_load", misaligned_load, kThreads * sizeof(float)},
    {"stale_shared_memory", stale_shared_memory, kThreads * sizeof(float)},
    {"blocks_share_a_word", blocks_share_a_word, 0},
    {"bank_conflict", bank_conflict, 33 * kWarp * sizeof(float)},
    {"bank_conflict_of_vectors", bank_conflict_of_vectors, 2 * kThreads * sizeof(float4)},
};

// Faults of the launch itself.
void launch_beyond_limits(const std::string& name, float* out, bool fault) {
  emulation::Launch launch{name.c_str(), kBlocks, kThreads};
  if (name == "shared_memory" || name == "shared_memory_not_allowed") {
    const bool too_much = name == "shared_memory" && fault,
               allowed = name == "shared_memory" || !fault;
    launch.shared_bytes = emulation::most_shared() + (too_much ? 16 : 0);
    emulation::allow_shared(reinterpret_cast<const void*>(no_fault),
                            allowed ? emulation::most_shared() : emulation::kPlainShared);
  } else if (name == "launch_bound") {
    launch.bound = fault ? kThreads - 32 : kThreads;
  } else if (name == "part_of_a_warp") {
    launch.threads = fault ? kThreads - 1 : kThreads;
  } else if (name == "threads") {
    launch.threads = fault ? 1024 + 32 : kThreads;
    launch.bound = 2048;
  } else if (name == "blocks") {
    launch.blocks = fault ? int64_t{1} << 31 : kBlocks;
  } else if (name == "parameters") {
    if (fault) return emulation::launch(launch, too_large_parameters, out, fault, TooLarge{});
    return emulation::launch(launch, large_parameters, out, fault, Large{});
  } else {
    throw std::invalid_argument("no fault is called " + name);
  }
  emulation::launch(launch, no_fault, out, fault);
}

void launch_fault(const std::string& name, float* out, bool fault) {
  for (const Fault& known : kFaults)
    if (name == known.name)
      return emulation::launch({known.name, kBlocks, kThreads, known.shared_bytes}, known.kernel,
                               out, fault);
  launch_beyond_limits(name, out, fault);
}

std::string outcome(const std::string& name, bool fault) {
  std::vector<float> out(kBlocks * kThreads + 1, -1);
  try {
    launch_fault(name, out.data(), fault);
  } catch (const std::exception& error) {
    return error.what();
  }
  for (int i = 0; i < kBlocks * kThreads; ++i)
    if (!(out[i] == static_cast<float>(kThreads - 1 - i % kThreads)))
      return "a wrong result: " + std::to_string(out[i]) + " at " + std::to_string(i);
  return "";
}

}  // namespace

// Writes what the emulator finds into `found`: nothing if the launch ran and its result is right.
extern "C" __attribute__((visibility("default"))) void run(const char* name, int fault, char* found,
                                                           size_t size) {
  std::snprintf(found, size, "%s", outcome(name, fault != 0).c_str());
}
