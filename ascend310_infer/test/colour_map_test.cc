#include "colour_map.h"

#include <algorithm>
#include <cmath>

#include "testing.h"

namespace aecrnet {
namespace {

const std::vector<std::pair<int, int>> kSizes = {{7, 9}, {12, 5}, {1, 13}, {13, 1}, {1, 1}, {2, 3}};

// Numbers in 0..1 without order.
Tensor Noise(int height, int width, unsigned seed) {
  Tensor tensor(height, width);
  for (float& value : tensor.data) {
    seed = seed * 1664525U + 1013904223U;
    value = static_cast<float>(seed >> 8) / 16777216.0F;
  }
  return tensor;
}

struct Affine {
  double factors[3][4];
};

double Determinant(const double m[3][3]) {
  return m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0]) +
         m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0]);
}

// The fit of one window by its definition. The 3x3 system is solved by Cramer's rule.
Affine FitWindow(const Tensor& hazy, const Tensor& clear, int y0, int x0) {
  std::vector<std::pair<int, int>> window;
  for (int y = std::max(0, y0 - 2); y <= std::min(hazy.height - 1, y0 + 2); ++y)
    for (int x = std::max(0, x0 - 2); x <= std::min(hazy.width - 1, x0 + 2); ++x) window.emplace_back(y, x);
  const double count = static_cast<double>(window.size());
  const auto mean = [&](auto value) {
    double sum = 0.0;
    for (const auto& [y, x] : window) sum += value(y, x);
    return sum / count;
  };
  const auto before = [&](int c) { return [&hazy, c](int y, int x) { return double{hazy.row(c, y)[x]}; }; };
  Affine fitted{};
  for (int c = 0; c < 3; ++c) {
    const auto change = [&](int y, int x) { return double{clear.row(c, y)[x]} - double{hazy.row(c, y)[x]}; };
    double spread[3][3], covariance[3];
    for (int i = 0; i < 3; ++i) {
      const double mean_i = mean(before(i));
      const auto apart = [&, i, mean_i](int y, int x) { return before(i)(y, x) - mean_i; };
      covariance[i] = mean([&](int y, int x) { return change(y, x) * apart(y, x); });
      for (int j = 0; j < 3; ++j) {
        const double mean_j = mean(before(j));
        spread[i][j] = mean([&](int y, int x) { return apart(y, x) * (before(j)(y, x) - mean_j); }) + (i == j) * 1e-5;
      }
    }
    fitted.factors[c][3] = mean(change);
    for (int j = 0; j < 3; ++j) {
      double replaced[3][3];
      for (int r = 0; r < 3; ++r)
        for (int k = 0; k < 3; ++k) replaced[r][k] = k == j ? covariance[r] : spread[r][k];
      const double slope = Determinant(replaced) / Determinant(spread);
      fitted.factors[c][j] = slope + (j == c);
      fitted.factors[c][3] -= slope * mean(before(j));
    }
  }
  return fitted;
}

TEST(ColourMap, FitIsThatOfTheDefinition) {
  for (const auto& [height, width] : kSizes) {
    const Tensor hazy = Noise(height, width, 1), clear = Noise(height, width, 2);
    const ColourMap map = FitColourMap(hazy, clear);
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        double expected[3][4] = {};
        double count = 0.0;
        for (int v = std::max(0, y - 2); v <= std::min(height - 1, y + 2); ++v) {
          for (int u = std::max(0, x - 2); u <= std::min(width - 1, x + 2); ++u, ++count) {
            const Affine window = FitWindow(hazy, clear, v, u);
            for (int k = 0; k < 12; ++k) expected[k / 4][k % 4] += window.factors[k / 4][k % 4];
          }
        }
        for (int k = 0; k < 12; ++k)
          ASSERT_NEAR(map.row(k / 4, k % 4, y)[x], expected[k / 4][k % 4] / count, 1e-4) << height << 'x' << width;
      }
    }
  }
}

TEST(ColourMap, EnlargedMapIsThatOfTheDefinition) {
  for (const auto& [small_height, small_width] : kSizes) {
    ColourMap map(small_height, small_width);
    const Tensor noise = Noise(small_height * 4, small_width, 3);
    for (int k = 0; k < 12; ++k)
      for (int y = 0; y < small_height; ++y)
        std::copy_n(noise.row(k / 4, y * 4 + k % 4), small_width, map.row(k / 4, k % 4, y));
    for (const Image& image : {TestImage(31, 43), TestImage16(16, 29), TestImage(16, 16)}) {
      Image result = image;
      ApplyColourMap(map, &result);
      for (int y = 0; y < image.height; ++y) {
        for (int x = 0; x < image.width; ++x) {
          const double row = std::clamp((y + 0.5) * small_height / image.height - 0.5, 0.0, small_height - 1.0);
          const double column = std::clamp((x + 0.5) * small_width / image.width - 0.5, 0.0, small_width - 1.0);
          const int top = static_cast<int>(row), left = static_cast<int>(column);
          const int bottom = std::min(top + 1, small_height - 1), right = std::min(left + 1, small_width - 1);
          const std::size_t pixel = static_cast<std::size_t>(y * image.width + x) * 3;
          for (int c = 0; c < 3; ++c) {
            double sum = 0.0;
            for (int k = 0; k < 4; ++k) {
              const double upper = map.row(c, k, top)[left] * (left + 1 - column) + map.row(c, k, top)[right] * (column - left);
              const double lower = map.row(c, k, bottom)[left] * (left + 1 - column) + map.row(c, k, bottom)[right] * (column - left);
              const double value = k == 3 ? image.white : image.rgb[pixel + static_cast<std::size_t>(k)];
              sum += (upper * (top + 1 - row) + lower * (row - top)) * value;
            }
            const double expected = std::clamp(sum, 0.0, static_cast<double>(image.white));
            ASSERT_NEAR(result.rgb[pixel + static_cast<std::size_t>(c)], expected, 0.5 + 1e-6 * image.white);
          }
        }
      }
    }
  }
}

TEST(ColourMap, ANetworkThatChangesNothingLeavesEveryBit) {
  const Tensor small = Noise(15, 22, 4);
  const Image image = TestImage16(150, 220);
  Image result = image;
  ApplyColourMap(FitColourMap(small, small), &result);
  EXPECT_EQ(result.rgb, image.rgb);
}

TEST(ColourMap, FlatAndGreyPicturesGiveNoNan) {
  for (const float value : {0.0F, 0.5F, 1.0F}) {
    Tensor hazy(9, 11), clear(9, 11);
    std::fill(hazy.data.begin(), hazy.data.end(), value);
    std::fill(clear.data.begin(), clear.data.end(), value - 0.2F);
    const ColourMap map = FitColourMap(hazy, clear);
    for (int k = 0; k < 12; ++k) {
      const float expected = k % 4 == 3 ? -0.2F : k % 4 == k / 4 ? 1.0F : 0.0F;
      EXPECT_NEAR(map.row(k / 4, k % 4, 4)[5], expected, 1e-4F);
    }
  }
  Tensor grey = Noise(20, 24, 5);
  for (int c = 1; c < 3; ++c) std::copy_n(grey.row(0, 0), grey.plane(), grey.row(c, 0));
  Tensor clear = grey;
  for (float& value : clear.data) value = std::max(value * 1.4F - 0.2F, 0.0F);
  const ColourMap map = FitColourMap(grey, clear);
  for (int k = 0; k < 12; ++k) {
    for (int x = 0; x < 24; ++x) EXPECT_TRUE(std::isfinite(map.row(k / 4, k % 4, 10)[x]));
  }
}

}  // namespace
}  // namespace aecrnet
