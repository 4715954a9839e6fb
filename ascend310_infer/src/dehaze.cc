#include "dehaze.h"

#include <algorithm>
#include <string>

#include "error.h"
#include "tiling.h"

namespace aecrnet {
namespace {

int RoundUp(int size, int multiple) { return (size + multiple - 1) / multiple * multiple; }

void CheckFixedTile(const Sidecar& sidecar, const Image& image, int overlap) {
  const bool fits = image.height <= sidecar.height && image.width <= sidecar.width;
  const int shorter = std::min(sidecar.height, sidecar.width);
  if (fits || (shorter >= kReceptiveField && overlap <= shorter / 2)) return;
  throw InputError("image of " + std::to_string(image.width) + "x" + std::to_string(image.height) +
                   " is larger than the model's " + std::to_string(sidecar.width) + "x" +
                   std::to_string(sidecar.height) + ", which is too small for tiles (at least " +
                   std::to_string(kReceptiveField) + " and twice the overlap)");
}

}  // namespace

Image Dehaze(Model* model, const Sidecar& sidecar, const Image& image, int tile, int overlap) {
  int height = RoundUp(image.height, sidecar.multiple_of);
  int width = RoundUp(image.width, sidecar.multiple_of);
  int tile_height = tile == 0 ? height : tile;
  int tile_width = tile == 0 ? width : tile;
  if (!sidecar.is_dynamic()) {
    CheckFixedTile(sidecar, image, overlap);
    height = std::max(height, sidecar.height);
    width = std::max(width, sidecar.width);
    tile_height = sidecar.height;
    tile_width = sidecar.width;
  }
  Image result = image;
  const Tensor input = ToTensor(image, sidecar.top, height, width);
  const auto run = [model](const Tensor& part) { return model->Run(part); };
  ToImage(RunTiled(input, tile_height, tile_width, overlap, run), sidecar.top, &result);
  return result;
}

}  // namespace aecrnet
