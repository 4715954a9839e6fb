#include "tiling.h"

#include "testing.h"

namespace aecrnet {
namespace {

// The starts and the common length, for short expectations.
std::vector<int> Starts(const std::vector<Window>& windows, int length) {
  std::vector<int> starts;
  for (const Window& window : windows) {
    EXPECT_EQ(window.length(), length);
    starts.push_back(window.start);
  }
  return starts;
}

TEST(Tiling, ImagesOfOneTileAreOneWindow) {
  EXPECT_EQ(Windows(100, 100, 8, false), (std::vector<Window>{{0, 100}}));
  EXPECT_EQ(Windows(60, 100, 8, false), (std::vector<Window>{{0, 60}}));
}

TEST(Tiling, WindowsAreEvenAndEndWithTheImage) {  // the numbers are those of src/dehaze/tiles.py
  EXPECT_EQ(Starts(Windows(104, 100, 8, false), 56), (std::vector<int>{0, 48}));
  EXPECT_EQ(Starts(Windows(300, 100, 0, false), 100), (std::vector<int>{0, 100, 200}));
  EXPECT_EQ(Starts(Windows(620, 256, 64, false), 252), (std::vector<int>{0, 184, 368}));
  EXPECT_EQ(Starts(Windows(4000, 512, 30, false), 476),
            (std::vector<int>{0, 440, 880, 1320, 1760, 2200, 2640, 3080, 3524}));
}

TEST(Tiling, FixedWindowsKeepTheModelsSize) {
  EXPECT_EQ(Starts(Windows(104, 100, 8, true), 100), (std::vector<int>{0, 4}));
  EXPECT_EQ(Starts(Windows(620, 256, 64, true), 256), (std::vector<int>{0, 180, 364}));
}

TEST(Tiling, NeighboursShareTheOverlapAndWeightsSumTo1) {
  for (const bool is_fixed : {false, true}) {
    for (int size = 160; size < 900; size += 52) {
      for (const int overlap : {0, 6, 64, 130}) {
        const std::vector<Window> windows = Windows(size, 152, overlap, is_fixed);
        const std::vector<std::vector<float>> weights = Ramps(windows);
        std::vector<float> sum(static_cast<std::size_t>(size));
        for (std::size_t i = 0; i < windows.size(); ++i) {
          EXPECT_EQ(windows[i].start % 4, 0);
          EXPECT_LE(windows[i].length(), 152);
          if (i > 0) {
            EXPECT_GE(windows[i - 1].stop - windows[i].start, overlap);
          }
          for (std::size_t k = 0; k < weights[i].size(); ++k) {
            EXPECT_GT(weights[i][k], 0.0F);
            sum[static_cast<std::size_t>(windows[i].start) + k] += weights[i][k];
          }
        }
        EXPECT_EQ(windows.front().start, 0);
        EXPECT_EQ(windows.back().stop, size);
        for (const float value : sum) EXPECT_NEAR(value, 1.0F, 1e-6F);
      }
    }
  }
}

TEST(Tiling, WeightsRiseLinearlyOverTheOverlap) {
  const std::vector<std::vector<float>> weights = Ramps({{0, 8}, {4, 12}});
  EXPECT_EQ(weights[0], (std::vector<float>{1, 1, 1, 1, 0.875F, 0.625F, 0.375F, 0.125F}));
  EXPECT_EQ(weights[1], (std::vector<float>{0.125F, 0.375F, 0.625F, 0.875F, 1, 1, 1, 1}));
}

}  // namespace
}  // namespace aecrnet
