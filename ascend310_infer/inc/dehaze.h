// Restores an image with a model.
#ifndef AECRNET_INC_DEHAZE_H_
#define AECRNET_INC_DEHAZE_H_

#include "image.h"
#include "model.h"
#include "sidecar.h"

namespace aecrnet {

constexpr std::size_t kAutoTilePixels = 1000000;  // src/dehaze/dehazer.py: AUTO_TILE_PIXELS, AUTO_TILE
constexpr int kAutoTile = 512;
constexpr int kWholeImage = -1;

// Pads the image to the next multiple of 4 or to the fixed size of the model, runs the model, and cuts the padding off.
// Alpha stays as it is.
//
// Large images are restored in tiles that share at least `overlap` pixels. Tiles for a model of open size have sides of
// at most `tile` pixels; 0 means kAutoTile for images above kAutoTilePixels, kWholeImage means no tiles. Tiles for a
// model of fixed size have that size, and `tile` is ignored. The network's channel attention averages over a tile
// instead of the image, so a tiled result differs slightly from that of the whole image.
//
// Throws InputError if tiles of the model's fixed size would be smaller than the network's receptive field, or smaller
// than `overlap` + kMinSide.
Image Dehaze(Model* model, const Sidecar& sidecar, const Image& image, int tile, int overlap);

}  // namespace aecrnet

#endif  // AECRNET_INC_DEHAZE_H_
