// SPDX-License-Identifier: Apache-2.0
#include "image.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

#ifdef DARKPOSE_JPEG
#include <jpeglib.h>

#include <csetjmp>
#endif
#ifdef DARKPOSE_PNG
#include <png.h>
#endif

namespace darkpose {
namespace {

using Bytes = std::vector<uint8_t>;
constexpr int64_t kMostPixels = int64_t{1} << 30;

[[noreturn]] void fail(const std::string& path, const std::string& reason) {
  throw std::runtime_error("image " + path + " " + reason);
}

void check_size(const std::string& path, int64_t width, int64_t height) {
  if (width < 1 || height < 1 || width > kMostPixels / height)
    fail(path, "must have from 1 to 2^30 pixels, got " + std::to_string(width) + " x " +
                   std::to_string(height));
}

// ---- PNM: a header of numbers with comments between, then numbers or bytes
// -----------------------

class PnmReader {
 public:
  PnmReader(const std::string& path, const Bytes& data) : path_(path), data_(data) {}

  Image read() {
    const char kind = static_cast<char>(data_[1]);
    const bool color = kind == '3' || kind == '6', text = kind == '2' || kind == '3';
    const int64_t width = number(), height = number();
    most_ = number();
    if (most_ < 1 || most_ > 65535) fail(path_, "must have values up to 65535 at most");
    check_size(path_, width, height);
    ++at_;  // the one space after the header
    // Before memory is taken for what a few bytes promise. Text has a space between its values.
    const int64_t bytes = width * height * (color ? 3 : 1) * (text || most_ > 255 ? 2 : 1);
    if (static_cast<int64_t>(data_.size() - at_) < bytes - text) fail(path_, "is cut short");
    Image image(static_cast<int>(width), static_cast<int>(height));
    for (size_t i = 0; i < image.rgb.size(); i += 3) {
      for (int channel = 0; channel < 3; ++channel)
        image.rgb[i + channel] = channel > 0 && !color ? image.rgb[i] : value(text);
    }
    return image;
  }

 private:
  int64_t number() {
    while (at_ < data_.size() && (std::isspace(data_[at_]) || data_[at_] == '#')) {
      if (data_[at_] == '#')
        while (at_ < data_.size() && data_[at_] != '\n') ++at_;
      else
        ++at_;
    }
    int64_t result = 0;
    const size_t begin = at_;
    for (; at_ < data_.size() && std::isdigit(data_[at_]) && at_ - begin < 10; ++at_)
      result = 10 * result + (data_[at_] - '0');
    if (at_ == begin) fail(path_, at_ < data_.size() ? "must hold numbers" : "is cut short");
    return result;
  }

  int64_t byte() {
    if (at_ >= data_.size()) fail(path_, "is cut short");
    return data_[at_++];
  }

  uint8_t value(bool text) {
    int64_t read;
    if (text)
      read = number();
    else
      read = most_ < 256 ? byte() : 256 * byte();
    if (!text && most_ > 255) read += byte();
    if (read > most_) fail(path_, "has a value above the highest that it names");
    return static_cast<uint8_t>((255 * read + most_ / 2) / most_);
  }

