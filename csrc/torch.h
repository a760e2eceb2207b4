// SPDX-License-Identifier: Apache-2.0
// What the ops need of torch, by its stable ABI. `numpy/tensor.h` offers the same names without it.
#pragma once
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <cstdint>
#include <ostream>
#include <stdexcept>
#include <vector>

namespace dark {

using torch::headeronly::BFloat16;
using torch::headeronly::Half;
using torch::headeronly::ScalarType;
using torch::stable::clone;
using torch::stable::contiguous;
using torch::stable::copy_;
using torch::stable::empty_like;
using torch::stable::parallel_for;
using torch::stable::Tensor;
using torch::stable::to;
using ArgumentError = std::runtime_error;

// `like` gives the device; the result is contiguous.
inline Tensor empty(const std::vector<int64_t>& sizes, ScalarType type, const Tensor& like) {
  return torch::stable::new_empty(like, sizes, type);
}

// The tensor itself where its elements lie at addresses of their type, else a copy: of a buffer
// with a header, `torch.frombuffer` gives others.
inline Tensor aligned(const Tensor& t) {
  return reinterpret_cast<uintptr_t>(t.data_ptr()) % t.element_size() == 0 ? t : clone(t);
}

// [N, H, W, C] as [N, C, H, W].
inline Tensor channels_first(const Tensor& t) {
  return torch::stable::transpose(torch::stable::transpose(t, 1, 3), 2, 3);
}

inline const char* type_name(ScalarType type) {
  switch (type) {
    case ScalarType::Double: return "float64";
    case ScalarType::Float: return "float32";
    case ScalarType::Half: return "float16";
    case ScalarType::BFloat16: return "bfloat16";
    case ScalarType::Byte: return "uint8";
    case ScalarType::Char: return "int8";
    case ScalarType::Short: return "int16";
    case ScalarType::Int: return "int32";
    case ScalarType::Long: return "int64";
    case ScalarType::Bool: return "bool";
    case ScalarType::UInt16: return "uint16";
    case ScalarType::UInt32: return "uint32";
    case ScalarType::UInt64: return "uint64";
    case ScalarType::ComplexHalf: return "complex32";
    case ScalarType::ComplexFloat: return "complex64";
    case ScalarType::ComplexDouble: return "complex128";
    case ScalarType::Float8_e4m3fn: return "float8_e4m3fn";
    case ScalarType::Float8_e5m2: return "float8_e5m2";
    default: return "another type";
  }
}

struct DeviceText {
  const Tensor& tensor;
};

inline DeviceText device_text(const Tensor& tensor) { return {tensor}; }

inline std::ostream& operator<<(std::ostream& stream, const DeviceText& text) {
  if (text.tensor.is_cpu()) return stream << "cpu";
  return stream << "cuda:" << text.tensor.get_device_index();
}

}  // namespace dark
