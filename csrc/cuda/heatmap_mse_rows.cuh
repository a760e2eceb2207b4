// SPDX-License-Identifier: Apache-2.0
// heatmap_mse where the joints lie side by side in memory: a block reads the rows of a person. A
// thread's pixels keep their joint and column, so that of its targets only the row's factor
// changes.
#pragma once
#include "channels_last.cuh"
#include "factors.cuh"

namespace dark {

// At most: leaves 72 registers to each thread where two blocks share a multiprocessor.
constexpr int kRowsThreads = 448;
constexpr int kRowsInFlight = 4;  // packs a thread asks for before it looks at any

// What a block keeps of its person in shared memory; the entries stand behind it.
template <typename A>
struct PersonTargets {
  Target<A>* targets;  // [K]
  A* rows;             // [H, K]

  static DARK_SHARED int64_t bytes(int64_t joints, int64_t height) {
    const int64_t bytes = joints * (sizeof(Target<A>) + height * sizeof(A));
    return ceil_div(bytes, kPackBytes) * kPackBytes;
  }

  // To be called by the whole block.
  __device__ PersonTargets(const TargetReader<A>& t, const RowShare& s)
      : targets(shared_memory<Target<A>>()), rows(reinterpret_cast<A*>(targets + s.joints)) {
    const Team block = whole_block();
    for (int joint = block.rank; joint < s.joints; joint += block.size)
      targets[joint] = target_of(t, s.person, s.first_joint + joint);
    __syncthreads();
    for (Walk p(block, s.joints); p.y < s.height; p.next())
      rows[p.y * s.joints + p.x] = gaussian_factor(static_cast<A>(p.y), targets[p.x].center.y,
                                                   static_cast<A>(t.rule.sigma), t.rule.truncate);
    __syncthreads();
  }

  __device__ A column(const TargetRule& rule, int joint, int x) const {
    return gaussian_factor(static_cast<A>(x), targets[joint].center.x, static_cast<A>(rule.sigma),
                           rule.truncate);
  }

  static __device__ Entries<A> entries(const RowShare& s) {
    return Entries<A>(shared_memory<unsigned char>() + bytes(s.joints, s.height));
  }
};

// Calls use(y, p) for the kRowsInFlight packs p of rows y = top + k s.rows that are in the map.
template <int N, typename T, typename Use>
__device__ void for_each_row(const T* column, const RowShare& s, int top, Use&& use) {
  Pack<T, N> loaded[kRowsInFlight];
  DARK_UNROLL(kRowsInFlight)
  for (int k = 0; k < kRowsInFlight; ++k) {
    // Beyond the end the last row once more.
    loaded[k] = load<N>(column + min(top + k * s.rows, s.height - 1) * s.stride);
  }
  DARK_UNROLL(kRowsInFlight)
  for (int k = 0; k < kRowsInFlight; ++k)
    if (top + k * s.rows < s.height) use(top + k * s.rows, loaded[k]);
}

template <typename T, int N, typename A>
__global__ void __launch_bounds__(kRowsThreads, 2)
    heatmap_mse_rows_kernel(const RowShare share, int64_t stride_person,
                            const T* __restrict__ heatmaps, const TargetReader<A> t,
                            A* __restrict__ loss) {  // [B, K]
  const RowShare s = share.of_block(N);
  const Team block = whole_block();
  const PersonTargets<A> own(t, s);
  const Entries<A> entries = own.entries(s);
  const T* map = heatmaps + s.person * stride_person;
  for (int first = 0; first < s.packs; first += s.at_once) {
    const Place place(s, first, N);
    __syncthreads();  // until the entries before have been read
    if (place.active) {
      A column[N], sum[N];
      int joint[N];
      for (int i = 0; i < N; ++i) {
        joint[i] = place.joint(s, i);
        column[i] = own.column(t.rule, joint[i], place.x(s, i));
        sum[i] = 0;
      }
      for (int top = place.row; top < s.height; top += kRowsInFlight * s.rows) {
        for_each_row<N>(map + place.offset, s, top, [&](int y, const Pack<T, N>& p) {
          for (int i = 0; i < N; ++i) {
            const A g = own.rows[y * s.joints + joint[i]] * column[i];
            const A difference = static_cast<A>(p.at(i)) - g;
            sum[i] += difference * difference;
          }
        });
      }
      for (int i = 0; i < N; ++i) entries.at(block.rank * N + i) = sum[i];
    }
    __syncthreads();
    for (int joint = block.warp(); joint < s.joints; joint += block.warps()) {
      A sum = 0;
      for_each_entry<N>(s, first, joint, [&](int entry) { sum += entries.at(entry); });
      sum = sum_of_warp(sum);
      if (block.lane() != 0) continue;
      const A weight = own.targets[joint].weight;
      A& out = loss[s.person * s.all + s.first_joint + joint];
      const A part = A(0.5) * weight * weight * sum / static_cast<A>(t.rule.height * t.rule.width);
      out = (first == 0 ? A(0) : out) + (weight == A(0) ? A(0) : part);
    }
  }
}

// The gradient has the layout of the heatmaps: a pack is written where its like was read.
template <typename T, int N, typename A>
__global__ void __launch_bounds__(kRowsThreads, 2)
    heatmap_mse_backward_rows_kernel(const RowShare share, int64_t stride_person,
                                     const T* __restrict__ heatmaps, const TargetReader<A> t,
                                     const A* __restrict__ grad,  // [B, K]
                                     int64_t out_stride_person, int out_stride,
                                     T* __restrict__ out) {  // [B, H, W, K]
  const RowShare s = share.of_block(N);
  const int size = s.height * s.width;
  const PersonTargets<A> own(t, s);
  const T* map = heatmaps + s.person * stride_person;
  T* gradient = out + s.person * out_stride_person;
  for (int first = 0; first < s.packs; first += s.at_once) {
    const Place place(s, first, N);
    if (!place.active) continue;
    A column[N], scale[N];
    int joint[N];
    for (int i = 0; i < N; ++i) {
      joint[i] = place.joint(s, i);
      const A weight = own.targets[joint[i]].weight;
      column[i] = own.column(t.rule, joint[i], place.x(s, i));
      scale[i] = grad[s.person * s.all + s.first_joint + joint[i]] * weight * weight /
                 static_cast<A>(size);
      if (weight == A(0)) joint[i] = -1;
    }
    for (int top = place.row; top < s.height; top += kRowsInFlight * s.rows) {
      for_each_row<N>(map + place.offset, s, top, [&](int y, const Pack<T, N>& p) {
        T q[N] = {};
        for (int i = 0; i < N; ++i) {
          if (joint[i] < 0) continue;  // does not count: zeros, whatever the map holds
          const A g = own.rows[y * s.joints + joint[i]] * column[i];
          q[i] = static_cast<T>(scale[i] * (static_cast<A>(p.at(i)) - g));
        }
        store(gradient + (y * out_stride + place.offset), q);
      });
    }
  }
}

}  // namespace dark
