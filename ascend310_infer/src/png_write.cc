// Writes PNG: grey or RGB, with or without alpha and colour profile.
#include <cerrno>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <system_error>

#include <png.h>
#include <unistd.h>

#include "error.h"
#include "image.h"

namespace aecrnet {
namespace fs = std::filesystem;
namespace {

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

struct Encoder {
  Encoder() = default;
  ~Encoder() { png_destroy_write_struct(&png, &info); }
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;

  png_structp png = nullptr;
  png_infop info = nullptr;
  std::string message = "out of memory";
};

void Fail(png_structp png, png_const_charp message) {
  static_cast<Encoder*>(png_get_error_ptr(png))->message = message;
  png_longjmp(png, 1);
}

void Ignore(png_structp, png_const_charp) {}

// Pillow's ITU-R 601 luma.
std::uint16_t Luma(const std::uint16_t* rgb) {
  return static_cast<std::uint16_t>((rgb[0] * 19595U + rgb[1] * 38470U + rgb[2] * 7471U + 0x8000U) >> 16);
}

std::size_t Samples(const Image& image) { return (image.is_grey ? 1U : 3U) + (image.alpha.empty() ? 0U : 1U); }

// The samples of row y as PNG stores them: pixel after pixel, 16 bits with the high byte first.
void Interleave(const Image& image, int y, std::vector<std::uint8_t>* row) {
  row->clear();
  const auto put = [&](std::uint16_t value) {
    if (image.white > 255) row->push_back(static_cast<std::uint8_t>(value >> 8));
    row->push_back(static_cast<std::uint8_t>(value));
  };
  std::size_t i = static_cast<std::size_t>(y) * static_cast<std::size_t>(image.width);
  for (const std::size_t stop = i + static_cast<std::size_t>(image.width); i < stop; ++i) {
    const std::uint16_t* rgb = &image.rgb[i * 3];
    if (image.is_grey) {
      put(Luma(rgb));
    } else {
      for (std::size_t c = 0; c < 3; ++c) put(rgb[c]);
    }
    if (!image.alpha.empty()) put(image.alpha[i]);
  }
}

// All calls of libpng that may jump. The function owns nothing, so that a jump skips no destructor.
bool Encode(Encoder* encoder, std::FILE* file, const Image& image, std::vector<std::uint8_t>* row) {
  constexpr int kTypes[] = {PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB, PNG_COLOR_TYPE_RGBA};
  encoder->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, encoder, Fail, Ignore);
  if (encoder->png == nullptr) return false;
  if (setjmp(png_jmpbuf(encoder->png)) != 0) return false;
  encoder->info = png_create_info_struct(encoder->png);
  if (encoder->info == nullptr) return false;
  png_init_io(encoder->png, file);
  png_set_benign_errors(encoder->png, 1);  // a faulty profile is left out
  png_set_IHDR(encoder->png, encoder->info, static_cast<png_uint_32>(image.width),
               static_cast<png_uint_32>(image.height), image.white > 255 ? 16 : 8, kTypes[Samples(image) - 1], PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  if (!image.icc_profile.empty()) {
    png_set_iCCP(encoder->png, encoder->info, "ICC Profile", PNG_COMPRESSION_TYPE_BASE, image.icc_profile.data(),
                 static_cast<png_uint_32>(image.icc_profile.size()));
  }
  png_write_info(encoder->png, encoder->info);
  for (int y = 0; y < image.height; ++y) {
    Interleave(image, y, row);
    png_write_row(encoder->png, row->data());
  }
  png_write_end(encoder->png, encoder->info);
  return true;
}

void WriteTo(const fs::path& path, const Image& image) {
  File file(std::fopen(path.c_str(), "wb"));
  if (!file) throw InputError(std::strerror(errno));
  std::vector<std::uint8_t> row;
  Encoder encoder;
  if (!Encode(&encoder, file.get(), image, &row)) throw InputError(encoder.message);
  if (std::fflush(file.get()) != 0) throw InputError(std::strerror(errno));
}

}  // namespace

void WritePng(const std::string& path, const Image& image) {
  const fs::path target(path);
  const fs::path temporary =
      target.parent_path() / ("." + target.stem().string() + "." + std::to_string(getpid()) + ".tmp.png");
  try {
    WriteTo(temporary, image);
    fs::rename(temporary, target);
  } catch (const std::exception& error) {
    std::error_code failed;
    fs::remove(temporary, failed);
    const auto* system = dynamic_cast<const fs::filesystem_error*>(&error);
    throw InputError(path + ": cannot be written (" + (system == nullptr ? error.what() : system->code().message()) +
                     ")");
  }
}

}  // namespace aecrnet
