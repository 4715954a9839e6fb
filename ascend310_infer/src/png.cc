// Reads PNG with libpng. All kinds become RGB of 8 or 16 bits.
#include <csetjmp>
#include <cstring>

#include <png.h>

#include "error.h"
#include "exif.h"
#include "image.h"

namespace aecrnet {
namespace {

struct Source {
  const std::uint8_t* data;
  std::size_t size;
  std::size_t read = 0;
};

struct Decoder {
  explicit Decoder(const std::vector<std::uint8_t>& file) : source{file.data(), file.size()} {}
  ~Decoder() { png_destroy_read_struct(&png, &info, nullptr); }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  Source source;
  png_structp png = nullptr;
  png_infop info = nullptr;
  std::string message;
  std::vector<std::uint8_t> pixels;
  std::vector<png_bytep> rows;
  std::uint32_t height = 0;
  std::uint32_t width = 0;
  std::size_t samples = 0;  // of a pixel, after libpng's transformations
  bool is_grey = false;
  bool is_16_bits = false;
  bool is_palette = false;
  bool is_complete = false;
  bool too_large = false;
};

void Fail(png_structp png, png_const_charp message) {
  static_cast<Decoder*>(png_get_error_ptr(png))->message = message;
  png_longjmp(png, 1);
}

void Ignore(png_structp, png_const_charp) {}

void Read(png_structp png, png_bytep to, std::size_t count) {
  auto* source = static_cast<Source*>(png_get_io_ptr(png));
  if (source->size - source->read < count) png_error(png, "the file ends too early");
  std::memcpy(to, source->data + source->read, count);
  source->read += count;
}

// Asks libpng for RGB or RGBA of 8 or 16 bits.
void SetTransformations(Decoder* decoder) {
  png_structp png = decoder->png;
  const int bits = png_get_bit_depth(png, decoder->info);
  const int type = png_get_color_type(png, decoder->info);
  decoder->is_grey = (type & PNG_COLOR_MASK_COLOR) == 0;
  decoder->is_16_bits = bits == 16;
  decoder->is_palette = type == PNG_COLOR_TYPE_PALETTE;
  png_set_expand(png);
  if (decoder->is_grey) png_set_gray_to_rgb(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, decoder->info);
  decoder->samples = png_get_channels(png, decoder->info);
}

// All calls of libpng that may jump. The function owns nothing, so that a jump skips no destructor.
bool Decode(Decoder* decoder) {
  decoder->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, decoder, Fail, Ignore);
  if (decoder->png == nullptr) return false;
  if (setjmp(png_jmpbuf(decoder->png)) != 0) return decoder->is_complete;
  decoder->info = png_create_info_struct(decoder->png);
  if (decoder->info == nullptr) return false;
  png_set_read_fn(decoder->png, &decoder->source, Read);
  png_read_info(decoder->png, decoder->info);
  decoder->height = png_get_image_height(decoder->png, decoder->info);
  decoder->width = png_get_image_width(decoder->png, decoder->info);
  if (std::uint64_t{decoder->height} * decoder->width > kMaxPixels) {
    decoder->too_large = true;
    return false;
  }
  SetTransformations(decoder);
  const std::size_t row_bytes = png_get_rowbytes(decoder->png, decoder->info);
  decoder->pixels.resize(row_bytes * decoder->height);
  decoder->rows.resize(decoder->height);
  for (std::size_t y = 0; y < decoder->height; ++y) decoder->rows[y] = decoder->pixels.data() + y * row_bytes;
  png_read_image(decoder->png, decoder->rows.data());
  decoder->is_complete = true;
  png_read_end(decoder->png, decoder->info);  // EXIF data may follow the pixels
  return true;
}

std::vector<std::uint8_t> Profile(const Decoder& decoder) {
  png_charp name = nullptr;
  int compression = 0;
  png_bytep data = nullptr;
  png_uint_32 size = 0;
  if (png_get_iCCP(decoder.png, decoder.info, &name, &compression, &data, &size) == 0) return {};
  return {data, data + size};
}

std::uint16_t Sample(const Decoder& decoder, std::size_t number) {
  if (!decoder.is_16_bits) return decoder.pixels[number];
  return static_cast<std::uint16_t>(decoder.pixels[number * 2] << 8 | decoder.pixels[number * 2 + 1]);
}

Image ToImage(const Decoder& decoder) {
  Image image;
  image.height = static_cast<int>(decoder.height);
  image.width = static_cast<int>(decoder.width);
  image.is_grey = decoder.is_grey;
  image.rgb.resize(image.pixels() * 3);
  if (decoder.samples == 4) image.alpha.resize(image.pixels());
  if (decoder.is_16_bits) image.white = 65535;
  for (std::size_t i = 0; i < image.pixels(); ++i) {
    for (std::size_t c = 0; c < 3; ++c) image.rgb[i * 3 + c] = Sample(decoder, i * decoder.samples + c);
    if (decoder.samples == 4) image.alpha[i] = Sample(decoder, i * 4 + 3);
  }
  if (!decoder.is_grey && !decoder.is_palette) image.icc_profile = Profile(decoder);
  return image;
}

int Orientation(const Decoder& decoder) {
  png_uint_32 size = 0;
  png_bytep data = nullptr;
  if (png_get_eXIf_1(decoder.png, decoder.info, &size, &data) == 0) return 1;
  return ExifOrientation(data, size);
}

}  // namespace

Image DecodePng(const std::vector<std::uint8_t>& file) {
  Decoder decoder(file);
  if (!Decode(&decoder)) {
    if (decoder.too_large) throw InputError("more than " + std::to_string(kMaxPixels) + " pixels");
    throw InputError("broken PNG: " + (decoder.message.empty() ? "out of memory" : decoder.message));
  }
  return Upright(ToImage(decoder), Orientation(decoder));
}

}  // namespace aecrnet
