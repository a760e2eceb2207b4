// SPDX-License-Identifier: Apache-2.0
// A GPU rounds differently: its compiler contracts products and sums, and its exp and log are off
// by up to a unit in the last place. This build does the same, by -ffp-contract=fast and by these
// functions, which the linker puts in place of the C library's (--wrap): off by one unit, up or
// down by a hash of the argument. What passes the tests here has tolerances that hold on a GPU.
#include <cmath>
#include <cstdint>
#include <cstring>

#include "machine.h"

namespace {

template <typename V>
bool up(V argument) {
  uint64_t bits = 0;
  std::memcpy(&bits, &argument, sizeof argument);
  return (bits * 0x9e3779b97f4a7c15 >> 63) != 0;
}

// Where CUDA documents the result (exp(0), log(1), 0, infinity, NaN) or none is near, it is exact;
// so is the host's.
template <typename V>
V nudged(V argument, V value) {
  const bool exact = !std::isnormal(value) || argument == 0;
  if (exact || emulation::running() == nullptr) return value;
  return std::nextafter(value, up(argument) ? V(INFINITY) : -V(INFINITY));
}

}  // namespace

extern "C" {

float __real_expf(float x);
float __real_logf(float x);
double __real_exp(double x);
double __real_log(double x);

float __wrap_expf(float x) { return nudged(x, __real_expf(x)); }
float __wrap_logf(float x) { return nudged(x, __real_logf(x)); }
double __wrap_exp(double x) { return nudged(x, __real_exp(x)); }
double __wrap_log(double x) { return nudged(x, __real_log(x)); }
}
