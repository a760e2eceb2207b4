// SPDX-License-Identifier: Apache-2.0
// Searches of contiguous values, compiled for several instruction sets of which the best is taken
// at load time.
#pragma once
#include <cstdint>

namespace dark {

// The highest of count values, -inf for none; NaN if one of them is.
float highest_of(const float* values, int64_t count);
double highest_of(const double* values, int64_t count);

// The first index holding `value`, or count.
int64_t first_index_of(float value, const float* values, int64_t count);
int64_t first_index_of(double value, const double* values, int64_t count);

}  // namespace dark
