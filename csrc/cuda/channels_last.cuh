// SPDX-License-Identifier: Apache-2.0
// Heatmaps whose joints lie side by side in memory (channels-last), read in the order in which they
// lie: a block takes a person, or some of its joints, row after row. The packs that a thread
// reads stand below each other, so that each of their N elements stays with one joint and one
// column. What the thread has made of them is an entry in shared memory, and a warp collects the
// entries of a joint.
#pragma once
#include "block.cuh"
#include "pack.cuh"

namespace dark {

constexpr int64_t kBlocksToFill = 128;  // a large GPU's multiprocessors, about
constexpr int64_t kSectorBytes = 32;    // the least that a GPU reads

struct RowShare {
  int all, width, height;  // joints, of a person
  int stride;              // from row to row, in elements
  int joints, parts;       // a block takes so many joints of a person, so many blocks take it
  int packs;               // of the block's part of a row
  int at_once;             // of these, how many the block reads at once
  int rows;                // how many rows it reads at once
  int person = 0, first_joint = 0;

  int threads() const { return static_cast<int>(ceil_div(at_once * rows, kWarp)) * kWarp; }

  // The same for this block: its person, and its joints, of which the last part may have fewer.
  __device__ RowShare of_block(int elements_of_pack) const {
    RowShare s = *this;
    const unsigned block = blockIdx.x, blocks = parts;
    s.person = static_cast<int>(block / blocks);
    s.first_joint = static_cast<int>(block % blocks) * joints;
    s.joints = min(joints, all - s.first_joint);
    s.packs = width * s.joints / elements_of_pack;
    return s;
  }
};

// Whether `maps` are such; then a person's rows are W x K elements each.
inline bool channels_last(const Maps& maps) {
  return maps.joints > 1 && maps.joints <= kMaxJoints && maps.stride_joint == 1 &&
         maps.stride_column == maps.joints && maps.stride_row <= INT32_MAX / maps.height;
}

// How many joints a block takes: all of a person's, or whole sectors of them where the persons are
// too few to fill a GPU or the joints too many for `most_bytes` of shared memory. 0 if none fits.
template <typename T>
int64_t joints_of_block(const Maps& maps, int64_t bytes_of_joint, int64_t most_bytes) {
  const int64_t sector = kSectorBytes / sizeof(T), fitting = most_bytes / bytes_of_joint;
  const int64_t share = ceil_div(ceil_div(maps.count, kBlocksToFill), sector) * sector;
  if (maps.joints <= std::min(share, fitting)) return maps.joints;
  return std::min(share, fitting / sector * sector);
}

// Whether a block's part of each row is whole packs, `joints` of each pixel.
template <typename T>
bool rows_of_packs(const T* heatmaps, const Maps& maps, int64_t joints) {
  const int64_t in_one_piece = joints == maps.joints ? maps.width * joints : maps.joints;
  return packs_begin_at(heatmaps, {maps.stride_person, maps.stride_row, in_one_piece});
}

inline RowShare share_rows(const Maps& maps, int64_t joints, int elements_of_pack,
                           int64_t most_threads) {
  RowShare s;
  s.all = static_cast<int>(maps.joints);
  s.width = static_cast<int>(maps.width);
  s.height = static_cast<int>(maps.height);
  s.stride = static_cast<int>(maps.stride_row);
  s.joints = static_cast<int>(joints);
  s.parts = static_cast<int>(ceil_div(maps.joints, joints));
  s.packs = s.width * s.joints / elements_of_pack;
  s.at_once = static_cast<int>(ceil_div(s.packs, ceil_div(s.packs, most_threads)));
  s.rows = static_cast<int>(std::min<int64_t>(s.height, most_threads / s.at_once));
  return s;
}

// The thread's place among the packs that begin at pack `first` of the rows.
struct Place {
  bool active;
  int row;      // the first of its rows
  int element;  // of each of its rows' parts, where its pack begins
  int offset;   // of the pack in memory, from the row's beginning

  __device__ Place(const RowShare& s, int first, int elements_of_pack) {
    const unsigned thread = threadIdx.x, at_once = s.at_once;
    const int pack = first + static_cast<int>(thread % at_once);
    row = static_cast<int>(thread / at_once);
    active = row < s.rows && pack < s.packs;
    element = pack * elements_of_pack;
    offset = x(s, 0) * s.all + s.first_joint + joint(s, 0);
  }
  // Element i of the pack belongs to this one of the block's joints, and to this column.
  __device__ int joint(const RowShare& s, int i) const {
    return static_cast<int>(static_cast<unsigned>(element + i) % static_cast<unsigned>(s.joints));
  }
  __device__ int x(const RowShare& s, int i) const {
    return static_cast<int>(static_cast<unsigned>(element + i) / static_cast<unsigned>(s.joints));
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
  const int last = first + s.at_once < s.packs ? first + s.at_once : s.packs;
  const int begin = first * N, end = last * N;
  const int element = begin + (joint + s.joints - begin % s.joints) % s.joints;  // its first one
  const int count = (end - element + s.joints - 1) / s.joints;  // in each row; negative never
  for (int row = 0; row < s.rows; ++row)
    for (int nth = whole_block().lane(); nth < count; nth += kWarp)
      f(row * s.at_once * N + element - begin + nth * s.joints);
}

}  // namespace dark
