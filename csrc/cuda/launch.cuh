// SPDX-License-Identifier: Apache-2.0
// How kernels start: on the device of their tensors, in torch's current stream, with the launch
// checked. Under DARK_EMULATED the same call runs the kernel's source on the CPU.
#pragma once
#include <algorithm>

#include "../checks.h"
#include "../common.h"

#ifdef DARK_EMULATED
#include "cuda_on_cpu.h"
#else
#include <cuda_runtime.h>
#include <dlfcn.h>

// Exported by libtorch_cuda. Weak, so that the same library also loads under a CPU-only torch.
extern "C" __attribute__((weak)) AOTITorchError aoti_torch_get_current_cuda_stream(int32_t device,
                                                                                   void** stream);
#endif

namespace dark {

constexpr int kThreads = 128;  // of a block: one of them works on one map at a time

#ifdef DARK_EMULATED
constexpr int64_t kMaxBlocks = 5;  // few, so that tests see blocks that work on several maps
#else
constexpr int64_t kMaxBlocks = INT32_MAX;  // of a grid in x
#endif

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

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

// Runs kernel(arguments...) with a block of kThreads for each of `maps` maps, on the device of
// `on`. Where there are more maps than blocks the kernel strides on by gridDim.x.
template <typename Kernel, typename... Arguments>
void launch(const char* op, const Tensor& on, int64_t maps, Kernel kernel,
            const Arguments&... arguments) {
  if (maps == 0) return;
  const unsigned blocks = static_cast<unsigned>(std::min(maps, kMaxBlocks));
#ifdef DARK_EMULATED
  require(on.is_cpu(), op, ": the emulated kernels serve CPU tensors");
  emulation::run(blocks, kThreads, [&] { kernel(arguments...); });
#else
  const int32_t device = on.get_device_index();
  const torch::stable::accelerator::DeviceGuard guard(device);
  kernel<<<blocks, kThreads, 0, current_stream(device)>>>(arguments...);
  const cudaError_t error = cudaGetLastError();
  require(error == cudaSuccess, op,
          ": CUDA did not launch the kernel: ", cudaGetErrorString(error));
#endif
}

}  // namespace dark
