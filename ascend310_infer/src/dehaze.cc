#include "dehaze.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <string>

#include "colour_map.h"
#include "error.h"
#include "shrink.h"
#include "tiling.h"
#include "work_size.h"

namespace aecrnet {
namespace {

// Takes finished rows of the restored image, as floats: the first `rows` rows of the strip are row `top` on.
using Sink = std::function<void(const Tensor& strip, int rows, int top)>;

int RoundUp(int size, int multiple) { return (size + multiple - 1) / multiple * multiple; }

std::string TooLarge(const Sidecar& sidecar, const Image& image) {
  return "image of " + std::to_string(image.width) + "x" + std::to_string(image.height) +
         " is larger than the model's " + std::to_string(sidecar.width) + "x" + std::to_string(sidecar.height);
}

void CheckFixedTile(const Sidecar& sidecar, const Image& image, int overlap) {
  const bool fits = image.height <= sidecar.height && image.width <= sidecar.width;
  const int shorter = std::min(sidecar.height, sidecar.width);
  if (fits || (shorter >= kReceptiveField && overlap <= shorter - kMinSide)) return;
  throw InputError(TooLarge(sidecar, image) + ", which is too small for tiles (at least " +
                   std::to_string(kReceptiveField) + ", and the overlap and " + std::to_string(kMinSide) + ")");
}

void CheckWorkSize(const Sidecar& sidecar, const Image& image) {
  if (sidecar.is_dynamic() || std::min(sidecar.height, sidecar.width) >= kSmallestWorkSize) return;
  const std::string smallest = std::to_string(kSmallestWorkSize);
  throw InputError(TooLarge(sidecar, image) + ", and a model that is to see whole photos needs at least " + smallest +
                   "x" + smallest + "; export a larger one");
}

int LongestSide(const Image& image, int tile) {
  if (tile == kWholeImage || (tile == 0 && image.pixels() <= kLargePixels)) return std::numeric_limits<int>::max();
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

// Gives the weighted sum of the windows' results, in 0..`white`, to the sink. Only one row of windows is in memory.
void RestoreWindows(Model* model, float top, float white, const Image& image, const std::vector<Window>& rows,
                    const std::vector<Window>& columns, const Sink& sink) {
  const std::vector<std::vector<float>> row_weights = Ramps(rows);
  const std::vector<std::vector<float>> column_weights = Ramps(columns);
  Tensor strip(rows[0].length(), columns.back().stop);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t j = 0; j < columns.size(); ++j) {
      Tensor part = model->Run(ToTensor(image, top, rows[i], columns[j]));
      ClipAndScale(top, white, &part);
      Add(part, row_weights[i], column_weights[j], columns[j].start, &strip);
    }
    const int finished = (i + 1 < rows.size() ? rows[i + 1].start : rows[i].stop) - rows[i].start;
    sink(strip, finished, rows[i].start);
    MoveUp(finished, &strip);
  }
}

// Sends the image through the model at its own size, in one window or in several. The results are in 0..`white`.
void Restore(Model* model, const Sidecar& sidecar, float white, const Image& image, const Options& options,
             const Sink& sink) {
  int height = RoundUp(image.height, sidecar.multiple_of);
  int width = RoundUp(image.width, sidecar.multiple_of);
  int tile_height = LongestSide(image, options.tile);
  int tile_width = tile_height;
  const bool is_fixed = !sidecar.is_dynamic();
  if (is_fixed) {
    CheckFixedTile(sidecar, image, options.overlap);
    height = std::max(height, sidecar.height);
    width = std::max(width, sidecar.width);
    tile_height = sidecar.height;
    tile_width = sidecar.width;
  }
  RestoreWindows(model, sidecar.top, white, image, Windows(height, tile_height, options.overlap, is_fixed),
                 Windows(width, tile_width, options.overlap, is_fixed), sink);
}

// Sends a small picture of the image through the model, and the image through the map between the two.
Image DehazeByMap(Model* model, const Sidecar& sidecar, const Image& image, Size seen, const Options& options) {
  CheckWorkSize(sidecar, image);
  const Image small = Shrink(image, seen.height, seen.width);
  const Tensor hazy = ToTensor(small, 1.0F, {0, seen.height}, {0, seen.width});
  Tensor clear = hazy;
  Restore(model, sidecar, 1.0F, small, options, [&](const Tensor& strip, int rows, int top) {
    for (int y = 0; y < std::min(rows, seen.height - top); ++y) {
      for (int c = 0; c < 3; ++c) {
        std::transform(hazy.row(c, top + y), hazy.row(c, top + y) + seen.width, strip.row(c, y), clear.row(c, top + y),
                       [&](float before, float after) { return before + options.strength * (after - before); });
      }
    }
  });
  Image result = image;
  ApplyColourMap(FitColourMap(hazy, clear), &result);
  return result;
}

}  // namespace

Image Dehaze(Model* model, const Sidecar& sidecar, const Image& image, const Options& options) {
  if (options.strength == 0.0F) return image;
  const Size seen = SeenSize({image.height, image.width}, options.work_size, sidecar);
  if (!(seen == Size{image.height, image.width})) return DehazeByMap(model, sidecar, image, seen, options);
  Image result = image;
  Restore(model, sidecar, static_cast<float>(image.white), image, options,
          [&](const Tensor& strip, int rows, int top) { Mix(strip, rows, top, options.strength, &result); });
  return result;
}

}  // namespace aecrnet
