// SPDX-License-Identifier: Apache-2.0
#include "launch.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>

namespace emulation {
namespace {

constexpr int64_t kMostParameterBytes = 4096;
constexpr int kWarpThreads = 32;

// Of every CPU thread: the attribute belongs to the kernel.
std::mutex allowed_mutex;
std::map<const void*, int64_t> allowed;

int64_t allowed_shared(const void* kernel) {
  const std::lock_guard<std::mutex> lock(allowed_mutex);
  const auto found = allowed.find(kernel);
  return found == allowed.end() ? kPlainShared : std::max(found->second, kPlainShared);
}

void require_within(const Launch& launch, int64_t asked, const std::string& what, int64_t limit,
                    const std::string& whose) {
  if (asked > limit)
    throw std::runtime_error(std::string(launch.name) + ": the launch asks for " +
                             std::to_string(asked) + " " + what + "; the limit is " +
                             std::to_string(limit) + " (" + whose + ")");
}

}  // namespace

int64_t most_shared() {
  const char* told = std::getenv("DARKPOSE_EMULATED_SHARED");
  const int kilobytes = told == nullptr ? 64 : std::atoi(told);
  constexpr int kKnown[] = {48, 64, 99, 163, 227};
  if (std::find(std::begin(kKnown), std::end(kKnown), kilobytes) == std::end(kKnown))
    throw std::runtime_error(
        std::string("DARKPOSE_EMULATED_SHARED must be 48, 64, 99, 163 or 227 (KB), got ") + told);
  return int64_t{kilobytes} << 10;
}

void allow_shared(const void* kernel, int64_t bytes) {
  if (bytes > most_shared())
    throw std::runtime_error("an opt-in to " + std::to_string(bytes) +
                             " bytes of shared memory; the limit is " +
                             std::to_string(most_shared()));
  const std::lock_guard<std::mutex> lock(allowed_mutex);
  allowed[kernel] = bytes;
}

void check_limits(const Launch& launch) {
  require_within(launch, launch.blocks, "blocks", INT32_MAX, "of a grid");
  require_within(launch, launch.threads, "threads", kMostThreads, "of a block");
  require_within(launch, launch.threads, "threads", launch.bound, "the kernel's launch bounds");
  if (launch.blocks <= 0 || launch.threads <= 0 || launch.threads % kWarpThreads != 0)
    throw std::runtime_error(std::string(launch.name) + ": the launch asks for " +
                             std::to_string(launch.blocks) + " blocks of " +
                             std::to_string(launch.threads) + " threads, not of whole warps");
  const std::string shared = "bytes of shared memory";
  require_within(launch, launch.shared_bytes, shared, most_shared(), "of a block");
  require_within(launch, launch.shared_bytes, shared, allowed_shared(launch.kernel),
                 "the kernel's opt-in");
  require_within(launch, static_cast<int64_t>(launch.parameter_bytes), "bytes of parameters",
                 kMostParameterBytes, "of a kernel");
}

}  // namespace emulation
