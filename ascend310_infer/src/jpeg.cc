// Reads JPEG with libjpeg(-turbo), which is Pillow's decoder too. Other decoders differ by a few levels.
#include <algorithm>
#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <jerror.h>
#include <jpeglib.h>

#include "error.h"
#include "exif.h"
#include "image.h"

namespace aecrnet {
namespace {

struct Errors {
  jpeg_error_mgr base;
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX];
};

void Fail(j_common_ptr info) {
  auto* errors = reinterpret_cast<Errors*>(info->err);
  info->err->format_message(info, errors->message);
  std::longjmp(errors->jump, 1);
}

// libjpeg completes a truncated file with grey and only warns. Pillow refuses such a file.
void Warn(j_common_ptr info, int level) {
  if (level < 0 && info->err->msg_code == JWRN_JPEG_EOF) Fail(info);
}

struct Decoder {
  Decoder() {
    info.err = jpeg_std_error(&errors.base);
    errors.base.error_exit = Fail;
    errors.base.emit_message = Warn;
    errors.message[0] = '\0';
  }
  ~Decoder() {
    jpeg_destroy_decompress(&info);
    std::free(icc_profile);
  }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  jpeg_decompress_struct info{};
  Errors errors{};
  Image image;
  std::vector<std::uint8_t> line;
  JOCTET* icc_profile = nullptr;  // libjpeg allocates it
  unsigned int icc_size = 0;
  int orientation = 1;
  bool too_large = false;
};

int Orientation(const jpeg_decompress_struct& info) {
  constexpr char kPrefix[] = "Exif\0";  // six bytes with the end of the literal
  for (const jpeg_marker_struct* marker = info.marker_list; marker != nullptr; marker = marker->next) {
    if (marker->marker == JPEG_APP0 + 1 && marker->data_length > sizeof(kPrefix) &&
        std::memcmp(marker->data, kPrefix, sizeof(kPrefix)) == 0) {
      return ExifOrientation(marker->data + sizeof(kPrefix), marker->data_length - sizeof(kPrefix));
    }
  }
  return 1;
}

// Converts one inverted (Adobe) CMYK pixel as Pillow does. `rgb` may lie before or at `cmyk`.
void CmykToRgb(const std::uint8_t* cmyk, std::uint8_t* rgb) {
  const std::uint8_t black = cmyk[3];
  for (int c = 0; c < 3; ++c) {
    const int product = (255 - cmyk[c]) * black + 128;
    rgb[c] = static_cast<std::uint8_t>(black - (((product >> 8) + product) >> 8));
  }
}

// All calls of libjpeg that may jump. The function owns nothing, so that a jump skips no destructor.
bool Decode(Decoder* decoder, const std::uint8_t* data, unsigned long size) {
  jpeg_decompress_struct* info = &decoder->info;
  if (setjmp(decoder->errors.jump) != 0) return false;
  jpeg_create_decompress(info);
  jpeg_save_markers(info, JPEG_APP0 + 1, 0xFFFF);  // EXIF
  jpeg_save_markers(info, JPEG_APP0 + 2, 0xFFFF);  // colour profile
  jpeg_mem_src(info, data, size);
  jpeg_read_header(info, TRUE);
  if (std::uint64_t{info->image_height} * info->image_width > kMaxPixels) {
    decoder->too_large = true;
    return false;
  }
  const bool is_cmyk = info->num_components == 4;
  info->out_color_space = is_cmyk ? JCS_CMYK : JCS_RGB;
  jpeg_start_decompress(info);
  Image* image = &decoder->image;
  image->height = static_cast<int>(info->output_height);
  image->width = static_cast<int>(info->output_width);
  image->rgb.resize(image->pixels() * 3);
  decoder->line.resize(std::size_t{info->output_width} * 4);
  for (std::size_t row = 0; row < info->output_height; ++row) {
    JSAMPROW line = decoder->line.data();
    jpeg_read_scanlines(info, &line, 1);
    for (std::size_t x = 0; is_cmyk && x < info->output_width; ++x) CmykToRgb(line + x * 4, line + x * 3);
    std::copy_n(line, info->output_width * 3, image->rgb.data() + row * info->output_width * 3);
  }
  decoder->orientation = Orientation(*info);
  image->is_grey = info->jpeg_color_space == JCS_GRAYSCALE;
  if (info->num_components == 3) jpeg_read_icc_profile(info, &decoder->icc_profile, &decoder->icc_size);
  jpeg_finish_decompress(info);
  return true;
}

}  // namespace

Image DecodeJpeg(const std::vector<std::uint8_t>& file) {
  Decoder decoder;
  if (!Decode(&decoder, file.data(), static_cast<unsigned long>(file.size()))) {
    if (decoder.too_large) throw InputError("more than " + std::to_string(kMaxPixels) + " pixels");
    throw InputError(std::string("broken JPEG: ") + decoder.errors.message);
  }
  decoder.image.icc_profile.assign(decoder.icc_profile, decoder.icc_profile + decoder.icc_size);
  return Upright(std::move(decoder.image), decoder.orientation);
}

}  // namespace aecrnet
