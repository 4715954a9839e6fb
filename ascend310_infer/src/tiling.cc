#include "tiling.h"

#include <algorithm>

namespace aecrnet {
namespace {

Tensor Cut(const Tensor& image, int top, int left, int height, int width) {
  Tensor part(height, width);
  for (int c = 0; c < 3; ++c) {
    for (int y = 0; y < height; ++y) std::copy_n(image.row(c, top + y) + left, width, part.row(c, y));
  }
  return part;
}

}  // namespace

std::vector<int> TileStarts(int size, int tile, int overlap) {
  std::vector<int> starts{0};
  while (starts.back() + tile < size) starts.push_back(std::min(starts.back() + tile - overlap, size - tile));
  return starts;
}

std::vector<float> BlendWeights(int tile, int overlap) {
  std::vector<float> weights;
  for (int i = 0; i < tile; ++i) {
    const int steps = std::min({i + 1, tile - i, overlap + 1});
    weights.push_back(static_cast<float>(steps) / static_cast<float>(overlap + 1));
  }
  return weights;
}

Tensor RunTiled(const Tensor& image, int tile_height, int tile_width, int overlap,
                const std::function<Tensor(const Tensor&)>& run) {
  const int height = std::min(tile_height, image.height);
  const int width = std::min(tile_width, image.width);
  if (height == image.height && width == image.width) return run(image);
  const std::vector<float> weights_y = BlendWeights(height, overlap);
  const std::vector<float> weights_x = BlendWeights(width, overlap);
  Tensor sum(image.height, image.width);
  std::vector<float> total(image.plane());
  for (const int top : TileStarts(image.height, height, overlap)) {
    for (const int left : TileStarts(image.width, width, overlap)) {
      const Tensor result = run(Cut(image, top, left, height, width));
      for (int y = 0; y < height; ++y) {
        float* total_row = total.data() + static_cast<std::size_t>(top + y) * static_cast<std::size_t>(image.width) + left;
        for (int x = 0; x < width; ++x) {
          const float weight = weights_y[static_cast<std::size_t>(y)] * weights_x[static_cast<std::size_t>(x)];
          total_row[x] += weight;
          for (int c = 0; c < 3; ++c) sum.row(c, top + y)[left + x] += weight * result.row(c, y)[x];
        }
      }
    }
  }
  for (std::size_t i = 0; i < sum.data.size(); ++i) sum.data[i] /= total[i % image.plane()];
  return sum;
}

}  // namespace aecrnet
