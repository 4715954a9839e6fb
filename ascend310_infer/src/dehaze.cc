#include "dehaze.h"

#include <algorithm>
#include <limits>
#include <string>

#include "error.h"
#include "tiling.h"

namespace aecrnet {
namespace {

int RoundUp(int size, int multiple) { return (size + multiple - 1) / multiple * multiple; }

void CheckFixedTile(const Sidecar& sidecar, const Image& image, int overlap) {
  const bool fits = image.height <= sidecar.height && image.width <= sidecar.width;
  const int shorter = std::min(sidecar.height, sidecar.width);
  if (fits || (shorter >= kReceptiveField && overlap <= shorter - kMinSide)) return;
  throw InputError("image of " + std::to_string(image.width) + "x" + std::to_string(image.height) +
                   " is larger than the model's " + std::to_string(sidecar.width) + "x" +
                   std::to_string(sidecar.height) + ", which is too small for tiles (at least " +
                   std::to_string(kReceptiveField) + ", and the overlap and " + std::to_string(kMinSide) + ")");
}

int LongestSide(const Image& image, int tile) {
  if (tile == kWholeImage || (tile == 0 && image.pixels() <= kAutoTilePixels)) return std::numeric_limits<int>::max();
  return tile == 0 ? kAutoTile : tile;
}

// Adds the result of a window to the strip, starting at column `left`.
void Add(const Tensor& part, const std::vector<float>& row_weights, const std::vector<float>& column_weights, int left,
         Tensor* strip) {
  for (int c = 0; c < 3; ++c) {
    for (int y = 0; y < part.height; ++y) {
      const float* from = part.row(c, y);
      float* to = strip->row(c, y) + left;
      const float row_weight = row_weights[static_cast<std::size_t>(y)];
      for (std::size_t x = 0; x < column_weights.size(); ++x) to[x] += from[x] * (row_weight * column_weights[x]);
    }
  }
}

// Moves the strip up by `rows` rows and fills the end with zeros.
void MoveUp(int rows, Tensor* strip) {
  for (int c = 0; c < 3; ++c) {
    float* const begin = strip->row(c, 0);
    float* const end = begin + strip->plane();
    std::fill(std::copy(strip->row(c, rows), end, begin), end, 0.0F);
  }
}

// Rounds the weighted sum of the windows' results into result->rgb. Only one row of windows is in memory as floats.
void RestoreWindows(Model* model, float top, const Image& image, const std::vector<Window>& rows,
                    const std::vector<Window>& columns, Image* result) {
  const std::vector<std::vector<float>> row_weights = Ramps(rows);
  const std::vector<std::vector<float>> column_weights = Ramps(columns);
  Tensor strip(rows[0].length(), columns.back().stop);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t j = 0; j < columns.size(); ++j) {
      Tensor part = model->Run(ToTensor(image, top, rows[i], columns[j]));
      ClipAndScale(top, &part);
      Add(part, row_weights[i], column_weights[j], columns[j].start, &strip);
    }
    const int finished = (i + 1 < rows.size() ? rows[i + 1].start : rows[i].stop) - rows[i].start;
    Round(strip, finished, rows[i].start, result);
    MoveUp(finished, &strip);
  }
}

}  // namespace

Image Dehaze(Model* model, const Sidecar& sidecar, const Image& image, int tile, int overlap) {
  int height = RoundUp(image.height, sidecar.multiple_of);
  int width = RoundUp(image.width, sidecar.multiple_of);
  int tile_height = LongestSide(image, tile);
  int tile_width = tile_height;
  if (!sidecar.is_dynamic()) {
    CheckFixedTile(sidecar, image, overlap);
    height = std::max(height, sidecar.height);
    width = std::max(width, sidecar.width);
    tile_height = sidecar.height;
    tile_width = sidecar.width;
  }
  const bool is_fixed = !sidecar.is_dynamic();
  Image result = image;
  RestoreWindows(model, sidecar.top, image, Windows(height, tile_height, overlap, is_fixed),
                 Windows(width, tile_width, overlap, is_fixed), &result);
  return result;
}

}  // namespace aecrnet
