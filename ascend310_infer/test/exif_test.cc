#include "exif.h"

#include "testing.h"

namespace aecrnet {
namespace {

// A TIFF header and one directory with another tag and the orientation.
std::vector<std::uint8_t> Exif(bool big_endian, std::uint16_t type, std::uint16_t value) {
  std::vector<std::uint8_t> data;
  const auto put = [&](std::uint32_t number, int bytes) {
    for (int i = 0; i < bytes; ++i) {
      data.push_back(static_cast<std::uint8_t>(number >> 8 * (big_endian ? bytes - 1 - i : i)));
    }
  };
  data.insert(data.end(), 2, big_endian ? 'M' : 'I');
  put(42, 2);
  put(8, 4);
  put(2, 2);
  put(0x010f, 2), put(2, 2), put(4, 4), put(0, 4);
  put(0x0112, 2), put(type, 2), put(1, 4), put(value, type == 3 ? 2 : 4), put(0, type == 3 ? 2 : 0);
  return data;
}

TEST(Exif, ReadsTheOrientationInBothByteOrders) {
  for (const bool big_endian : {false, true}) {
    for (const std::uint16_t type : {std::uint16_t{3}, std::uint16_t{4}}) {
      const std::vector<std::uint8_t> data = Exif(big_endian, type, 6);
      EXPECT_EQ(ExifOrientation(data.data(), data.size()), 6);
    }
  }
}

TEST(Exif, DamagedDataIsNoOrientationAndNoCrash) {
  const std::vector<std::uint8_t> whole = Exif(true, 3, 8);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::vector<std::uint8_t> part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    const int orientation = ExifOrientation(part.data(), part.size());
    EXPECT_TRUE(orientation == 1 || orientation == 8);
  }
  std::vector<std::uint8_t> far = whole;
  far[4] = far[5] = far[6] = far[7] = 0xff;  // directory beyond the end
  EXPECT_EQ(ExifOrientation(far.data(), far.size()), 1);
  const std::vector<std::uint8_t> wrong = Exif(true, 3, 9);
  EXPECT_EQ(ExifOrientation(wrong.data(), wrong.size()), 1);
}

TEST(Exif, TurnsAsTheStandardSays) {
  Image image;
  image.height = 2;
  image.width = 3;
  image.alpha = {1, 2, 3, 4, 5, 6};
  for (const std::uint16_t value : image.alpha) image.rgb.insert(image.rgb.end(), 3, value);
  const std::vector<std::vector<std::uint16_t>> expected = {{1, 2, 3, 4, 5, 6}, {3, 2, 1, 6, 5, 4}, {6, 5, 4, 3, 2, 1},
                                                           {4, 5, 6, 1, 2, 3}, {1, 4, 2, 5, 3, 6}, {4, 1, 5, 2, 6, 3},
                                                           {6, 3, 5, 2, 4, 1}, {3, 6, 2, 5, 1, 4}};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const Image turned = Upright(image, orientation);
    EXPECT_EQ(turned.alpha, expected[static_cast<std::size_t>(orientation - 1)]) << "orientation " << orientation;
    EXPECT_EQ(turned.height, orientation < 5 ? 2 : 3);
    EXPECT_EQ(turned.width, orientation < 5 ? 3 : 2);
    for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(turned.rgb[i * 3 + 2], turned.alpha[i]);
  }
}

}  // namespace
}  // namespace aecrnet
