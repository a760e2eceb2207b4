// SPDX-License-Identifier: Apache-2.0
// Memory 16 bytes at a time, the most that a thread loads or stores at once: what it takes to come
// near the bandwidth of a GPU. Kernels are written for packs of N elements, of which N == 1
// serves every layout. A pack is only moved: arithmetic is done element by element.
#pragma once
#include <cstring>

#include "launch.cuh"

namespace dark {

constexpr int kPackBytes = 16;

template <typename T>
constexpr int kPack = kPackBytes / static_cast<int>(sizeof(T));

// As loaded: taken apart only where an element is used, since that waits for the load.
template <typename T, int N>
struct Pack {
  static_assert(N == kPack<T>);
  uint4 words;

  __device__ T at(int i) const {
    T elements[N];
    std::memcpy(elements, &words, kPackBytes);
    return elements[i];
  }
};

template <typename T>
struct Pack<T, 1> {
  T element;

  __device__ T at(int) const { return element; }
};

// Of memory that the kernel does not write.
template <int N, typename T>
__device__ Pack<T, N> load(const T* p) {
  if constexpr (N == 1)
    return {*p};
  else
    return {__ldg(reinterpret_cast<const uint4*>(p))};
}

// Of shared memory, which __ldg does not know.
template <int N, typename T>
__device__ Pack<T, N> load_shared(const T* p) {
  return {*reinterpret_cast<const uint4*>(p)};
}

// As loaded.
template <int N, typename T>
__device__ void store(T* p, const Pack<T, N>& pack) {
  if constexpr (N == 1) {
    *p = pack.element;
  } else {
#ifdef DARK_EMULATED
    emulation::check_alignment(p, kPackBytes);
#endif
    *reinterpret_cast<uint4*>(p) = pack.words;
  }
}

template <int N, typename T>
__device__ void store(T* p, const T (&elements)[N]) {
  Pack<T, N> pack;
  static_assert(sizeof(pack) == sizeof(elements));
  std::memcpy(&pack, elements, sizeof(pack));
  store(p, pack);
}

// The elements from p to the next address that a pack can begin at.
template <typename T>
DARK_SHARED int to_alignment(const T* p) {
  const uintptr_t beyond = reinterpret_cast<uintptr_t>(p) % kPackBytes;
  return static_cast<int>((kPackBytes - beyond) % kPackBytes / sizeof(T));
}

// Whether packs can begin at p and at any multiple of these strides from it.
template <typename T>
bool packs_begin_at(const T* p, std::initializer_list<int64_t> strides) {
  bool whole = to_alignment(p) == 0;
  for (int64_t stride : strides) whole = whole && stride % kPack<T> == 0;
  return whole;
}

// Calls f with N, the elements of a pack, as a compile-time constant: 16 bytes' or one.
template <typename T, typename F>
void dispatch_pack(bool whole, F&& f) {
  if (whole)
    f(std::integral_constant<int, kPack<T>>{});
  else
    f(std::integral_constant<int, 1>{});
}

}  // namespace dark
