// SPDX-License-Identifier: Apache-2.0
// Targets for heatmaps whose joints lie side by side in memory (channels-last), which are read and
// written in the order in which they lie: a vector holds several joints of one pixel.
#pragma once
#include <vector>

#include "factors.h"
#include "reading.h"

namespace dark {

// Whether maps are such, with at least a vector of joints.
template <typename A>
bool channels_last(const Maps& maps) {
  return maps.stride_joint == 1 && maps.joints >= kLanes<A>;
}

// The factors of some joints of one person, position by position and joint by joint:
// g(x, y) of joint k is rows[y][k] columns[x][k]. Joints without weight have zeros.
template <typename A>
class JointFactors {
 public:
  explicit JointFactors(const TargetRule& rule) : factors_(rule), rule_(rule) {}

  // Maps `first` to first + count.
  void set(const TargetReader<A>& targets, int64_t first, int64_t count) {
    columns_.assign(rule_.width * count, A(0));
    rows_.assign(rule_.height * count, A(0));
    weights_.resize(count);
    for (int64_t k = 0; k < count; ++k) {
      const Target<A> target = targets(first + k);
      weights_[k] = target.weight;
      if (target.weight == A(0)) continue;
      factors_.center_on(target.center);
      for (int64_t x = 0; x < rule_.width; ++x) columns_[x * count + k] = factors_.columns()[x];
      for (int64_t y = 0; y < rule_.height; ++y) rows_[y * count + k] = factors_.rows()[y];
    }
  }
  const A* columns() const { return columns_.data(); }  // [W, count]
  const A* rows() const { return rows_.data(); }        // [H, count]
  const A* weights() const { return weights_.data(); }  // [count]

 private:
  Factors<A> factors_;
  TargetRule rule_;
  std::vector<A> columns_, rows_, weights_;
};

// A person's joints in about equal parts, each of which may have a thread. How they are parted
// changes no bit.
struct JointParts {
  static constexpr int64_t kJoints = 64;
  int64_t joints, parts;

  explicit JointParts(int64_t joints_)
      : joints(joints_), parts((joints_ + kJoints - 1) / kJoints) {}

  int64_t begin(int64_t part) const { return joints * part / parts; }

  // Calls f(person, first joint, how many) for parts `first` to `end` of all people, what is one
  // person's at once.
  template <typename F>
  void each_person(int64_t first, int64_t end, F&& f) const {
    for (int64_t next; first < end; first = next) {
      const int64_t person = first / parts, before = person * parts;
      next = std::min(end, before + parts);
      f(person, begin(first - before), begin(next - before) - begin(first - before));
    }
  }
};

// Some vectors of the joints of a pixel. The very last of a pixel may begin within the one before
// it: what is computed twice is the same.
template <int kVectors, typename A>
struct Group {
  static constexpr int count = kVectors;
  int64_t first, last;  // where the first and the last vector begin

  DARK_INLINE int64_t at(int v) const { return v == kVectors - 1 ? last : first + v * kLanes<A>; }
  // Where something is kept for each of the vectors, not for each joint.
  DARK_INLINE int64_t slot(int v) const { return first + v * kLanes<A>; }

