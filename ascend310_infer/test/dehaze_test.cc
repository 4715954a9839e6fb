#include "dehaze.h"

#include <algorithm>
#include <cstdlib>
#include <new>

#include "error.h"
#include "testing.h"
#include "tiling.h"
#include "work_size.h"

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

// No shrinking.
Options Tiles(int tile, int overlap) {
  Options options;
  options.work_size = kFullResolution;
  options.tile = tile;
  options.overlap = overlap;
  return options;
}

Options WorkSize(int work_size, float strength = 1.0F) {
  Options options;
  options.work_size = work_size;
  options.strength = strength;
  return options;
}

void ExpectInverted(const Image& image, const Image& result) {
  ASSERT_EQ(result.height, image.height);
  ASSERT_EQ(result.width, image.width);
  ASSERT_EQ(result.rgb.size(), image.rgb.size());
  for (std::size_t i = 0; i < image.rgb.size(); ++i) ASSERT_EQ(result.rgb[i], image.white - image.rgb[i]);
}

TEST(Dehaze, OpenSizeGetsTheNextMultipleOf4) {
  for (const float top : {1.0F, 255.0F}) {
    Inverter model(top);
    const Image image = TestImage(33, 46);
    ExpectInverted(image, Dehaze(&model, Describe(0, 0, top), image, Tiles(0, 32)));
    EXPECT_EQ(model.sizes, (std::vector<std::pair<int, int>>{{36, 48}}));
  }
}

TEST(Dehaze, FixedSizeIsFilledUp) {
  Inverter model(255.0F);
  const Image image = TestImage(33, 46);
  ExpectInverted(image, Dehaze(&model, Describe(64, 96), image, Tiles(0, 32)));
  EXPECT_EQ(model.sizes, (std::vector<std::pair<int, int>>{{64, 96}}));
}

TEST(Dehaze, ImagesLargerThanTheFixedSizeGoInTiles) {
  Inverter model(255.0F);
  const Image image = TestImage(201, 100);
  ExpectInverted(image, Dehaze(&model, Describe(160, 160), image, Tiles(0, 32)));
  EXPECT_EQ(model.sizes, (std::vector<std::pair<int, int>>{{160, 160}, {160, 160}}));
}

TEST(Dehaze, NoMoreThanARowOfTilesIsHeldInFloat) {
  Inverter model(255.0F);
  const Image image = TestImage(6000, 33);
  largest_allocation = 0;
  ExpectInverted(image, Dehaze(&model, Describe(0, 0), image, Tiles(160, 32)));
  EXPECT_LE(largest_allocation, image.rgb.size() * sizeof(image.rgb[0]));
}

TEST(Dehaze, FixedSizeTooSmallForTilesIsAnError) {
  Inverter model(255.0F);
  EXPECT_EQ(MessageOf<InputError>([&] { Dehaze(&model, Describe(48, 160), TestImage(20, 161), Tiles(0, 8)); }),
            "image of 161x20 is larger than the model's 160x48, which is too small for tiles (at least 145, and the "
            "overlap and 16)");
  EXPECT_NE(MessageOf<InputError>([&] { Dehaze(&model, Describe(160, 160), TestImage(20, 161), Tiles(0, 145)); }), "");
  EXPECT_TRUE(model.sizes.empty());
}

TEST(Dehaze, TilesWhereAsked) {
  Inverter model(255.0F);
  const Image image = TestImage(258, 18);
  ExpectInverted(image, Dehaze(&model, Describe(0, 0), image, Tiles(148, 32)));
  EXPECT_EQ(model.sizes, (std::vector<std::pair<int, int>>{{148, 20}, {148, 20}}));
}

TEST(Dehaze, TilesByItselfAboveAMegapixelUnlessForbidden) {
  const Image image = TestImage(700, 1430);
  Inverter tiled(1.0F);
  ExpectInverted(image, Dehaze(&tiled, Describe(0, 0, 1.0F), image, Tiles(0, 64)));
  EXPECT_EQ(tiled.sizes, (std::vector<std::pair<int, int>>(8, {384, 408})));
  Inverter whole(1.0F);
  ExpectInverted(image, Dehaze(&whole, Describe(0, 0, 1.0F), image, Tiles(kWholeImage, 64)));
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
  const Image result = Dehaze(&model, Describe(0, 0), image, Tiles(148, 64));
  ASSERT_EQ(Windows(232, 148, 64, false), (std::vector<Window>{{0, 148}, {84, 232}}));
  EXPECT_EQ(result.rgb[83 * 3], 255);
  EXPECT_EQ(result.rgb[148 * 3], 200);
  for (std::size_t x = 85; x < 148; ++x) EXPECT_NEAR(result.rgb[x * 3 - 3] - result.rgb[x * 3], 55.0 / 64, 1.0);
  EXPECT_NEAR(result.rgb[116 * 3], 227.5, 1.0);
}

