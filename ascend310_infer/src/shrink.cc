#include "shrink.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace aecrnet {
namespace {

// A pixel of the image, and how much of it a small pixel covers.
struct Part {
  std::size_t from;
  float share;
};

constexpr double kLeastPart = 1e-3;  // of a pixel; OpenCV leaves smaller parts out

// For each of `small` pixels of a side, its parts among `size` pixels. The shares of a pixel sum to 1.
std::vector<std::vector<Part>> Cover(int size, int small) {
  const double scale = static_cast<double>(size) / small;
  std::vector<std::vector<Part>> parts(static_cast<std::size_t>(small));
  for (int i = 0; i < small; ++i) {
    const double start = i * scale;
    const double stop = std::min(start + scale, static_cast<double>(size));
    for (int k = static_cast<int>(start); k < size && k < stop; ++k) {
      const double part = std::min(stop, k + 1.0) - std::max(start, static_cast<double>(k));
      if (part < kLeastPart) continue;
      parts[static_cast<std::size_t>(i)].push_back({static_cast<std::size_t>(k), static_cast<float>(part / scale)});
    }
  }
  return parts;
}

// Adds a row of the image, shrunk to the columns, with its share. Rows and columns are summed in OpenCV's order.
void AddRow(const std::uint16_t* row, const std::vector<std::vector<Part>>& columns, float share,
            std::vector<float>* sums) {
  float* to = sums->data();
  for (const std::vector<Part>& column : columns) {
    float colour[3] = {0.0F, 0.0F, 0.0F};
    for (const Part& part : column) {
      for (std::size_t c = 0; c < 3; ++c) colour[c] += row[part.from * 3 + c] * part.share;
    }
    for (const float value : colour) *to++ += share * value;
  }
}

}  // namespace

Image Shrink(const Image& image, int height, int width) {
  Image small;
  small.height = height;
  small.width = width;
  small.white = image.white;
  small.rgb.resize(small.pixels() * 3);
  const std::vector<std::vector<Part>> rows = Cover(image.height, height);
  const std::vector<std::vector<Part>> columns = Cover(image.width, width);
  const bool is_half = image.height == 2 * height && image.width == 2 * width;  // OpenCV rounds halves up here alone
  const std::size_t row_samples = static_cast<std::size_t>(image.width) * 3;
  const std::size_t samples = static_cast<std::size_t>(width) * 3;
  std::vector<float> sums(samples);
  std::uint16_t* to = small.rgb.data();
  for (const std::vector<Part>& row : rows) {
    std::fill(sums.begin(), sums.end(), 0.0F);
    for (const Part& part : row) AddRow(&image.rgb[part.from * row_samples], columns, part.share, &sums);
    for (std::size_t i = 0; i < samples; ++i) {
      *to++ = static_cast<std::uint16_t>(is_half ? std::floor(sums[i] + 0.5F) : std::nearbyint(sums[i]));
    }
  }
  return small;
}

}  // namespace aecrnet
