// SPDX-License-Identifier: Apache-2.0
// What the kernels need of a framework, without one: strided arrays that own their memory or borrow
// it, and threads. The same names as `../torch.h`.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <exception>
#include <limits>
#include <memory>
#include <new>
#include <ostream>
#include <stdexcept>
#include <thread>
#include <vector>

namespace dark {

using ArgumentError = std::invalid_argument;

enum class ScalarType { Half, BFloat16, Float, Double, Byte, Long };

inline const char* type_name(ScalarType type) {
  switch (type) {
    case ScalarType::Half: return "float16";
    case ScalarType::BFloat16: return "bfloat16";
    case ScalarType::Float: return "float32";
    case ScalarType::Double: return "float64";
    case ScalarType::Byte: return "uint8";
    case ScalarType::Long: return "int64";
  }
  return "";
}

using Half = _Float16;

// The upper half of a float32.
struct BFloat16 {
  uint16_t bits = 0;

  BFloat16() = default;
  explicit BFloat16(float value) {  // to the nearest, ties to even
    uint32_t word;
    std::memcpy(&word, &value, sizeof(word));
    bits =
        static_cast<uint16_t>(value == value ? (word + 0x7fff + ((word >> 16) & 1)) >> 16 : 0x7fc0);
  }
  operator float() const {
    const uint32_t word = uint32_t{bits} << 16;
    float value;
    std::memcpy(&value, &word, sizeof(value));
    return value;
  }
};

inline int64_t size_of(ScalarType type) {
  switch (type) {
    case ScalarType::Byte: return 1;
    case ScalarType::Half:
    case ScalarType::BFloat16: return 2;
    case ScalarType::Float: return 4;
    case ScalarType::Double:
    case ScalarType::Long: break;
  }
  return 8;
}

// A MemoryError in Python.
struct TooLarge : std::bad_alloc {
  const char* what() const noexcept override { return "the result does not fit in memory"; }
};

class Tensor {
 public:
  // Not owned.
  Tensor(void* data, ScalarType type, std::vector<int64_t> sizes, std::vector<int64_t> strides)
      : data_(data), type_(type), sizes_(std::move(sizes)), strides_(std::move(strides)) {}

  // Contiguous, uninitialized, and owned.
  Tensor(ScalarType type, std::vector<int64_t> sizes)
      : type_(type), sizes_(std::move(sizes)), strides_(sizes_.size()) {
    const int64_t most = std::numeric_limits<int64_t>::max() / size_of(type);
    int64_t stride = 1;
    for (size_t d = sizes_.size(); d-- > 0; stride *= sizes_[d]) {
      if (sizes_[d] > 0 && stride > most / sizes_[d]) throw TooLarge();
      strides_[d] = stride;
    }
    constexpr std::align_val_t kCacheLine{64};
    data_ = ::operator new(numel() * size_of(type), kCacheLine, std::nothrow);
    if (data_ == nullptr) throw TooLarge();
    memory_.reset(data_, [=](void* memory) { ::operator delete(memory, kCacheLine); });
  }

  int64_t dim() const { return static_cast<int64_t>(sizes_.size()); }
  int64_t size(int64_t d) const { return sizes_[d]; }
  int64_t stride(int64_t d) const { return strides_[d]; }
  const std::vector<int64_t>& sizes() const { return sizes_; }
  const std::vector<int64_t>& strides() const { return strides_; }
  ScalarType scalar_type() const { return type_; }
  int device() const { return 0; }
  bool is_cpu() const { return true; }
  const std::shared_ptr<void>& memory() const { return memory_; }

  int64_t numel() const {
    int64_t count = 1;
    for (const int64_t size : sizes_) count *= size;
    return count;
  }
  bool is_contiguous() const {
    int64_t stride = 1;
    for (int64_t d = dim() - 1; d >= 0; stride *= sizes_[d--])
      if (sizes_[d] != 1 && strides_[d] != stride) return numel() == 0;
    return true;
  }
  // [N, H, W, C] as [N, C, H, W].
  Tensor channels_first() const {
    Tensor t = *this;
    t.sizes_ = {size(0), size(3), size(1), size(2)};
    t.strides_ = {stride(0), stride(3), stride(1), stride(2)};
    return t;
  }
  template <typename T>
  const T* const_data_ptr() const {
    return static_cast<const T*>(data_);
  }
  template <typename T>
  T* mutable_data_ptr() const {
    return static_cast<T*>(data_);
  }

 private:
  std::shared_ptr<void> memory_;  // null where it is borrowed
  void* data_;
  ScalarType type_;
  std::vector<int64_t> sizes_, strides_;
};

// `darkpose_ext/numpy.py` has copied what is not.
inline const Tensor& aligned(const Tensor& t) { return t; }

inline Tensor channels_first(const Tensor& t) { return t.channels_first(); }

inline const char* device_text(const Tensor&) { return "cpu"; }

inline Tensor empty(const std::vector<int64_t>& sizes, ScalarType type, const Tensor&) {
  return {type, sizes};
}

template <typename F>
void dispatch_floating(ScalarType type, F&& f);  // `../common.h`

// A contiguous copy of another type.
inline Tensor to(const Tensor& t, ScalarType type) {
  const Tensor out(type, t.sizes());
  dispatch_floating(t.scalar_type(), [&](auto from) {
    dispatch_floating(type, [&](auto into) {
      using From = decltype(from);
      using Into = decltype(into);
      const From* source = t.const_data_ptr<From>();
      std::vector<int64_t> at(t.dim(), 0);
      int64_t offset = 0;
      for (int64_t i = 0; i < out.numel(); ++i) {
        using Wide = std::conditional_t<std::is_same_v<From, double>, double, float>;
        out.mutable_data_ptr<Into>()[i] = static_cast<Into>(static_cast<Wide>(source[offset]));
        for (int64_t d = t.dim() - 1; d >= 0; --d) {  // the next element in order
          offset += t.stride(d);
          if (++at[d] < t.size(d)) break;
          offset -= t.size(d) * t.stride(d);
          at[d] = 0;
        }
      }
    });
  });
  return out;
}

inline Tensor contiguous(const Tensor& t) { return to(t, t.scalar_type()); }

// How many threads the kernels may use for the calls of this one.
inline thread_local int64_t thread_limit = 1;

// Calls f(begin, end) for parts of the range in threads of their own. `grain` is what is worth one
// of a pool that waits; making one takes some 100 microseconds.
template <typename F>
void parallel_for(int64_t begin, int64_t end, int64_t grain, const F& f) {
  const int64_t count = end - begin;
  const int64_t parts = std::min(thread_limit, count / (10 * grain));
  if (parts <= 1) return f(begin, end);
  const auto edge = [&](int64_t part) { return begin + count * part / parts; };
  std::vector<std::exception_ptr> failures(parts);
  const auto run = [&](int64_t part) noexcept {
    try {
      f(edge(part), edge(part + 1));
    } catch (...) {
      failures[part] = std::current_exception();
    }
  };
  std::vector<std::thread> threads;
  threads.reserve(parts - 1);
  int64_t part = 1;
  try {
    for (; part < parts; ++part) threads.emplace_back(run, part);
  } catch (const std::exception&) {  // no more threads are to be had: this one does the rest
  }
  run(0);
  for (; part < parts; ++part) run(part);
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& failure : failures)
    if (failure) std::rethrow_exception(failure);
}

}  // namespace dark
