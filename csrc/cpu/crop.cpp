// SPDX-License-Identifier: Apache-2.0
// crop: each row is sampled as gray levels and then written as the caller asked for; what a gray
// level becomes in a channel is looked up.
#include "kernels.h"
#include "parallel.h"
#include "sampling_avx2.h"

namespace dark {
namespace {

using Sampler = void (*)(const Image&, Places&, int, uint8_t*);

template <Interpolation kind>
Sampler sampler_for(const Image& image, int channels) {
#if defined(__x86_64__)
  const int64_t bytes = image.height * std::abs(image.row) + image.width * image.column;
  if (image.channel == 1 && channels > 1 && bytes < (int64_t{1} << 31) && has_avx2()) {
    if (image.column == 3) return sample_pixels<kind, 3>;
    if (image.column == 4) return sample_pixels<kind, 4>;
  }
#endif
  return image.column == 1 ? sample_levels<kind, true> : sample_levels<kind, false>;
}

// Whether a row has nothing of the image.
bool misses(const Image& image, const Places& row, Interpolation kind) {
  const int before = kind == Interpolation::bicubic ? 1 : 0;
  return RunPlaces(row, 0).outside(image, before, before + 1, row.width - 1);
}

// What each gray level becomes in each channel; nothing where they stay gray levels.
template <typename T>
std::vector<T> table_of(const CropArguments<T>& a) {
  std::vector<T> table(256 * a.channels);
  for (int c = 0; c < a.channels; ++c)
    for (int level = 0; level < 256; ++level)
      table[256 * c + level] = static_cast<T>(a.normalization(level, c));
  return table;
}

std::vector<uint8_t> table_of(const CropArguments<uint8_t>&) { return {}; }

template <int kChannels, typename T>
void write_row(const uint8_t* quads, int width, const T* table, T* out) {
  for (int x = 0; x < width; ++x) {
    uint32_t quad;
    std::memcpy(&quad, quads + 4 * x, sizeof(quad));
    for (int c = 0; c < kChannels; ++c)
      out[kChannels * x + c] = table[256 * c + (quad >> (8 * c) & 255)];
  }
}

template <int kChannels>
DARK_MULTIVERSION void write_row(const uint8_t* quads, int width, const uint8_t*, uint8_t* out) {
  typedef uint8_t Bytes __attribute__((vector_size(16)));
  int x = 0;
  if constexpr (kChannels == 3)
    for (; x + 6 <= width; x += 4) {  // of 16 bytes that are written, the last 4 are not yet final
      const Bytes v = load_as<Bytes>(quads + 4 * x);
      store(out + 3 * x,
            __builtin_shufflevector(v, v, 0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 3, 7, 11, 15));
    }
  for (; x < width; ++x)
    for (int c = 0; c < kChannels; ++c) out[kChannels * x + c] = quads[4 * x + c];
}

// Rows `begin` to `end` of all crops.
template <typename T>
void crop_rows(const CropCall& call, const CropArguments<T>& a, const T* table, int64_t begin,
               int64_t end) {
  std::vector<uint8_t> quads(4 * (a.width + kRun));
  for (int64_t next; begin < end; begin = next) {
    const int64_t crop = begin / a.height;
    next = std::min(end, (crop + 1) * a.height);
    const Image image = call.image(a.index[crop]);
    const Sampler sample = a.interpolation == Interpolation::bilinear
                               ? sampler_for<Interpolation::bilinear>(image, a.channels)
                               : sampler_for<Interpolation::bicubic>(image, a.channels);
    Places places(a.transforms + 6 * crop, a.width);
    for (int64_t row = begin; row < next; ++row) {
      place_row(places, row - crop * a.height);
      if (misses(image, places, a.interpolation))
        std::fill(quads.begin(), quads.end(), uint8_t{0});
      else
        sample(image, places, a.channels, quads.data());
      T* out = a.out + row * a.width * a.channels;
      switch (a.channels) {
        case 1: write_row<1>(quads.data(), a.width, table, out); break;
        case 3: write_row<3>(quads.data(), a.width, table, out); break;
        case 4: write_row<4>(quads.data(), a.width, table, out); break;
      }
    }
  }
}

}  // namespace

Tensor crop(std::vector<Tensor> images, const Tensor& index, const Tensor& transform,
            int64_t height, int64_t width, std::optional<std::vector<double>> mean,
            std::optional<std::vector<double>> std, std::string interpolation,
            std::optional<ScalarType> dtype) {
  check_crop(images, index, transform, height, width, mean, std, interpolation, dtype);
  const CropCall call(images, index, transform, height, width, mean, std, interpolation, dtype);
  call.dispatch([&](auto zero) {
    using T = decltype(zero);
    const CropArguments<T> arguments = call.arguments<T>();
    const std::vector<T> table = table_of(arguments);
    constexpr int64_t kWork = 16;
    parallel_over_maps(arguments.crops * height, width, kWork, [&](int64_t begin, int64_t end) {
      crop_rows(call, arguments, table.data(), begin, end);
    });
  });
  return call.result();
}

}  // namespace dark
