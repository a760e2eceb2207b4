// SPDX-License-Identifier: Apache-2.0
// How kernels start: on the device of their tensors, in torch's current stream, with the launch
// checked. Under DARK_EMULATED the same call runs the kernel's source on the CPU.
#pragma once
#include <algorithm>

#include "../checks.h"
#include "../common.h"

#ifdef DARK_EMULATED
#include "cuda_on_cpu.h"
#define DARK_UNROLL(times)
#else
#include <cuda_runtime.h>
#include <dlfcn.h>

#define DARK_PRAGMA(text) _Pragma(#text)
// Also what keeps an array that the loop indexes in registers.
#define DARK_UNROLL(times) DARK_PRAGMA(unroll times)

// Exported by libtorch_cuda. Weak, so that the same library also loads under a CPU-only torch.
extern "C" __attribute__((weak)) AOTITorchError aoti_torch_get_current_cuda_stream(int32_t device,
                                                                                   void** stream);
#endif

namespace dark {

constexpr int kWarp = 32;
constexpr int kMaxThreads = 1024;           // of a block
constexpr int64_t kPlainShared = 48 << 10;  // bytes that every block may have without asking
constexpr int64_t kMaxParameters = 4096;    // bytes

DARK_SHARED constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

#ifndef DARK_EMULATED
inline cudaStream_t current_stream(int32_t device) {
  static const auto get = [] {
    decltype(&aoti_torch_get_current_cuda_stream) found = aoti_torch_get_current_cuda_stream;
    // The weak symbol stays null if this library was linked without libtorch.
    if (found != nullptr) return found;
    void* torch_cuda = dlopen("libtorch_cuda.so", RTLD_NOLOAD | RTLD_NOW);
    if (torch_cuda != nullptr)
      found = reinterpret_cast<decltype(found)>(
          dlsym(torch_cuda, "aoti_torch_get_current_cuda_stream"));
    return found;
  }();
  void* stream = nullptr;
  const bool told = get != nullptr && get(device, &stream) == AOTI_TORCH_SUCCESS;
  require(told,
          "torch does not tell its current CUDA stream: aoti_torch_get_current_cuda_stream of "
          "libtorch_cuda.so is missing or failed");
  return static_cast<cudaStream_t>(stream);
}
#endif

// The kernels number maps, and the pixels of a map, in 32 bits.
inline void check_counts(const char* op, int64_t maps, int64_t pixels) {
  require(maps < 1 << 30 && pixels < 1 << 30, op,
          ": a GPU takes fewer than 2^30 maps of fewer than 2^30 pixels, got ", maps, " of ",
          pixels);
}

// The shared memory of the block. All of it is dynamic: what a kernel declared `__shared__` would
// count against the same limits, unseen by the launch.
template <typename V>
__device__ V* shared_memory() {
#ifdef DARK_EMULATED
  return reinterpret_cast<V*>(emulation::shared_memory());
#else
  extern __shared__ uint4 bytes[];
  return reinterpret_cast<V*>(bytes);
#endif
}

// The bytes of shared memory that one block can have on the device of `on`.
inline int64_t most_shared(const Tensor& on) {
#ifdef DARK_EMULATED
  (void)on;
  return emulation::most_shared();
#else
  int bytes = 0;
  cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, on.get_device_index());
  return bytes;
#endif
}

// How a kernel is launched.
struct Grid {
  int64_t blocks;            // fewer than 2^31, the most of a grid in x
  int threads;               // of a block, a multiple of kWarp
  int64_t shared_bytes = 0;  // of a block
};

// Runs kernel(arguments...) on the device of `on`. kBound is the kernel's launch bound, in threads.
template <int kBound, typename Kernel, typename... Arguments>
void launch(const char* op, const Tensor& on, const Grid& grid, Kernel kernel,
            const Arguments&... arguments) {
  static_assert((sizeof(Arguments) + ... + 0) <= kMaxParameters);
  if (grid.blocks == 0) return;
#ifdef DARK_EMULATED
  require(on.is_cpu(), op, ": the emulated kernels serve CPU tensors");
  if (grid.shared_bytes > kPlainShared)
    emulation::allow_shared(reinterpret_cast<const void*>(kernel), most_shared(on));
  emulation::launch({op, grid.blocks, grid.threads, grid.shared_bytes, kBound}, kernel,
                    arguments...);
#else
  const unsigned blocks = static_cast<unsigned>(grid.blocks);
  const int32_t device = on.get_device_index();
  const torch::stable::accelerator::DeviceGuard guard(device);
  // torch's guard speaks to torch's CUDA runtime. This library has one of its own, whose notion of
  // the current device is a thread's, too: named here, it depends on nobody's.
  cudaSetDevice(device);
  // Always the most there is: of two host threads with launches of different size, the one's
  // setting could else come between the other's setting and launch. A refusal shows in the launch.
  if (grid.shared_bytes > kPlainShared)
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                         static_cast<int>(most_shared(on)));
  kernel<<<blocks, grid.threads, grid.shared_bytes, current_stream(device)>>>(arguments...);
  const cudaError_t error = cudaGetLastError();
  require(error == cudaSuccess, op,
          ": CUDA did not launch the kernel: ", cudaGetErrorString(error));
#endif
}

}  // namespace dark
