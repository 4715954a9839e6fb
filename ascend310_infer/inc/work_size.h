// The size at which the network sees a photo, as in src/dehaze/work_size.py.
#ifndef AECRNET_INC_WORK_SIZE_H_
#define AECRNET_INC_WORK_SIZE_H_

#include <cstddef>

#include "sidecar.h"

namespace aecrnet {

constexpr int kAutoWorkSize = 0;
constexpr int kFullResolution = -1;
constexpr std::size_t kLargePixels = 1000000;  // a photo of more is large: shrunk to kLargeSide, or cut into tiles
constexpr int kLargeSide = 512;                // pixels of the longer side
constexpr int kPhotoSide = 800;                // of other photos
constexpr int kSmallestWorkSize = 64;          // less is too little to tell haze from white walls
constexpr double kLongestShape = 2.0;  // a longer panorama keeps more pixels on its longer side

struct Size {
  int height = 0;
  int width = 0;
  bool operator==(const Size& other) const { return height == other.height && width == other.width; }
};

// The size to which a photo is shrunk for the model: multiples of 4, or the photo's own size if it is not shrunk.
//
// `work_size`: pixels of the longer side. For a panorama of more than 2:1, the shorter side gets half of it.
// kAutoWorkSize: kLargeSide for photos of more than kLargePixels, kPhotoSide for others, and whatever fits for a model of
// fixed size.
// kFullResolution: the photo is never shrunk.
Size SeenSize(Size photo, int work_size, const Sidecar& sidecar);

}  // namespace aecrnet

#endif  // AECRNET_INC_WORK_SIZE_H_
