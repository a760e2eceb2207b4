// SPDX-License-Identifier: Apache-2.0
// Loops over contiguous values, compiled for several instruction sets of which the best is taken
// at load time.
#pragma once
#include <cstdint>

namespace dark {

// The highest of count values, -inf for none; NaN if one of them is.
float highest_of(const float* values, int64_t count);
double highest_of(const double* values, int64_t count);

// The lowest of count values, inf for none. Does not look for NaN.
float lowest_of(const float* values, int64_t count);
double lowest_of(const double* values, int64_t count);

// The first index holding `value`, or count.
int64_t first_index_of(float value, const float* values, int64_t count);
int64_t first_index_of(double value, const double* values, int64_t count);

// out[i] = sum over t of taps[t] * in[i + t * stride], in the order of the taps.
void convolve(const float* in, int64_t stride, const float* taps, int64_t taps_count, float* out,
              int64_t count);
void convolve(const double* in, int64_t stride, const double* taps, int64_t taps_count, double* out,
              int64_t count);

}  // namespace dark
