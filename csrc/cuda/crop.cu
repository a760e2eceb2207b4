// SPDX-License-Identifier: Apache-2.0
// crop: a warp takes 32 runs of a crop, eight samples of a row each. Every lane places one run in
// float64; then neighboring lanes take neighboring samples, so that what they read lies together,
// and gather in shared memory what is written at once. The images' addresses travel with the
// launch: index and transforms are read on the device alone.
#include "../crop.h"
#include "../library.h"
#include "block.cuh"
#include "divide.cuh"
#include "pack.cuh"

namespace dark {
namespace {

constexpr int kThreads = 256;  // of a block
constexpr int kWarps = kThreads / kWarp;
constexpr int kStretch = kWarp * kRun;  // samples that a warp takes at a time
constexpr int kLevels = 256;            // of gray
constexpr int kMatrix = 6;              // numbers of a transform
constexpr int64_t kMostStretches = 8;   // of a warp, where there are many
#ifdef DARK_EMULATED
constexpr int64_t kWarpsToFill = 16;  // a GPU so small that tests fill it
#else
constexpr int64_t kWarpsToFill = 1 << 14;  // a large one some times over: little idles at the end
#endif
constexpr int64_t kMostSamples = 1 << 28;  // of a crop's runs

template <typename T>
constexpr bool kNormalized = !std::is_same_v<T, uint8_t>;

// How many samples a lane gathers before they are written, in so many packs of a lane at most.
template <typename T>
constexpr int kGathered = 8 / static_cast<int>(sizeof(T));
constexpr int kTurns = 8 * kMostChannels / kPackBytes;

// Of the pixels that a sample reads in one direction: the first, and the last one's distance from
// it.
template <Interpolation kHow>
constexpr int kFirst = kHow == Interpolation::bicubic ? -1 : 0;
template <Interpolation kHow>
constexpr int kSpan = kHow == Interpolation::bicubic ? 3 : 1;

template <typename T>
struct CropShare {
  CropArguments<T> a;
  Divisor of_crop, of_row;  // blocks of a crop, runs of a row
  int stretches, of_block;  // of a crop; of these, a block's
  bool packs;               // whether what is written at once is whole packs
  int64_t first;            // of the images below, and their number
  int images;
};

template <typename T>
constexpr int kMostImages =
    static_cast<int>((kMaxParameters - int64_t{sizeof(CropShare<T>)}) / int64_t{sizeof(Image)});

template <typename T>
struct CropLaunch : CropShare<T> {
  Image image[kMostImages<T>];
};

// Where in the crop a run begins.
struct Corner {
  int x, y;

