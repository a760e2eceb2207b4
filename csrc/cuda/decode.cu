// SPDX-License-Identifier: Apache-2.0
// decode: the maximum of each map (Eq 1 to 9) and its sub-pixel step, then Eq 2. Every map is read
// once. A map that lies in one piece belongs to a team, a warp or a block; of maps whose joints lie
// side by side, a block reads a person's, or some of them, and its warps then take a joint each.
// The step is a warp's.
#include "../library.h"
#include "channels_last.cuh"
#include "fit.cuh"
#include "refine.cuh"

namespace dark {
namespace {

constexpr int kThreads = 512;  // of a block, at most
constexpr int kWarps = kThreads / kWarp;
constexpr int kTeamsOfWarps = 4;             // warps of a block, each with a map of its own
constexpr int64_t kThreadsToFill = 1 << 19;  // a GPU, a few times over
constexpr int64_t kEntryBytes = 32 << 10;    // of shared memory

template <typename T, Partner kPartner>
__global__ void __launch_bounds__(kThreads, 1)
    decode_kernel(const __grid_constant__ DecodeArguments<T> a, const Divisor by_joints,
                  const Divisor by_width, int team_size, bool dense) {
  using A = Arithmetic<T>;
  const bool warps = team_size == kWarp;
  const Team block = whole_block(), team = warps ? Team{kWarp, block.lane()} : block;
  const int nth = warps ? block.warp() : 0, teams = warps ? block.warps() : 1;
  const int index = static_cast<int>(blockIdx.x) * teams + nth;
  if (index >= a.maps.count) return;
  const int person = by_joints.divide(index), joint = by_joints.rest(index, person);
  Map<T> map = a.map(person, joint);
  if constexpr (kPartner == Partner::none) map.flipped = nullptr;  // known to the compiler
  Found<A>* of_warp = shared_memory<Found<A>>();                   // of a team that is a block
  A* scratch = reinterpret_cast<A*>(of_warp + kWarps) + nth * window_elements(a.taps_count);
  const Found<A> found = !dense  ? find_strided(team, map, kNowhere, of_warp)
                         : warps ? find_dense<kPartner, kWarp>(team, map, by_width, of_warp)
                                 : find_dense<kPartner, 0>(team, map, by_width, of_warp);
  Found<A> second = found;
  if (a.method == Method::second_max) second = find_strided(team, map, found.index, of_warp);
  if (team.rank < kWarp)
    refine_and_store<kPartner != Partner::none>(a, map, by_width, person, index, found, second,
                                                scratch);
}

// The highest pixel of each element of this thread's packs.
template <int N, bool kFlip, typename T, typename A = Arithmetic<T>>
__device__ void find_in_rows(const DecodeArguments<T>& a, const RowShare& s, const Place& place,
                             Found<A> (&found)[N]) {
  constexpr int kInFlight = kFlip ? 2 : 4;
  const T* own = a.heatmaps + s.person * a.maps.stride_person + place.offset;
  const T* flipped = a.flipped + s.person * a.flipped_maps.stride_person;
  const int flipped_stride = static_cast<int>(a.flipped_maps.stride_row);
  A highest[N];
  int row[N], partner[N];
  for (int i = 0; i < N; ++i) {
    highest[i] = -static_cast<A>(INFINITY);
    row[i] = place.row;
    if constexpr (kFlip)
      partner[i] = static_cast<int>(mirrored_column(place.x(s, i), s.width, a.flip_shift)) * s.all +
                   a.flip_index[s.first_joint + place.joint(s, i)];
  }
  for (int first = place.row; first < s.height; first += kInFlight * s.rows) {
    Pack<T, N> loaded[kInFlight];
    T other[kInFlight][N];
    int y[kInFlight];
    DARK_UNROLL(kInFlight)
    for (int k = 0; k < kInFlight; ++k) {
      // Beyond the end the last row once more, which changes nothing.
      y[k] = first + k * s.rows < s.height ? first + k * s.rows : s.height - 1;
      loaded[k] = load<N>(own + y[k] * s.stride);
      if constexpr (kFlip)
        for (int i = 0; i < N; ++i) other[k][i] = flipped[y[k] * flipped_stride + partner[i]];
    }
    DARK_UNROLL(kInFlight)
    for (int k = 0; k < kInFlight; ++k) {
      for (int i = 0; i < N; ++i) {
        A value = static_cast<A>(loaded[k].at(i));
        if constexpr (kFlip) value = A(0.5) * (value + static_cast<A>(other[k][i]));
        // A NaN stays, since nothing is above it.
        if (value > highest[i] || value != value) {
          highest[i] = value;
          row[i] = y[k];
        }
      }
    }
  }
  for (int i = 0; i < N; ++i) found[i] = found_at(highest[i], row[i] * s.width + place.x(s, i));
}

template <typename T, int N, bool kFlip>
__global__ void __launch_bounds__(kThreads, 1)
    decode_channels_last_kernel(const __grid_constant__ DecodeArguments<T> a, const RowShare share,
                                const Divisor by_width, int teams) {
  using A = Arithmetic<T>;
  const RowShare s = share.of_block(N);
  Found<A>* best = shared_memory<Found<A>>();        // [K]
  const Entries<Found<A>> entries(best + s.joints);  // [threads, N]
  A* scratch = reinterpret_cast<A*>(entries.begin);  // [teams], once the entries have been read
  const Team block = whole_block(), team{kWarp, block.lane()};
  const int warp = block.warp();
  for (int first = 0; first < s.packs; first += s.at_once) {
    const Place place(s, first, N);
    __syncthreads();  // until the entries before have been read
    if (place.active) {
      Found<A> found[N];
      find_in_rows<N, kFlip>(a, s, place, found);
      for (int i = 0; i < N; ++i) entries.at(block.rank * N + i) = found[i];
    }
    __syncthreads();
    for (int joint = warp; joint < s.joints; joint += block.warps()) {
      Found<A> found = first == 0 ? nothing_found<A>() : best[joint];
      for_each_entry<N>(s, first, joint,
                        [&](int entry) { found = higher(found, entries.at(entry)); });
      found = highest_of_warp(found);
      team.sync();  // until all lanes have read best[joint]
      if (team.rank == 0) best[joint] = found;
    }
  }
  __syncthreads();
  if (warp >= teams) return;
  scratch += warp * window_elements(a.taps_count);
  for (int joint = warp; joint < s.joints; joint += teams) {
    Map<T> map = a.map(s.person, s.first_joint + joint);
    if constexpr (!kFlip) map.flipped = nullptr;
    const Found<A> found = best[joint];
    Found<A> second = found;
    if (a.method == Method::second_max) second = find_strided(team, map, found.index, best);
    refine_and_store<kFlip>(a, map, by_width, s.person, s.person * s.all + s.first_joint + joint,
                            found, second, scratch);
    team.sync();  // until all lanes have read the scratch
  }
}

template <typename T, Partner kPartner>
void launch_by_map(const DecodeCall& call, const DecodeArguments<T>& a, bool dense) {
  const int64_t pieces = dense ? ceil_div(a.maps.size(), kPack<T>) : a.maps.size();
  // As many warps as fill the GPU, but each lane with 4 packs at least and, so that the last maps
  // do not take long, 32 at most.
  const int few = threads_for(pieces, 32, kWarp, kThreads);
  const int many = threads_for(pieces, 4, kWarp, kThreads);
  const int64_t each = ceil_div(kThreadsToFill, a.maps.count);
  const int team = std::clamp(threads_for(each, 1, kWarp, kThreads), few, many);
  const int teams = team == kWarp ? kTeamsOfWarps : 1;
  using A = Arithmetic<T>;
  const int64_t shared =
      kWarps * sizeof(Found<A>) + teams * window_elements(a.taps_count) * sizeof(A);
  launch<kThreads>("decode", call.heatmaps, {ceil_div(a.maps.count, teams), team * teams, shared},
                   decode_kernel<T, kPartner>, a, Divisor(a.maps.joints), Divisor(a.maps.width),
                   team, dense);
}

template <typename T, bool kFlip>
void launch_by_person(const DecodeCall& call, const DecodeArguments<T>& a) {
  using Entry = Found<Arithmetic<T>>;
  const int64_t joints = joints_of_block<T>(a.maps, sizeof(Entry), kEntryBytes);
  dispatch_pack<T>(rows_of_packs(a.heatmaps, a.maps, joints), [&](auto n) {
    constexpr int N = decltype(n)::value;
    const int64_t fits = kEntryBytes / Entries<Entry>::bytes(N);
    const RowShare s = share_rows(a.maps, joints, N, std::min<int64_t>(kThreads, fits));
    const int64_t window = window_elements(a.taps_count) * sizeof(Arithmetic<T>);
    const int64_t teams = std::min<int64_t>(s.threads() / kWarp, kEntryBytes / window);
    const int64_t entries = std::max(Entries<Entry>::bytes(s.threads() * N), teams * window);
    const int64_t bytes = s.joints * int64_t{sizeof(Entry)} + entries;
    const Grid grid{a.maps.count / a.maps.joints * s.parts, s.threads(), bytes};
    launch<kThreads>("decode", call.heatmaps, grid, decode_channels_last_kernel<T, N, kFlip>, a, s,
                     Divisor(a.maps.width), static_cast<int>(teams));
  });
}

template <typename T>
void launch_by_layout(const DecodeCall& call, const DecodeArguments<T>& a) {
  const Maps &maps = a.maps, &flipped = a.flipped_maps;
  if (!call.flipped) {
    if (channels_last(maps)) return launch_by_person<T, false>(call, a);
    return launch_by_map<T, Partner::none>(call, a, maps.dense());
  }
  if (channels_last(maps) && channels_last(flipped)) return launch_by_person<T, true>(call, a);
  const auto whole = [&](const T* p, const Maps& m) {
    return m.dense() && packs_begin_at(p, {maps.width, m.stride_person, m.stride_joint});
  };
  const bool dense = whole(a.heatmaps, maps) && flipped.dense();
  if (dense && a.flip_shift == 0 && whole(a.flipped, flipped))
    launch_by_map<T, Partner::pack>(call, a, dense);
  else
    launch_by_map<T, Partner::scalars>(call, a, dense);
}

template <typename T>
void launch_decode(const DecodeCall& call) {
  launch_to_the_border<T>("decode", call.heatmaps, call.arguments<T>(), 1,
                          [&](const auto& a) { launch_by_layout<T>(call, a); });
}

std::tuple<Tensor, Tensor> decode(const Tensor& heatmaps,  // [B..., K, H, W]
                                  std::vector<double> taps,
                                  std::optional<Tensor> flipped,    // [B..., K, H, W]
                                  std::optional<Tensor> transform,  // [B..., 2, 3]
                                  std::string method,
                                  std::optional<std::vector<int64_t>> flip_index,
                                  int64_t flip_shift, double max_shift, std::string border) {
  check_decode("decode", heatmaps, taps, flipped, transform, method, flip_index, flip_shift,
               max_shift, border);
  const DecodeCall call(heatmaps, taps, flipped, transform, method, flip_index, flip_shift,
                        max_shift, border);
  check_counts("decode", call.maps.count, call.maps.size());
  dispatch_floating(heatmaps.scalar_type(),
                    [&](auto zero) { launch_decode<decltype(zero)>(call); });
  return {call.coords, call.scores};
}

}  // namespace

DARK_CUDA_KERNELS(m) { m.impl("decode", TORCH_BOX(&decode)); }
}  // namespace dark