  const std::string& path_;
  const Bytes& data_;
  size_t at_ = 2;
  int64_t most_ = 255;
};

// ---- JPEG and PNG
// --------------------------------------------------------------------------------

#ifdef DARKPOSE_JPEG
struct JpegErrors {
  jpeg_error_mgr manager;  // first: the library knows only this
  std::jmp_buf back;
  char message[JMSG_LENGTH_MAX];
};

void jump_back(j_common_ptr info) {
  auto* errors = reinterpret_cast<JpegErrors*>(info->err);
  info->err->format_message(info, errors->message);
  std::longjmp(errors->back, 1);
}

// Nothing with a destructor may live here: an error leaves it by a jump.
bool decode_jpeg(const Bytes& data, Image& image, JpegErrors& errors,
                 bool (*resize)(Image&, int, int)) {
  jpeg_decompress_struct info;
  info.err = jpeg_std_error(&errors.manager);
  errors.manager.error_exit = jump_back;
  errors.manager.output_message = [](j_common_ptr) {};
  if (setjmp(errors.back)) {
    jpeg_destroy_decompress(&info);
    return false;
  }
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, data.data(), static_cast<unsigned long>(data.size()));
  jpeg_read_header(&info, TRUE);
  info.out_color_space = JCS_RGB;
  jpeg_start_decompress(&info);
  if (!resize(image, static_cast<int>(info.output_width), static_cast<int>(info.output_height))) {
    jpeg_destroy_decompress(&info);
    std::strcpy(errors.message, "too many pixels");
    return false;
  }
  while (info.output_scanline < info.output_height) {
    JSAMPROW row = image.rgb.data() + size_t{3} * image.width * info.output_scanline;
    jpeg_read_scanlines(&info, &row, 1);
  }
  jpeg_finish_decompress(&info);
  const bool whole = errors.manager.num_warnings == 0;
  if (!whole) info.err->format_message(reinterpret_cast<j_common_ptr>(&info), errors.message);
  jpeg_destroy_decompress(&info);
  return whole;
}

Image read_jpeg(const std::string& path, const Bytes& data) {
  Image image;
  JpegErrors errors;
  const auto resize = [](Image& made, int width, int height) {
    if (width > kMostPixels / height) return false;
    made = Image(width, height);
    return true;
  };
  if (!decode_jpeg(data, image, errors, resize))
    fail(path, std::string("must be a complete JPEG, libjpeg says: ") + errors.message);
  return image;
}
#else
Image read_jpeg(const std::string& path, const Bytes&) {
  fail(path, "is a JPEG, and this program was built without libjpeg: convert it to PPM");
}
#endif

#ifdef DARKPOSE_PNG
Image read_png(const std::string& path, const Bytes& data) {
  png_image png;
  std::memset(&png, 0, sizeof png);
  png.version = PNG_IMAGE_VERSION;
  const png_color black{0, 0, 0};  // behind what is transparent
  Image image;
  bool done = png_image_begin_read_from_memory(&png, data.data(), data.size()) != 0;
  if (done) {
    png.format = PNG_FORMAT_RGB;
    png.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;  // 16-bit values would be taken for linear light
    check_size(path, png.width, png.height);
    image = Image(static_cast<int>(png.width), static_cast<int>(png.height));
    done = png_image_finish_read(&png, &black, image.rgb.data(), 0, nullptr) != 0;
  }
  const std::string message = png.message;
  png_image_free(&png);
  if (!done) fail(path, "must be a complete PNG, libpng says: " + message);
  return image;
}
#else
Image read_png(const std::string& path, const Bytes&) {
  fail(path, "is a PNG, and this program was built without libpng: convert it to PPM");
}
#endif

}  // namespace

Image read_image(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail(path, "must be a readable file");
  Bytes data;
  try {
    data.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  } catch (const std::ios_base::failure&) {  // a folder
    fail(path, "must be a readable file");
  }
  const auto begins = [&](const char* text) {
    const size_t length = std::strlen(text);
    return data.size() > length && std::memcmp(data.data(), text, length) == 0;
  };
  if (begins("\xff\xd8")) return read_jpeg(path, data);
  if (begins("\x89PNG")) return read_png(path, data);
  if (begins("P2") || begins("P3") || begins("P5") || begins("P6"))
    return PnmReader(path, data).read();
  fail(path, "must be PNM (P2, P3, P5, P6), JPEG or PNG");
}

void write_ppm(const std::string& path, const Image& image) {
  std::ofstream file(path, std::ios::binary);
  file << "P6\n" << image.width << " " << image.height << "\n255\n";
  file.write(reinterpret_cast<const char*>(image.rgb.data()),
             static_cast<std::streamsize>(image.rgb.size()));
  if (!file.flush()) throw std::runtime_error("image " + path + " could not be written");
}

}  // namespace darkpose
