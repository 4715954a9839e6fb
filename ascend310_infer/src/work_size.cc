#include "work_size.h"

#include <algorithm>
#include <cmath>

#include "tiling.h"

namespace aecrnet {
namespace {

int Aligned(int side, double scale, int largest) {
  const int aligned = static_cast<int>(std::nearbyint(side * scale / kAlign)) * kAlign;
  return std::max(kAlign, std::min(aligned, largest / kAlign * kAlign));
}

Size Aligned(Size photo, double scale, Size largest) {
  return {Aligned(photo.height, scale, largest.height), Aligned(photo.width, scale, largest.width)};
}

}  // namespace

Size SeenSize(Size photo, int work_size, const Sidecar& sidecar) {
  if (work_size == kFullResolution) return photo;
  if (work_size == kAutoWorkSize && !sidecar.is_dynamic()) {
    const double scale = std::min(static_cast<double>(sidecar.height) / photo.height,
                                  static_cast<double>(sidecar.width) / photo.width);
    return scale >= 1.0 ? photo : Aligned(photo, scale, {sidecar.height, sidecar.width});
  }
  const auto pixels = static_cast<std::size_t>(photo.height) * static_cast<std::size_t>(photo.width);
  const int automatic = pixels > kLargePixels ? kLargeSide : kPhotoSide;
  const double longest = work_size == kAutoWorkSize ? automatic : work_size;
  const double scale = std::max(longest / std::max(photo.height, photo.width),
                                longest / kLongestShape / std::min(photo.height, photo.width));
  return scale >= 1.0 ? photo : Aligned(photo, scale, photo);
}

}  // namespace aecrnet
