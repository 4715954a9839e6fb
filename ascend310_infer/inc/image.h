// Images as the network's users have them: 8-bit RGB, perhaps with alpha.
#ifndef AECRNET_INC_IMAGE_H_
#define AECRNET_INC_IMAGE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace aecrnet {

// Largest image that is read: Pillow's limit against decompression bombs, which infer.py has too.
constexpr std::uint64_t kMaxPixels = 89478485;
// Shortest side: below it the network's quarter-size map is narrower than a deformable kernel's reach.
constexpr int kMinSide = 16;

struct Image {
  int height = 0;
  int width = 0;
  std::vector<std::uint8_t> rgb;          // height * width * 3
  std::vector<std::uint8_t> alpha;        // height * width, or empty
  bool is_grey = false;                   // written as grey again
  std::vector<std::uint8_t> icc_profile;  // what the RGB values mean; empty: sRGB

  std::size_t pixels() const { return static_cast<std::size_t>(height) * static_cast<std::size_t>(width); }
};

// Reads a PNG or JPEG, whichever its first bytes say, as src/data/images.py does: EXIF rotation applied, grey repeated,
// 16 bits scaled to 8, CMYK converted. Throws InputError naming the file if it is missing, broken or too large.
Image ReadImage(const std::string& path);

// Writes the image, its alpha and profile under a temporary name in the same folder and renames, so that no half file
// ever has the name. Throws InputError naming the file.
void WritePng(const std::string& path, const Image& image);

// The PNG and JPEG files of a folder by name, hidden ones left out, or the one file that `path` is.
// Throws InputError if there is none.
std::vector<std::string> ListImages(const std::string& path);

// Decoders of a whole file in memory. They throw InputError that names no file.
Image DecodeJpeg(const std::vector<std::uint8_t>& file);
Image DecodePng(const std::vector<std::uint8_t>& file);

}  // namespace aecrnet

#endif  // AECRNET_INC_IMAGE_H_
