#include "tensor.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "testing.h"

namespace aecrnet {
namespace {

TEST(Tensor, PlanesAreRedGreenBlueInTheModelsRange) {
  Image image;
  image.height = 1;
  image.width = 2;
  image.rgb = {0, 51, 255, 102, 153, 204};
  const Tensor full = ToTensor(image, 255.0F, {0, 1}, {0, 2});
  EXPECT_EQ(full.data, (std::vector<float>{0, 102, 51, 153, 255, 204}));
  const Tensor unit = ToTensor(image, 1.0F, {0, 1}, {0, 2});
  EXPECT_FLOAT_EQ(unit.row(2, 0)[0], 1.0F);
  EXPECT_FLOAT_EQ(unit.row(0, 0)[1], 0.4F);
}

TEST(Tensor, PadsRightAndBottomByReflectionWithoutTheEdge) {
  Image image;
  image.height = 2;
  image.width = 3;
  for (std::uint16_t i = 0; i < 6; ++i) image.rgb.insert(image.rgb.end(), 3, i);
  const Tensor tensor = ToTensor(image, 255.0F, {0, 5}, {0, 8});  // numpy.pad(..., mode="reflect")
  const std::vector<std::vector<float>> expected = {{0, 1, 2, 1, 0, 1, 2, 1}, {3, 4, 5, 4, 3, 4, 5, 4}};
  for (int y = 0; y < 5; ++y) {
    const std::vector<float> row(tensor.row(1, y), tensor.row(1, y) + 8);
    EXPECT_EQ(row, expected[static_cast<std::size_t>(y % 2)]) << "row " << y;
  }
}

TEST(Tensor, WindowsAreCutOutOfThePaddedImage) {
  const Image image = TestImage(6, 7);
  const Tensor whole = ToTensor(image, 255.0F, {0, 8}, {0, 12});
  const Tensor part = ToTensor(image, 255.0F, {3, 8}, {4, 11});
  for (int c = 0; c < 3; ++c) {
    for (int y = 0; y < 5; ++y) {
      for (int x = 0; x < 7; ++x) EXPECT_EQ(part.row(c, y)[x], whole.row(c, y + 3)[x + 4]);
    }
  }
}

TEST(Tensor, OnePixelImagesReflectToThemselves) {
  Image image;
  image.height = image.width = 1;
  image.rgb = {7, 8, 9};
  const Tensor tensor = ToTensor(image, 255.0F, {0, 2}, {0, 2});
  EXPECT_EQ(tensor.data, (std::vector<float>{7, 7, 7, 7, 8, 8, 8, 8, 9, 9, 9, 9}));
}

TEST(Tensor, ResultIsClippedScaledAndRoundedHalfToEven) {
  Tensor tensor(4, 4);
  tensor.row(0, 0)[0] = -3.0F;
  tensor.row(1, 0)[0] = 300.0F;
  tensor.row(2, 0)[0] = std::numeric_limits<float>::quiet_NaN();
  tensor.row(0, 0)[1] = 0.5F;
  tensor.row(1, 0)[1] = 1.5F;
  tensor.row(2, 0)[1] = 2.5F;
  Image image;
  image.height = 1;
  image.width = 2;  // the rest was padding
  image.rgb.resize(6);
  ClipAndScale(255.0F, 255.0F, &tensor);
  Mix(tensor, 4, 0, 1.0F, &image);
  EXPECT_EQ(image.rgb, (std::vector<std::uint16_t>{0, 255, 0, 0, 2, 2}));
}

TEST(Tensor, ThereAndBackChangesNoLevel) {
  for (const float top : {1.0F, 255.0F}) {
    for (const Image& image : {TestImage(16, 20), TestImage16(16, 20)}) {
      Image back = image;
      std::fill(back.rgb.begin(), back.rgb.end(), std::uint16_t{0});
      Tensor tensor = ToTensor(image, top, {0, 16}, {0, 20});
      ClipAndScale(top, static_cast<float>(image.white), &tensor);
      Mix(tensor, 16, 0, 1.0F, &back);
      EXPECT_EQ(back.rgb, image.rgb);
    }
  }
}

TEST(Tensor, StrengthMixesWithTheImage) {
  Image image;
  image.height = image.width = 1;
  image.rgb = {100, 0, 255};
  const Tensor white = [] {
    Tensor tensor(1, 1);
    tensor.data = {200.0F, 200.0F, 200.0F};
    return tensor;
  }();
  Image half = image;
  Mix(white, 1, 0, 0.5F, &half);
  EXPECT_EQ(half.rgb, (std::vector<std::uint16_t>{150, 100, 228}));  // 227.5 to even
  Mix(white, 1, 0, 0.0F, &image);
  EXPECT_EQ(image.rgb, (std::vector<std::uint16_t>{100, 0, 255}));
}

}  // namespace
}  // namespace aecrnet
