// SPDX-License-Identifier: Apache-2.0
// What a launch asks for, and what a GPU would grant. The environment variable
// DARKPOSE_EMULATED_SHARED says how much shared memory a block of the emulated GPU can have at
// most: 48, 64 (as a 7.5 has, the default), 99 (8.6, 8.9, 12.0), 163 (8.0) or 227 KB (9.0, 10.0).
#pragma once
#include <cstddef>
#include <cstdint>

namespace emulation {

constexpr int64_t kPlainShared = 48 << 10;  // bytes for a kernel that has not opted in to more
constexpr int kMostThreads = 1024;

struct Launch {
  const char* name;
  int64_t blocks;
  int threads;               // of a block
  int64_t shared_bytes = 0;  // dynamic; the emulator has no static shared memory
  int bound = kMostThreads;  // the threads that the kernel's __launch_bounds__ names
  const void* kernel = nullptr;
  size_t parameter_bytes = 0;
};

// Throws std::runtime_error where a GPU would refuse the launch, or the kernels' rules would: a
// block is a whole number of warps.
void check_limits(const Launch& launch);

// Bytes of shared memory that a block can have, after an opt-in.
int64_t most_shared();

// cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes). The last one
// counts.
void allow_shared(const void* kernel, int64_t bytes);

// The bytes of a kernel's parameters, each at its alignment.
template <typename... Parameters>
constexpr size_t parameter_bytes(void (*)(Parameters...)) {
  size_t bytes = 0;
  ((bytes = (bytes + alignof(Parameters) - 1) / alignof(Parameters) * alignof(Parameters) +
            sizeof(Parameters)),
   ...);
  return bytes;
}

}  // namespace emulation
