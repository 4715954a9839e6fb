// Images as users have them: RGB of 8 or 16 bits, with or without alpha.
#ifndef AECRNET_INC_IMAGE_H_
#define AECRNET_INC_IMAGE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace aecrnet {

// The largest number of pixels: Pillow's limit against decompression bombs, as in infer.py.
constexpr std::uint64_t kMaxPixels = 89478485;
// The shortest side. With a shorter one, the quarter-size map is smaller than the reach of a deformable kernel.
constexpr int kMinSide = 16;

struct Image {
  int height = 0;
  int width = 0;
  int white = 255;                        // highest value of rgb and alpha: 255, or 65535 for 16 bits
  std::vector<std::uint16_t> rgb;         // height * width * 3
  std::vector<std::uint16_t> alpha;       // height * width, or empty
  bool is_grey = false;                   // written as grey again
  std::vector<std::uint8_t> icc_profile;  // meaning of the RGB values; empty: sRGB

  std::size_t pixels() const { return static_cast<std::size_t>(height) * static_cast<std::size_t>(width); }
};

// Reads a PNG or JPEG as src/data/images.py does: applies EXIF rotation, repeats grey, converts CMYK. The first bytes of the file decide the format. Throws InputError naming the file if it is missing, broken or
// too large.
Image ReadImage(const std::string& path);

// Writes the image in its bits, with its alpha and profile, under a temporary name in the same folder, and then renames the file. A
// half-written file never has the final name. Throws InputError naming the file.
void WritePng(const std::string& path, const Image& image);

// The PNG and JPEG files of a folder in the order of their names, without hidden files; or the file `path` itself.
// Throws InputError if there is none.
std::vector<std::string> ListImages(const std::string& path);

// The value, clipped to 0..white and rounded half to even. NaN becomes 0.
inline std::uint16_t Level(float value, float white) {
  const float clipped = value > 0.0F ? (value < white ? value : white) : 0.0F;
  constexpr float kNoFraction = 8388608.0F;  // 2^23: floats from here on are whole, so the sum rounds; faster than rint
  return static_cast<std::uint16_t>(clipped + kNoFraction - kNoFraction);
}

// Decode a whole file in memory. They throw InputError without the name of the file.
Image DecodeJpeg(const std::vector<std::uint8_t>& file);
Image DecodePng(const std::vector<std::uint8_t>& file);

}  // namespace aecrnet

#endif  // AECRNET_INC_IMAGE_H_
