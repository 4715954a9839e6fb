#include "colour_map.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace aecrnet {
namespace {

using Plane = std::vector<double>;  // float has too few digits: the window of a grey picture has a nearly singular S

constexpr int kUpper[3][3] = {{0, 1, 2}, {1, 3, 4}, {2, 4, 5}};  // where a symmetric matrix keeps its upper triangle

// Means over windows of 2 kMapRadius + 1 pixels a side, of which only those inside the picture count.
class Windows5x5 {
 public:
  Windows5x5(int height, int width) : height_(height), width_(width) {}

  // The mean of a(i) over the window of each pixel i. `value` takes the pixel's number.
  template <typename Value>
  Plane Mean(Value value) const {
    const auto width = static_cast<std::size_t>(width_);
    Plane sums(static_cast<std::size_t>(height_) * width);
    std::vector<double> line(width);
    for (int y = 0; y < height_; ++y) {
      for (std::size_t x = 0; x < width; ++x) line[x] = value(static_cast<std::size_t>(y) * width + x);
      for (int below = std::max(y - kMapRadius, 0); below <= std::min(y + kMapRadius, height_ - 1); ++below) {
        double* to = &sums[static_cast<std::size_t>(below) * width];
        for (std::size_t x = 0; x < width; ++x) to[x] += line[x];
      }
    }
    for (int y = 0; y < height_; ++y) Divide(Inside(y, height_), &sums[static_cast<std::size_t>(y) * width], &line);
    return sums;
  }

 private:
  static int Inside(int place, int size) {
    return std::min(place, kMapRadius) + 1 + std::min(size - 1 - place, kMapRadius);
  }

  // Makes the means of windows out of a row of sums over `rows` rows.
  void Divide(int rows, double* row, std::vector<double>* line) const {
    std::copy(row, row + width_, line->begin());
    for (int x = 0; x < width_; ++x) {
      double sum = 0.0;
      for (int k = std::max(x - kMapRadius, 0); k <= std::min(x + kMapRadius, width_ - 1); ++k) {
        sum += (*line)[static_cast<std::size_t>(k)];
      }
      row[x] = sum / (rows * Inside(x, width_));
    }
  }

  int height_;
  int width_;
};

// Replaces the upper triangles of symmetric 3x3 matrices by those of their inverses, by cofactors.
void Invert(std::array<Plane, 6>* upper) {
  for (std::size_t i = 0; i < (*upper)[0].size(); ++i) {
    const double a = (*upper)[0][i], b = (*upper)[1][i], c = (*upper)[2][i];
    const double d = (*upper)[3][i], e = (*upper)[4][i], f = (*upper)[5][i];
    const double cofactors[6] = {d * f - e * e, c * e - b * f, b * e - c * d, a * f - c * c, b * c - a * e, a * d - b * b};
    const double determinant = a * cofactors[0] + b * cofactors[1] + c * cofactors[2];
    for (std::size_t k = 0; k < 6; ++k) (*upper)[k][i] = cofactors[k] / determinant;
  }
}

// The inverse of S + kMapEpsilon E of every window, as upper triangles.
std::array<Plane, 6> InverseSpread(const Tensor& hazy, const std::array<Plane, 3>& means, const Windows5x5& windows) {
  std::array<Plane, 6> spread;
  for (int i = 0; i < 3; ++i) {
    for (int j = i; j < 3; ++j) {
      const float* first = hazy.row(i, 0);
      const float* second = hazy.row(j, 0);
      Plane& plane = spread[static_cast<std::size_t>(kUpper[i][j])];
      plane = windows.Mean([&](std::size_t p) { return double{first[p]} * second[p]; });
      for (std::size_t p = 0; p < plane.size(); ++p) {
        plane[p] += (i == j ? kMapEpsilon : 0.0) -
                    means[static_cast<std::size_t>(i)][p] * means[static_cast<std::size_t>(j)][p];
      }
    }
  }
  Invert(&spread);
  return spread;
}

// For each of `count` pixels of a side, the small pixel before its centre and the share of the next one.
struct Places {
  Places(int count, int small) {
    for (int i = 0; i < count; ++i) {
      const double place = std::clamp((i + 0.5) * small / count - 0.5, 0.0, small - 1.0);
      before.push_back(std::min(static_cast<int>(place), std::max(small - 2, 0)));
      share.push_back(static_cast<float>(place - before.back()));
    }
  }
  std::vector<int> before;
  std::vector<float> share;
};

// Row y of all coefficients, enlarged to the width of the photo: twelve rows, one after another.
void Widen(const ColourMap& map, int y, const Places& columns, std::vector<float>* wide) {
  float* to = wide->data();
  for (int k = 0; k < 12; ++k) {
    const float* from = map.row(k / 4, k % 4, y);
    for (std::size_t x = 0; x < columns.before.size(); ++x) {
      const int before = columns.before[x];
      const float start = from[before];
      *to++ = start + columns.share[x] * (from[std::min(before + 1, map.width() - 1)] - start);
    }
  }
}

// One channel of a row: total = b + M pixels, with coefficients between those of the small rows above and below.
void Restore(const float* above, const float* below, float share, const std::vector<float>& pixels, float white,
             std::vector<float>* total) {
  const std::size_t width = total->size();
  float* sum = total->data();
  for (std::size_t k = 0; k < 4; ++k, above += width, below += width) {
    const float* factor = pixels.data() + k * width;
    for (std::size_t x = 0; x < width; ++x) {
      const float coefficient = above[x] + share * (below[x] - above[x]);
      sum[x] = k == 0 ? coefficient * factor[x] : sum[x] + coefficient * (k == 3 ? white : factor[x]);
    }
  }
}

// The row's red, green and blue values, one colour after another.
void Split(const std::uint16_t* row, std::size_t width, std::vector<float>* pixels) {
  for (std::size_t x = 0; x < width; ++x) {
    for (std::size_t c = 0; c < 3; ++c) (*pixels)[c * width + x] = row[x * 3 + c];
  }
}

}  // namespace

