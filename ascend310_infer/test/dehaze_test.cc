#include "dehaze.h"

#include <algorithm>
#include <cstdlib>
#include <new>

#include "error.h"
#include "testing.h"
#include "tiling.h"

// The largest requested piece of memory, for the tests below.
static std::size_t largest_allocation = 0;

[[gnu::noinline]] void* operator new(std::size_t size) {
  largest_allocation = std::max(largest_allocation, size);
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace aecrnet {
namespace {

// Inverts the image, and records the sizes of its inputs.
class Inverter : public Model {
 public:
  explicit Inverter(float top) : top_(top) {}
  Tensor Run(const Tensor& input) override {
    sizes.emplace_back(input.height, input.width);
    Tensor output = input;
    for (float& value : output.data) value = top_ - value;
    return output;
  }
  std::vector<std::pair<int, int>> sizes;

 private:
  float top_;
};

Sidecar Describe(int height, int width, float top = 255.0F) {
  Sidecar sidecar;
  sidecar.height = height;
  sidecar.width = width;
  sidecar.top = top;
  sidecar.multiple_of = 4;
  return sidecar;
}

void ExpectInverted(const Image& image, const Image& result) {
  ASSERT_EQ(result.height, image.height);
  ASSERT_EQ(result.width, image.width);
  ASSERT_EQ(result.rgb.size(), image.rgb.size());
  for (std::size_t i = 0; i < image.rgb.size(); ++i) ASSERT_EQ(result.rgb[i], 255 - image.rgb[i]);
}

TEST(Dehaze, OpenSizeGetsTheNextMultipleOf4) {
  for (const float top : {1.0F, 255.0F}) {
    Inverter model(top);
    const Image image = TestImage(33, 46);
    ExpectInverted(image, Dehaze(&model, Describe(0, 0, top), image, 0, 32));
    EXPECT_EQ(model.sizes, (std::vector<std::pair<int, int>>{{36, 48}}));
  }
}

TEST(Dehaze, FixedSizeIsFilledUp) {
  Inverter model(255.0F);
  const Image image = TestImage(33, 46);
  ExpectInverted(image, Dehaze(&model, Describe(64, 96), image, 0, 32));
  EXPECT_EQ(model.sizes, (std::vector<std::pair<int, int>>{{64, 96}}));
}

TEST(Dehaze, ImagesLargerThanTheFixedSizeGoInTiles) {
  Inverter model(255.0F);
  const Image image = TestImage(201, 100);
  ExpectInverted(image, Dehaze(&model, Describe(160, 160), image, 0, 32));
  EXPECT_EQ(model.sizes, (std::vector<std::pair<int, int>>{{160, 160}, {160, 160}}));
}

TEST(Dehaze, NoMoreThanARowOfTilesIsHeldInFloat) {
  Inverter model(255.0F);
  const Image image = TestImage(6000, 33);
  largest_allocation = 0;
  ExpectInverted(image, Dehaze(&model, Describe(0, 0), image, 160, 32));
  EXPECT_LE(largest_allocation, image.rgb.size());
}

TEST(Dehaze, FixedSizeTooSmallForTilesIsAnError) {
  Inverter model(255.0F);
  EXPECT_EQ(MessageOf<InputError>([&] { Dehaze(&model, Describe(48, 160), TestImage(20, 161), 0, 8); }),
            "image of 161x20 is larger than the model's 160x48, which is too small for tiles (at least 145, and the "
            "overlap and 16)");
  EXPECT_NE(MessageOf<InputError>([&] { Dehaze(&model, Describe(160, 160), TestImage(20, 161), 0, 145); }), "");
  EXPECT_TRUE(model.sizes.empty());
}

TEST(Dehaze, TilesWhereAsked) {
  Inverter model(255.0F);
  const Image image = TestImage(258, 18);
  ExpectInverted(image, Dehaze(&model, Describe(0, 0), image, 148, 32));
  EXPECT_EQ(model.sizes, (std::vector<std::pair<int, int>>{{148, 20}, {148, 20}}));
}

TEST(Dehaze, TilesByItselfAboveAMegapixelUnlessForbidden) {
  const Image image = TestImage(700, 1430);
  Inverter tiled(1.0F);
  ExpectInverted(image, Dehaze(&tiled, Describe(0, 0, 1.0F), image, 0, 64));
  EXPECT_EQ(tiled.sizes, (std::vector<std::pair<int, int>>(8, {384, 408})));
  Inverter whole(1.0F);
  ExpectInverted(image, Dehaze(&whole, Describe(0, 0, 1.0F), image, kWholeImage, 64));
  EXPECT_EQ(whole.sizes, (std::vector<std::pair<int, int>>{{700, 1432}}));
}

// Each tile is darker than the one before.
class Dimming : public Model {
 public:
  Tensor Run(const Tensor& input) override {
    Tensor output(input.height, input.width);
    output.data.assign(output.data.size(), level_);
    level_ -= 100.0F;
    return output;
  }

 private:
  float level_ = 300.0F;  // clipped to 255 before it is blended
};

TEST(Dehaze, SeamsAreBlendedAfterClipping) {
  Dimming model;
  const Image image = TestImage(16, 232);
  const Image result = Dehaze(&model, Describe(0, 0), image, 148, 64);
  ASSERT_EQ(Windows(232, 148, 64, false), (std::vector<Window>{{0, 148}, {84, 232}}));
  EXPECT_EQ(result.rgb[83 * 3], 255);
  EXPECT_EQ(result.rgb[148 * 3], 200);
  for (std::size_t x = 85; x < 148; ++x) EXPECT_NEAR(result.rgb[x * 3 - 3] - result.rgb[x * 3], 55.0 / 64, 1.0);
  EXPECT_NEAR(result.rgb[116 * 3], 227.5, 1.0);
}

TEST(Dehaze, AlphaPassesThrough) {
  Inverter model(255.0F);
  Image image = TestImage(16, 16);
  image.alpha.assign(256, 9);
  EXPECT_EQ(Dehaze(&model, Describe(0, 0), image, 0, 32).alpha, image.alpha);
}

}  // namespace
}  // namespace aecrnet