// Haze that is the same everywhere: the map is exact.
class Stretcher : public Model {
 public:
  explicit Stretcher(float top) : top_(top) {}
  Tensor Run(const Tensor& input) override {
    sizes.emplace_back(input.height, input.width);
    Tensor output = input;
    for (float& value : output.data) value = (value / top_ - 0.1F) * 1.25F * top_;
    return output;
  }
  std::vector<std::pair<int, int>> sizes;

 private:
  float top_;
};

// Smooth colours in 60..190, or the same share of 16 bits, and fine texture.
Image Scene(int height, int width, bool is_16_bits = false) {
  Image image;
  image.height = height;
  image.width = width;
  image.white = is_16_bits ? 65535 : 255;
  const int step = is_16_bits ? 257 : 1;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c) {
        const int value = 60 + 100 * x / width + 20 * y / height + (x * 7 + y * 5 + c * 3) % 11;
        image.rgb.push_back(static_cast<std::uint16_t>(value * step + (is_16_bits ? (x * 31 + y) % 200 : 0)));
      }
    }
  }
  return image;
}

void ExpectStretched(const Image& image, const Image& result, double strength, double tolerance) {
  ASSERT_EQ(result.rgb.size(), image.rgb.size());
  for (std::size_t i = 0; i < image.rgb.size(); ++i) {
    const double stretched = (image.rgb[i] - 0.1 * image.white) * 1.25;
    ASSERT_NEAR(result.rgb[i], image.rgb[i] + strength * (stretched - image.rgb[i]), tolerance) << i;
  }
}

TEST(Dehaze, LargeImagesAreSeenSmallAndGetEveryPixel) {
  for (const auto& [top, strength] : {std::pair{1.0F, 0.25F}, std::pair{255.0F, 1.0F}}) {
    Stretcher model(top);
    const Image image = Scene(1000, 1200);
    ExpectStretched(image, Dehaze(&model, Describe(0, 0, top), image, WorkSize(0, strength)), strength, 1.5);
    EXPECT_EQ(model.sizes, (std::vector<std::pair<int, int>>{{428, 512}}));
  }
}

TEST(Dehaze, SixteenBitsAreMappedInSixteenBits) {
  Stretcher model(1.0F);
  const Image image = Scene(200, 300, true);
  ExpectStretched(image, Dehaze(&model, Describe(0, 0, 1.0F), image, WorkSize(64)), 1.0, 400.0);
  ExpectStretched(image, Dehaze(&model, Describe(0, 0, 1.0F), image, WorkSize(-1)), 1.0, 1.0);
  const Image same = Dehaze(&model, Describe(0, 0, 1.0F), image, WorkSize(64, 0.0F));
  EXPECT_EQ(same.rgb, image.rgb);
}

TEST(Dehaze, AModelOfFixedSizeTakesAnyPhotoInOnePass) {
  Stretcher model(255.0F);
  for (const Image& image : {Scene(96, 128), Scene(500, 700), Scene(900, 300), Scene(1100, 1000)}) {
    model.sizes.clear();
    ExpectStretched(image, Dehaze(&model, Describe(96, 128), image, WorkSize(0)), 1.0, 2.5);
    EXPECT_EQ(model.sizes, (std::vector<std::pair<int, int>>{{96, 128}}));
  }
}

TEST(Dehaze, AModelTooSmallForWholePhotosIsAnError) {
  Stretcher model(255.0F);
  EXPECT_EQ(MessageOf<InputError>([&] { Dehaze(&model, Describe(60, 80), TestImage(90, 80), WorkSize(0)); }),
            "image of 80x90 is larger than the model's 80x60, and a model that is to see whole photos needs at least "
            "64x64; export a larger one");
  EXPECT_TRUE(model.sizes.empty());
}

TEST(Dehaze, BesideThePhotoTheMapTakesLittleMemory) {
  Inverter model(1.0F);
  const Image image = TestImage(4000, 1200);
  largest_allocation = 0;
  Dehaze(&model, Describe(0, 0, 1.0F), image, WorkSize(64));
  EXPECT_LE(largest_allocation, image.rgb.size() * sizeof(image.rgb[0]));
}

TEST(Dehaze, StrengthMixesWholeImagesToo) {
  Stretcher model(255.0F);
  const Image image = Scene(40, 60);
  ExpectStretched(image, Dehaze(&model, Describe(0, 0), image, WorkSize(0, 0.5F)), 0.5, 1.0);
  EXPECT_EQ(Dehaze(&model, Describe(0, 0), image, WorkSize(0, 0.0F)).rgb, image.rgb);
}

TEST(Dehaze, AlphaPassesThrough) {
  Inverter model(255.0F);
  Image image = TestImage(16, 16);
  image.alpha.assign(256, 9);
  EXPECT_EQ(Dehaze(&model, Describe(0, 0), image, Tiles(0, 32)).alpha, image.alpha);
}

}  // namespace
}  // namespace aecrnet
