// SPDX-License-Identifier: Apache-2.0
// Heatmaps whose joints lie side by side in memory (channels-last), read in the order in which they
// lie: a block takes a person, row after row. The vectors that a thread reads stand below each
// other, so that each of their N elements stays with one joint and one column. What the thread has
// made of them is an entry in shared memory, and a warp collects the entries of a joint.
#pragma once
#include "block.cuh"
#include "vector.cuh"

namespace dark {

struct RowShare {
  int joints, width, height;
  int stride;   // from row to row, in elements
  int vectors;  // of a row
  int at_once;  // of these, how many the block reads at once
  int rows;     // how many rows it reads at once

  int threads() const { return static_cast<int>(ceil_div(at_once * rows, kWarp)) * kWarp; }
};

// Whether `maps` are such; then a person's rows are W x K elements each.
inline bool channels_last(const Maps& maps) {
  return maps.joints > 1 && maps.joints <= kMaxJoints && maps.stride_joint == 1 &&
         maps.stride_column == maps.joints && maps.stride_row <= INT32_MAX / maps.height;
}

template <typename T>
bool rows_of_vectors(const T* heatmaps, const Maps& maps) {
  return vectors_begin_at(heatmaps, {maps.stride_person, maps.stride_row}) &&
         maps.width * maps.joints % kVector<T> == 0;
}

inline RowShare share_rows(const Maps& maps, int elements_of_vector, int most_threads) {
  RowShare s;
  s.joints = static_cast<int>(maps.joints);
  s.width = static_cast<int>(maps.width);
  s.height = static_cast<int>(maps.height);
  s.stride = static_cast<int>(maps.stride_row);
  s.vectors = s.width * s.joints / elements_of_vector;
  s.at_once = static_cast<int>(ceil_div(s.vectors, ceil_div(s.vectors, most_threads)));
  s.rows = std::min(s.height, most_threads / s.at_once);
  return s;
}

// The thread's place among the vectors that begin at vector `first` of the rows.
struct Place {
  bool active;
  int row;      // the first of its rows
  int element;  // of each of its rows, where its vector begins

  __device__ Place(const RowShare& s, int first, int elements_of_vector) {
    const int thread = static_cast<int>(threadIdx.x), vector = first + thread % s.at_once;
    row = thread / s.at_once;
    active = row < s.rows && vector < s.vectors;
    element = vector * elements_of_vector;
  }
};

// What the threads of a block have found, in shared memory. After every 128 bytes there is a gap as
// wide as an entry: else the entries of a joint, read together, would lie in one bank where their
// number is a power of two, and so would what neighboring threads write at once.
template <typename Entry>
struct Entries {
  static constexpr unsigned kLine = 128 / sizeof(Entry);
  Entry* begin;

  explicit __device__ Entries(void* memory) : begin(static_cast<Entry*>(memory)) {}
  __device__ Entry& at(unsigned i) const { return begin[i + i / kLine]; }
  static int64_t bytes(int64_t count) { return (count + ceil_div(count, kLine)) * sizeof(Entry); }
};

// Calls f(entry) for the entries that belong to `joint`, by a warp: entry i of thread t is number
// t N + i.
template <int N, typename F>
__device__ void for_each_entry(const RowShare& s, int first, int joint, F&& f) {
  const int last = first + s.at_once < s.vectors ? first + s.at_once : s.vectors;
  const int begin = first * N, end = last * N;
  const int element = begin + (joint + s.joints - begin % s.joints) % s.joints;  // its first one
  const int count = (end - element + s.joints - 1) / s.joints;  // in each row; negative never
  for (int row = 0; row < s.rows; ++row)
    for (int nth = whole_block().lane(); nth < count; nth += kWarp)
      f(row * s.at_once * N + element - begin + nth * s.joints);
}

}  // namespace dark
