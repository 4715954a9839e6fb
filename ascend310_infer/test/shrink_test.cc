#include "shrink.h"

#include <algorithm>
#include <cmath>

#include "testing.h"

namespace aecrnet {
namespace {

// The mean over the area of one small pixel.
double Mean(const Image& image, int height, int width, int y, int x, std::size_t c) {
  const double down = static_cast<double>(image.height) / height, across = static_cast<double>(image.width) / width;
  double sum = 0.0;
  for (int v = 0; v < image.height; ++v) {
    const double rows = std::min(v + 1.0, (y + 1) * down) - std::max<double>(v, y * down);
    for (int u = 0; u < image.width; ++u) {
      const double columns = std::min(u + 1.0, (x + 1) * across) - std::max<double>(u, x * across);
      const double value = image.rgb[static_cast<std::size_t>(v * image.width + u) * 3 + c];
      if (rows > 0.0 && columns > 0.0) sum += rows * columns * value;
    }
  }
  return sum / (down * across);
}

TEST(Shrink, EachPixelIsTheMeanOfItsArea) {
  for (const Image& image : {TestImage(30, 47), TestImage16(24, 31)}) {
    for (const auto& [height, width] : std::vector<std::pair<int, int>>{{4, 8}, {12, 31}, {24, 4}, {8, 20}}) {
      const Image small = Shrink(image, height, width);
      ASSERT_EQ(small.rgb.size(), static_cast<std::size_t>(height * width * 3));
      EXPECT_EQ(small.white, image.white);
      for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x)
          for (std::size_t c = 0; c < 3; ++c)
            ASSERT_NEAR(small.rgb[static_cast<std::size_t>(y * width + x) * 3 + c], Mean(image, height, width, y, x, c),
                        0.501);
    }
  }
}

TEST(Shrink, TheSameSizeIsTheSameImage) { EXPECT_EQ(Shrink(TestImage(20, 24), 20, 24).rgb, TestImage(20, 24).rgb); }

}  // namespace
}  // namespace aecrnet
