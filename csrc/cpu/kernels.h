// SPDX-License-Identifier: Apache-2.0
// The CPU kernels, whatever the framework of their tensors: torch's ops (`registration.cpp`) and
// NumPy's functions (`../numpy/module.cpp`) are the same source. Arguments as in `../ops.cpp`; a
// wrong one is an ArgumentError.
#pragma once
#include <string>
#include <tuple>

#include "../common.h"

namespace dark {

std::tuple<Tensor, Tensor> encode(const Tensor& joints, const Tensor& weights, int64_t height,
                                  int64_t width, double sigma, std::optional<Tensor> transform,
                                  std::string rounding, bool truncate,
                                  std::optional<ScalarType> dtype);

Tensor modulate(const Tensor& heatmaps, std::vector<double> taps, std::string rescale);

std::tuple<Tensor, Tensor> decode(const Tensor& heatmaps, std::vector<double> taps,
                                  std::optional<Tensor> flipped, std::optional<Tensor> transform,
                                  std::string method,
                                  std::optional<std::vector<int64_t>> flip_index,
                                  int64_t flip_shift, double max_shift, std::string border);

std::tuple<Tensor, Tensor, Tensor> decode_peaks(const Tensor& heatmaps, std::vector<double> taps,
                                                int64_t k, std::optional<Tensor> flipped,
                                                std::optional<Tensor> transform, int64_t radius,
                                                double threshold,
                                                std::optional<std::vector<int64_t>> flip_index,
                                                int64_t flip_shift, double max_shift,
                                                std::string border);

Tensor heatmap_mse(const Tensor& heatmaps, const Tensor& joints, const Tensor& weights,
                   double sigma, std::optional<Tensor> transform, std::string rounding,
                   bool truncate);

Tensor heatmap_mse_backward(const Tensor& grad, const Tensor& heatmaps, const Tensor& joints,
                            const Tensor& weights, double sigma, std::optional<Tensor> transform,
                            std::string rounding, bool truncate);

Tensor crop(std::vector<Tensor> images, const Tensor& index, const Tensor& transform,
            int64_t height, int64_t width, std::optional<std::vector<double>> mean,
            std::optional<std::vector<double>> std, std::string interpolation,
            std::optional<ScalarType> dtype);

}  // namespace dark
