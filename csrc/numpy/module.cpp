// SPDX-License-Identifier: Apache-2.0
// The CPU kernels as functions of NumPy arrays, `darkpose_ext._numpy`. Arrays are read where they
// lie and results handed over as they are; the interpreter's lock is released meanwhile.
// `darkpose_ext/numpy.py` documents the functions and sees to the types of what comes in.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "../cpu/kernels.h"

namespace py = pybind11;

namespace dark {
namespace {

using OptionalArray = std::optional<py::array>;

// NumPy itself has no bfloat16: what is not its own is that of ml_dtypes.
ScalarType scalar_type(const py::dtype& type) {
  if (type.kind() == 'u') return ScalarType::Byte;
  if (type.kind() == 'i') return ScalarType::Long;
  if (type.kind() != 'f') return ScalarType::BFloat16;
  return type.itemsize() == 8   ? ScalarType::Double
         : type.itemsize() == 4 ? ScalarType::Float
                                : ScalarType::Half;
}

// The array's own memory, which nothing writes to.
Tensor borrowed(const py::array& array) {
  std::vector<int64_t> sizes(array.shape(), array.shape() + array.ndim());
  std::vector<int64_t> strides(array.strides(), array.strides() + array.ndim());
  for (int64_t& stride : strides) stride /= array.itemsize();
  return {const_cast<void*>(array.data()), scalar_type(array.dtype()), std::move(sizes),
          std::move(strides)};
}

std::optional<Tensor> borrowed(const OptionalArray& array) {
  return array ? std::optional<Tensor>(borrowed(*array)) : std::nullopt;
}

// An array that keeps the tensor's memory alive.
py::array handed_over(const Tensor& tensor, const py::dtype& type) {
  auto* memory = new std::shared_ptr<void>(tensor.memory());
  const py::capsule owner(memory,
                          [](void* held) { delete static_cast<std::shared_ptr<void>*>(held); });
  std::vector<int64_t> strides = tensor.strides();
  for (int64_t& stride : strides) stride *= type.itemsize();
  return py::array(type, tensor.sizes(), strides, tensor.const_data_ptr<char>(), owner);
}

py::array handed_over(const Tensor& tensor) {
  return handed_over(tensor, py::dtype(type_name(tensor.scalar_type())));
}

// Runs a kernel without the interpreter's lock, in at most so many threads.
template <typename F>
auto run(int64_t threads, F&& kernel) {
  const py::gil_scoped_release unlocked;
  thread_limit = threads;
  return kernel();
}

py::tuple encode_arrays(const py::array& joints, const py::array& weights, int64_t height,
                        int64_t width, double sigma, const OptionalArray& transform,
                        const std::string& rounding, bool truncate,
                        const std::optional<py::dtype>& dtype, int64_t threads) {
  const Tensor points = borrowed(joints), labeled = borrowed(weights);
  const std::optional<Tensor> to_heatmap = borrowed(transform);
  const std::optional<ScalarType> type =
      dtype ? std::optional<ScalarType>(scalar_type(*dtype)) : std::nullopt;
  const auto [heatmaps, counted] = run(threads, [&] {
    return encode(points, labeled, height, width, sigma, to_heatmap, rounding, truncate, type);
  });
  return py::make_tuple(dtype ? handed_over(heatmaps, *dtype) : handed_over(heatmaps),
                        handed_over(counted));
}

py::array modulate_arrays(const py::array& heatmaps, const std::vector<double>& taps,
                          const std::string& rescale, int64_t threads) {
  const Tensor maps = borrowed(heatmaps);
  return handed_over(run(threads, [&] { return modulate(maps, taps, rescale); }));
}

py::tuple decode_arrays(const py::array& heatmaps, const std::vector<double>& taps,
                        const OptionalArray& flipped, const OptionalArray& transform,
                        const std::string& method,
                        const std::optional<std::vector<int64_t>>& flip_index, int64_t flip_shift,
                        double max_shift, const std::string& border, int64_t threads) {
  const Tensor maps = borrowed(heatmaps);
  const std::optional<Tensor> mirrored = borrowed(flipped), to_image = borrowed(transform);
  const auto [coords, scores] = run(threads, [&] {
    return decode(maps, taps, mirrored, to_image, method, flip_index, flip_shift, max_shift,
                  border);
  });
  return py::make_tuple(handed_over(coords), handed_over(scores));
}

py::tuple decode_peaks_arrays(const py::array& heatmaps, const std::vector<double>& taps, int64_t k,
                              const OptionalArray& flipped, const OptionalArray& transform,
                              int64_t radius, double threshold,
                              const std::optional<std::vector<int64_t>>& flip_index,
                              int64_t flip_shift, double max_shift, const std::string& border,
                              int64_t threads) {
  const Tensor maps = borrowed(heatmaps);
  const std::optional<Tensor> mirrored = borrowed(flipped), to_image = borrowed(transform);
  const auto [coords, scores, count] = run(threads, [&] {
    return decode_peaks(maps, taps, k, mirrored, to_image, radius, threshold, flip_index,
                        flip_shift, max_shift, border);
  });
  return py::make_tuple(handed_over(coords), handed_over(scores), handed_over(count));
}

py::array crop_arrays(const std::vector<py::array>& images, const py::array& index,
                      const py::array& transform, int64_t height, int64_t width,
                      const std::optional<std::vector<double>>& mean,
                      const std::optional<std::vector<double>>& std,
                      const std::string& interpolation, const std::optional<py::dtype>& dtype,
                      int64_t threads) {
  std::vector<Tensor> pictures;
  for (const py::array& image : images) pictures.push_back(borrowed(image));
  const Tensor numbers = borrowed(index), to_image = borrowed(transform);
  const std::optional<ScalarType> type =
      dtype ? std::optional<ScalarType>(scalar_type(*dtype)) : std::nullopt;
  const Tensor crops = run(threads, [&] {
    return crop(pictures, numbers, to_image, height, width, mean, std, interpolation, type);
  });
  return dtype ? handed_over(crops, *dtype) : handed_over(crops);
}

}  // namespace
}  // namespace dark

PYBIND11_MODULE(_numpy, m) {
  m.def("encode", &dark::encode_arrays);
  m.def("modulate", &dark::modulate_arrays);
  m.def("decode", &dark::decode_arrays);
  m.def("decode_peaks", &dark::decode_peaks_arrays);
  m.def("crop", &dark::crop_arrays);
}