  DARK_INLINE void load(const A* from, Vector<A> (&vectors)[kVectors]) const {
    for (int v = 0; v < kVectors; ++v) vectors[v] = read(from + at(v));
  }
};

// Calls f(group) until `joints`, at least a vector of them, are done.
template <typename A, typename F>
DARK_INLINE void each_group(int64_t joints, F&& f) {
  constexpr int64_t n = kLanes<A>, most = 4 * n;
  int64_t k = 0;
  for (; k + most <= joints; k += most) f(Group<4, A>{k, k + most - n});
  const int64_t last = joints - n, vectors = (joints - k + n - 1) / n;
  if (vectors == 4) f(Group<4, A>{k, last});
  if (vectors == 3) f(Group<3, A>{k, last});
  if (vectors == 2) f(Group<2, A>{k, last});
  if (vectors == 1) f(Group<1, A>{k, last});
}

// How many pixels are done for one group of joints before the next group. The only group's factors
// of a row stay in registers all along it. With more groups a row is walked pixel by pixel: from
// memory, 133 joints take half of the time that they take group by group.
template <typename A>
DARK_INLINE int64_t pixels_at_once(int64_t joints, int64_t width) {
  return joints <= 4 * kLanes<A> ? width : 1;
}

// A group's p - g of some pixels of a row: f(difference, index of the vector, pixel).
template <typename T, typename A, int kVectors, typename F>
DARK_INLINE void each_difference(const Group<kVectors, A>& group, const T* p, int64_t step,
                                 int64_t pixels, const A* columns, const A* rows, int64_t count,
                                 F&& f) {
  Vector<A> row[kVectors];
  group.load(rows, row);
  for (int64_t x = 0; x < pixels; ++x, p += step, columns += count)
    for (int v = 0; v < kVectors; ++v)
      f(read(p + group.at(v)) - row[v] * read(columns + group.at(v)), v, x);
}

// The sums of (p - g)^2 over the maps of `count` joints. A row's are added before they are added to
// the map's: sums of few values are more exact. `of_row` and `of_map` have room for whole vectors.
template <typename T, typename A>
DARK_MULTIVERSION static void squared_distances(const T* p, const Maps& maps, const A* columns,
                                                const A* rows, int64_t count, A* of_row, A* of_map,
                                                A* sums) {
  constexpr int64_t n = kLanes<A>;
  const int64_t step = maps.stride_column, width = maps.width, height = maps.height;
  const int64_t row_step = maps.stride_row, tile = pixels_at_once<A>(count, width);
  const int64_t slots = (count + n - 1) / n * n;
  std::fill_n(of_map, slots, A(0));
  for (int64_t y = 0; y < height; ++y, p += row_step, rows += count) {
    std::fill_n(of_row, slots, A(0));
    for (int64_t x = 0; x < width; x += tile)
      each_group<A>(count, [&](auto group) DARK_LAMBDA {
        Vector<A> total[group.count];
        for (int v = 0; v < group.count; ++v) total[v] = read(of_row + group.slot(v));
        each_difference(group, p + x * step, step, std::min(tile, width - x), columns + x * count,
                        rows, count,
                        [&](const Vector<A>& d, int v, int64_t) DARK_LAMBDA { total[v] += d * d; });
        for (int v = 0; v < group.count; ++v) store(of_row + group.slot(v), total[v]);
      });
    for (int64_t i = 0; i < slots; i += n) store(of_map + i, read(of_map + i) + read(of_row + i));
  }
  for (int64_t i = 0; i < slots; i += n) store(sums + std::min(i, count - n), read(of_map + i));
}

// scale (p - g) over the maps of `count` joints, 0 where the weight is.
template <typename T, typename A>
DARK_MULTIVERSION static void scaled_differences(const T* p, const Maps& maps, const A* columns,
                                                 const A* rows, const A* scales, const A* weights,
                                                 int64_t count, T* out, const Maps& out_maps) {
  const int64_t step = maps.stride_column, width = maps.width, height = maps.height;
  const int64_t row_step = maps.stride_row, tile = pixels_at_once<A>(count, width);
  const int64_t out_step = out_maps.stride_column, out_row_step = out_maps.stride_row;
  for (int64_t y = 0; y < height; ++y, p += row_step, rows += count, out += out_row_step)
    for (int64_t x = 0; x < width; x += tile)
      each_group<A>(count, [&](auto group) DARK_LAMBDA {
        Vector<A> scale[group.count], weight[group.count];
        group.load(scales, scale);
        group.load(weights, weight);
        T* to = out + x * out_step;
        each_difference(group, p + x * step, step, std::min(tile, width - x), columns + x * count,
                        rows, count, [&](const Vector<A>& d, int v, int64_t pixel) DARK_LAMBDA {
                          const Vector<A> scaled = scale[v] * d;
                          write(to + pixel * out_step + group.at(v),
                                weight[v] != A(0) ? scaled : Vector<A>{});
                        });
      });
}

}  // namespace dark