ColourMap::ColourMap(int height, int width)
    : height_(height),
      width_(width),
      values_(std::size_t{12} * static_cast<std::size_t>(height) * static_cast<std::size_t>(width)) {
  for (int c = 0; c < 3; ++c) std::fill(row(c, c, 0), row(c, c + 1, 0), 1.0F);
}

ColourMap FitColourMap(const Tensor& hazy, const Tensor& clear) {
  const Windows5x5 windows(hazy.height, hazy.width);
  std::array<Plane, 3> means;
  for (int c = 0; c < 3; ++c) {
    means[static_cast<std::size_t>(c)] = windows.Mean([from = hazy.row(c, 0)](std::size_t p) { return from[p]; });
  }
  const std::array<Plane, 6> inverse = InverseSpread(hazy, means, windows);
  ColourMap map(hazy.height, hazy.width);
  for (int c = 0; c < 3; ++c) {
    const auto change = [before = hazy.row(c, 0), after = clear.row(c, 0)](std::size_t p) {
      return double{after[p]} - before[p];
    };
    const Plane mean_change = windows.Mean(change);
    std::array<Plane, 3> covariance;
    for (std::size_t i = 0; i < 3; ++i) {
      const float* guide = hazy.row(static_cast<int>(i), 0);
      covariance[i] = windows.Mean([&](std::size_t p) { return change(p) * guide[p]; });
      for (std::size_t p = 0; p < mean_change.size(); ++p) covariance[i][p] -= mean_change[p] * means[i][p];
    }
    const auto factor = [&](std::size_t j, std::size_t p) {
      double sum = 0.0;
      for (std::size_t i = 0; i < 3; ++i) sum += covariance[i][p] * inverse[static_cast<std::size_t>(kUpper[i][j])][p];
      return sum;
    };
    for (int j = 0; j < 4; ++j) {
      const Plane mean = windows.Mean([&](std::size_t p) {
        if (j < 3) return factor(static_cast<std::size_t>(j), p);
        return mean_change[p] - factor(0, p) * means[0][p] - factor(1, p) * means[1][p] - factor(2, p) * means[2][p];
      });
      std::transform(mean.begin(), mean.end(), map.row(c, j, 0),
                     [&](double value) { return static_cast<float>(value + (j == c ? 1.0 : 0.0)); });
    }
  }
  return map;
}

void ApplyColourMap(const ColourMap& map, Image* image) {
  const auto width = static_cast<std::size_t>(image->width);
  const Places rows(image->height, map.height());
  const Places columns(image->width, map.width());
  const auto white = static_cast<float>(image->white);
  std::vector<float> above(12 * width), below(12 * width), pixels(4 * width), total(width);
  for (int y = 0, held = -1; y < image->height; ++y) {
    const int before = rows.before[static_cast<std::size_t>(y)];
    if (before != held) {
      Widen(map, before, columns, &above);
      Widen(map, std::min(before + 1, map.height() - 1), columns, &below);
      held = before;
    }
    std::uint16_t* row = image->rgb.data() + static_cast<std::size_t>(y) * width * 3;
    Split(row, width, &pixels);
    for (std::size_t c = 0; c < 3; ++c) {
      const std::size_t first = c * 4 * width;
      Restore(&above[first], &below[first], rows.share[static_cast<std::size_t>(y)], pixels, white, &total);
      for (std::size_t x = 0; x < width; ++x) row[x * 3 + c] = Level(total[x], white);
    }
  }
}

}  // namespace aecrnet
