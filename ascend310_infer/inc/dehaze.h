// From image to image.
#ifndef AECRNET_INC_DEHAZE_H_
#define AECRNET_INC_DEHAZE_H_

#include "image.h"
#include "model.h"
#include "sidecar.h"

namespace aecrnet {

constexpr std::size_t kAutoTilePixels = 1000000;  // src/inference.py: AUTO_TILE_PIXELS, AUTO_TILE
constexpr int kAutoTile = 512;
constexpr int kWholeImage = -1;

// Pads the image as the model needs it (to the next multiple of 4, or to its fixed size), runs the model, cuts the
// padding off again. Alpha passes through.
//
// Large images are restored in tiles that share at least `overlap` pixels. A model of open size takes tiles of up to
// `tile` pixels a side; 0 means kAutoTile for images above kAutoTilePixels, kWholeImage no tiles. A model of fixed size
// takes tiles of that size, whatever `tile` is. The network's channel attention takes its mean over a tile instead of
// the image, so a tiled result differs a little from a whole one.
//
// Throws InputError where tiles of the model's fixed size would be smaller than the network's receptive field, or not
// larger than `overlap` by kMinSide.
Image Dehaze(Model* model, const Sidecar& sidecar, const Image& image, int tile, int overlap);

}  // namespace aecrnet

#endif  // AECRNET_INC_DEHAZE_H_
