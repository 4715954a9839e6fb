#include "tiling.h"

#include <cmath>

#include "testing.h"

namespace aecrnet {
namespace {

TEST(Tiling, StartsCoverTheSideAndTheLastTileEndsWithIt) {
  EXPECT_EQ(TileStarts(100, 100, 8), (std::vector<int>{0}));
  EXPECT_EQ(TileStarts(60, 100, 8), (std::vector<int>{0}));
  EXPECT_EQ(TileStarts(104, 100, 8), (std::vector<int>{0, 4}));
  EXPECT_EQ(TileStarts(300, 100, 0), (std::vector<int>{0, 100, 200}));
  EXPECT_EQ(TileStarts(300, 100, 20), (std::vector<int>{0, 80, 160, 200}));
}

TEST(Tiling, WeightsRiseFromBothEnds) {
  EXPECT_EQ(BlendWeights(6, 1), (std::vector<float>{0.5F, 1, 1, 1, 1, 0.5F}));
  EXPECT_EQ(BlendWeights(3, 0), (std::vector<float>{1, 1, 1}));
  for (const float weight : BlendWeights(8, 100)) EXPECT_GT(weight, 0.0F);
}

TEST(Tiling, TilesOfAPointwiseNetworkGiveTheWholeResult) {
  const Tensor image = ToTensor(TestImage(50, 70), 255.0F, 52, 72);
  int runs = 0;
  const Tensor result = RunTiled(image, 20, 24, 8, [&](const Tensor& tile) {
    EXPECT_EQ(tile.height, 20);
    EXPECT_EQ(tile.width, 24);
    ++runs;
    Tensor out = tile;
    for (float& value : out.data) value = 2.0F * value + 1.0F;
    return out;
  });
  EXPECT_EQ(runs, 4 * 4);
  for (std::size_t i = 0; i < image.data.size(); ++i) ASSERT_NEAR(result.data[i], 2.0F * image.data[i] + 1.0F, 1e-3F);
}

TEST(Tiling, SeamsAreRamps) {
  const Tensor image(20, 60);
  int runs = 0;
  const Tensor result = RunTiled(image, 20, 40, 20, [&](const Tensor& tile) {
    Tensor out(tile.height, tile.width);
    out.data.assign(out.data.size(), runs++ == 0 ? 0.0F : 1.0F);
    return out;
  });
  EXPECT_EQ(runs, 2);
  EXPECT_EQ(result.row(0, 5)[19], 0.0F);
  EXPECT_EQ(result.row(0, 5)[40], 1.0F);
  for (int x = 20; x < 40; ++x) {
    const float step = result.row(0, 5)[x] - result.row(0, 5)[x - 1];
    EXPECT_NEAR(step, 1.0F / 21.0F, 1e-5F) << "at " << x;
  }
}

TEST(Tiling, SmallImageIsOneRunOfItsOwnSize) {
  const Tensor image(16, 24);
  RunTiled(image, 200, 200, 32, [&](const Tensor& tile) {
    EXPECT_EQ(tile.height, 16);
    EXPECT_EQ(tile.width, 24);
    return tile;
  });
  RunTiled(image, 200, 20, 4, [&](const Tensor& tile) {
    EXPECT_EQ(tile.height, 16);
    EXPECT_EQ(tile.width, 20);
    return tile;
  });
}

}  // namespace
}  // namespace aecrnet
