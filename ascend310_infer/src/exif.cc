#include "exif.h"

#include <utility>

namespace aecrnet {
namespace {

// Reads unsigned numbers of either byte order. Beyond the end, every number is 0.
class Reader {
 public:
  Reader(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

  bool SetByteOrder() {
    if (size_ < 8 || data_[0] != data_[1]) return false;
    big_endian_ = data_[0] == 'M';
    return big_endian_ || data_[0] == 'I';
  }

  std::uint32_t Number(std::size_t offset, std::size_t bytes) const {
    if (offset > size_ || size_ - offset < bytes) return 0;
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i) {
      value = value << 8 | data_[offset + (big_endian_ ? i : bytes - 1 - i)];
    }
    return value;
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
  bool big_endian_ = false;
};

constexpr std::uint32_t kOrientationTag = 0x0112;
constexpr std::uint32_t kShort = 3;
constexpr std::uint32_t kLong = 4;

}  // namespace

int ExifOrientation(const std::uint8_t* data, std::size_t size) {
  Reader reader(data, size);
  if (!reader.SetByteOrder() || reader.Number(2, 2) != 42) return 1;
  const std::size_t directory = reader.Number(4, 4);
  const std::uint32_t entries = reader.Number(directory, 2);
  for (std::uint32_t i = 0; i < entries; ++i) {
    const std::size_t entry = directory + 2 + std::size_t{12} * i;
    if (reader.Number(entry, 2) != kOrientationTag) continue;
    const std::uint32_t type = reader.Number(entry + 2, 2);
    const std::uint32_t value = type == kShort  ? reader.Number(entry + 8, 2)
                                : type == kLong ? reader.Number(entry + 8, 4)
                                                : 1;
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

Image Upright(Image image, int orientation) {
  if (orientation <= 1 || orientation > 8) return image;
  const bool transposed = orientation >= 5;
  const bool mirror_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool mirror_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  Image result;
  result.is_grey = image.is_grey;
  result.icc_profile = std::move(image.icc_profile);
  result.white = image.white;
  result.height = transposed ? image.width : image.height;
  result.width = transposed ? image.height : image.width;
  result.rgb.resize(image.rgb.size());
  result.alpha.resize(image.alpha.size());
  std::size_t to = 0;
  for (int y = 0; y < result.height; ++y) {
    for (int x = 0; x < result.width; ++x, ++to) {
      int from_y = transposed ? x : y;
      int from_x = transposed ? y : x;
      if (mirror_y) from_y = image.height - 1 - from_y;
      if (mirror_x) from_x = image.width - 1 - from_x;
      const std::size_t from =
          static_cast<std::size_t>(from_y) * static_cast<std::size_t>(image.width) + static_cast<std::size_t>(from_x);
      for (std::size_t c = 0; c < 3; ++c) result.rgb[to * 3 + c] = image.rgb[from * 3 + c];
      if (!image.alpha.empty()) result.alpha[to] = image.alpha[from];
    }
  }
  return result;
}

}  // namespace aecrnet