  __device__ Corner(const Divisor& of_row, int run)
      : x(of_row.rest(run, of_row.divide(run)) * kRun), y(of_row.divide(run)) {}
};

// Where in the image the runs of a warp begin, as its lanes have placed them.
struct alignas(16) Begin {
  int x, y;
  float along, down;
};

// Shared memory: the crop's transform and what each gray level becomes, then of each warp where its
// runs begin and what its lanes gather.
template <typename T>
DARK_SHARED constexpr int block_bytes(int channels) {
  const int levels = kNormalized<T> ? channels * kLevels : 0;
  return kMatrix * static_cast<int>(sizeof(double)) + levels * static_cast<int>(sizeof(T));
}

template <typename T>
DARK_SHARED constexpr int warp_bytes(int channels) {
  return kWarp *
         (static_cast<int>(sizeof(Begin)) + kGathered<T> * channels * static_cast<int>(sizeof(T)));
}

template <Interpolation kHow, typename Value>
__device__ float sampled(const Value& value, const Place& x, const Place& y) {
  if constexpr (kHow == Interpolation::bicubic)
    return bicubic(value, x, y);
  else
    return bilinear(value, x, y);
}

// To the nearest gray level, ties to even: a sum with 2^23 is rounded so, and ends in the level.
template <Interpolation kHow>
__device__ int level_of(float v) {
  if constexpr (kHow == Interpolation::bicubic) v = fminf(fmaxf(v, 0.0f), 255.0f);
  return __float_as_int(v + 8388608.0f) & (kLevels - 1);
}

__device__ inline float value_at(const uint8_t* p) { return static_cast<float>(__ldg(p)); }

__device__ inline bool is_below(int value, int size) {
  return static_cast<unsigned>(value) < static_cast<unsigned>(size);
}

// How many places of an image have all their pixels inside of it.
struct Inner {
  int width, height;
};

template <Interpolation kHow>
__device__ Inner inner_of(const Image& image) {
  return {max(image.width - kSpan<kHow>, 0), max(image.height - kSpan<kHow>, 0)};
}

constexpr int kColors = 3;

// An image whose three colors lie side by side, and its places; of another image none.
struct Colored {
  const uint8_t* data;
  int64_t row;
  Inner inner;
};

template <Interpolation kHow>
__device__ Colored colored_of(const Image& image, int channels) {
  const bool colored = channels == kColors && image.channel == 1 && image.column == kColors;
  return {image.data, image.row, colored ? inner_of<kHow>(image) : Inner{0, 0}};
}

// Calls f(c, gray level) for each channel of a sample.
template <Interpolation kHow, typename F>
__device__ void sample(const Image& image, const Colored& colored, int channels, const Place& x,
                       const Place& y, F&& f) {
  const int left = x.pixel + kFirst<kHow>, top = y.pixel + kFirst<kHow>;
  if (is_below(left, colored.inner.width) && is_below(top, colored.inner.height)) {
    // Unsigned, for which products are shorter.
    const uint64_t row = colored.row, column = kColors;
    const uint8_t* p = colored.data + static_cast<unsigned>(x.pixel) * column;
    p += static_cast<unsigned>(y.pixel) * row;
    int levels[kColors];
    DARK_UNROLL(kColors)
    for (int c = 0; c < kColors; ++c) {
      const auto value = [&](int i, int j) {
        return value_at(p + j * colored.row + (kColors * i + c));
      };
      levels[c] = level_of<kHow>(sampled<kHow>(value, x, y));
    }
    DARK_UNROLL(kColors)
    for (int c = 0; c < kColors; ++c) f(c, levels[c]);
    return;
  }
  const Inner inner = inner_of<kHow>(image);
  const bool inside = is_below(left, inner.width) && is_below(top, inner.height);
  const bool touches = is_below(left + kSpan<kHow>, image.width + kSpan<kHow>) &&
                       is_below(top + kSpan<kHow>, image.height + kSpan<kHow>);
  if (inside) {
    const uint8_t* p = image.at(x.pixel, y.pixel);
    DARK_UNROLL(1)
    for (int c = 0; c < channels; ++c, p += image.channel) {
      const auto value = [&](int i, int j) {
        return value_at(p + j * image.row + i * image.column);
      };
      f(c, level_of<kHow>(sampled<kHow>(value, x, y)));
    }
  } else {
    DARK_UNROLL(1)
    for (int c = 0; c < channels; ++c) {
      const auto value = [&](int i, int j) { return image.value(x.pixel + i, y.pixel + j, c); };
      f(c, touches ? level_of<kHow>(sampled<kHow>(value, x, y)) : 0);
    }
  }
}

// Stretch `part` of a crop, by a warp.
template <Interpolation kHow, typename T>
__device__ void crop_stretch(const CropShare<T>& s, const Image& image, const Colored& colored,
                             const double* m, int part, Begin* begins, T* gathered, const T* table,
                             T* out) {
  constexpr int N = kPack<T>, kStep = kWarp / kRun;  // runs that the lanes' samples are of
  const int height = s.a.height, width = s.a.width, channels = s.a.channels;
  const int lane = whole_block().lane(), nth = lane % kRun;
  const Corner own(s.of_row, part * kWarp + lane);
  const Run along = run_of(m, own.x, own.y), down = run_of(m + 3, own.x, own.y);
  __syncwarp();  // until what was here has been read
  const Begin begin{along.pixel, down.pixel, along.fraction, down.fraction};
  begins[lane] = begin;
  __syncwarp();
  const Begin* next = begins + lane / kRun;
  const int step = kWarp * channels, together = kGathered<T> * step;
  // Where rows are whole runs: where in the crop the stretch begins, and how much is left there.
  T* to = out + int64_t{part} * (kStretch * channels) + lane * N;
  int left = (height * width - part * kStretch) * channels;
  DARK_UNROLL(1)
  for (int first = 0; first < kRun; first += kGathered<T>) {
    T* values = gathered + lane * channels;
    DARK_UNROLL(1)
    for (int k = 0; k < kGathered<T>; ++k, next += kStep, values += step) {
      const Begin begin = *next;
      sample<kHow>(image, colored, channels, place_of({begin.x, begin.along, along.step}, nth),
                   place_of({begin.y, begin.down, down.step}, nth), [&](int c, int level) {
                     if constexpr (kNormalized<T>)
                       values[c] = table[c * kLevels + level];
                     else
                       values[c] = static_cast<uint8_t>(level);
                   });
    }
    if (s.packs) {
      __syncwarp();
      const int count = min(together, left);
      DARK_UNROLL(kTurns)
      for (int turn = 0; turn < kTurns; ++turn) {
        const int i = turn * kWarp * N;
        if (lane * N + i < count) store(to + i, load_shared<N>(gathered + lane * N + i));
      }
      __syncwarp();
      to += together;
      left -= together;
    } else {
      DARK_UNROLL(1)
      for (int k = 0; k < kGathered<T>; ++k) {
        const Corner run(s.of_row, part * kWarp + (first + k) * kStep + lane / kRun);
        const int x = run.x + nth;
        if (run.y >= height || x >= width) continue;
        T* pixel = out + (int64_t{run.y} * width + x) * channels;
        DARK_UNROLL(1)
        for (int c = 0; c < channels; ++c) pixel[c] = gathered[k * step + lane * channels + c];
      }
    }
  }
}

template <typename T, Interpolation kHow>
__global__ void __launch_bounds__(kThreads, kHow == Interpolation::bicubic ? 2 : 4)
    crop_kernel(const __grid_constant__ CropLaunch<T> s) {
  const Team block = whole_block();
  const CropArguments<T>& a = s.a;
  const int crop = s.of_crop.divide(static_cast<int>(blockIdx.x));
  const int64_t of = a.index[crop];
  const bool known = of >= 0 && of < a.images, mine = of >= s.first && of < s.first + s.images;
  if (!mine && (known || s.first > 0)) return;  // the first launch writes those of no image
  double* m = shared_memory<double>();
  T* table = reinterpret_cast<T*>(m + kMatrix);
  const double* transform = a.transforms + int64_t{crop} * kMatrix;
  const bool usable = mine && is_usable(transform);
  // What cannot be used leads beyond the border of any image.
  if (block.rank < kMatrix)
    m[block.rank] = usable ? transform[block.rank] : block.rank % 3 == 2 ? -kFarthest : 0;
  if constexpr (kNormalized<T>) {
    DARK_UNROLL(1)
    for (int i = block.rank; i < a.channels * kLevels; i += block.size)
      table[i] = static_cast<T>(a.normalization(i % kLevels, i / kLevels));
  }
  __syncthreads();
  const Image& image = s.image[usable ? of - s.first : 0];
  const Colored colored = colored_of<kHow>(image, a.channels);
  unsigned char* own = reinterpret_cast<unsigned char*>(m) + block_bytes<T>(a.channels) +
                       block.warp() * warp_bytes<T>(a.channels);
  Begin* begins = reinterpret_cast<Begin*>(own);
  T* gathered = reinterpret_cast<T*>(begins + kWarp);
  T* out = a.out + int64_t{crop} * a.height * a.width * a.channels;
  const int first = s.of_crop.rest(static_cast<int>(blockIdx.x), crop) * s.of_block;
  const int end = min(first + s.of_block, s.stretches);
  DARK_UNROLL(1)
  for (int part = first + block.warp(); part < end; part += kWarps)
    crop_stretch<kHow>(s, image, colored, m, part, begins, gathered, table, out);
}

template <typename T, Interpolation kHow>
void launch_crop(const CropCall& call) {
  const CropArguments<T> a = call.arguments<T>();
  const int64_t runs_of_row = ceil_div(a.width, kRun);
  const int64_t stretches = ceil_div(a.height * runs_of_row, kWarp);
  const int64_t each = std::clamp<int64_t>(a.crops * stretches / kWarpsToFill, 1, kMostStretches);
  const int64_t of_crop = ceil_div(stretches, kWarps * each);
  require(stretches * kStretch < kMostSamples && a.crops * of_crop <= INT32_MAX,
          "crop: a GPU takes crops of fewer than 2^28 pixels, rows filled up to whole eights, in "
          "fewer than 2^31 blocks, got ",
          a.crops, " of ", a.height, " x ", a.width);
  const bool packs =
      a.width % kRun == 0 && packs_begin_at(a.out, {int64_t{a.height} * a.width * a.channels});
  CropLaunch<T> s{{a, Divisor(of_crop), Divisor(runs_of_row), static_cast<int>(stretches),
                   static_cast<int>(kWarps * each), packs, 0, 0},
                  {}};
  const Grid grid{a.crops * of_crop, kThreads,
                  block_bytes<T>(a.channels) + kWarps * warp_bytes<T>(a.channels)};
  for (s.first = 0; s.first < a.images; s.first += s.images) {
    s.images = static_cast<int>(std::min<int64_t>(kMostImages<T>, a.images - s.first));
    for (int i = 0; i < s.images; ++i) s.image[i] = call.image(s.first + i);
    launch<kThreads>("crop", call.out, grid, crop_kernel<T, kHow>, s);
  }
}

Tensor crop(std::vector<Tensor> images,  // uint8 [H_i, W_i, C]
            const Tensor& index,         // [N]
            const Tensor& transform,     // [N, 2, 3]
            int64_t height, int64_t width, std::optional<std::vector<double>> mean,
            std::optional<std::vector<double>> std, std::string interpolation,
            std::optional<ScalarType> dtype) {
  check_crop(images, index, transform, height, width, mean, std, interpolation, dtype);
  const CropCall call(images, index, transform, height, width, mean, std, interpolation, dtype);
  if (call.out.numel() == 0) return call.result();
  call.dispatch([&](auto zero) {
    using T = decltype(zero);
    switch (call.interpolation) {
      case Interpolation::bilinear: return launch_crop<T, Interpolation::bilinear>(call);
      case Interpolation::bicubic: return launch_crop<T, Interpolation::bicubic>(call);
    }
  });
  return call.result();
}

}  // namespace

DARK_CUDA_KERNELS(m) { m.impl("crop", TORCH_BOX(&crop)); }
}  // namespace dark
