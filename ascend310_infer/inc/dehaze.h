// Restores an image with a model.
#ifndef AECRNET_INC_DEHAZE_H_
#define AECRNET_INC_DEHAZE_H_

#include "image.h"
#include "model.h"
#include "options.h"
#include "sidecar.h"

namespace aecrnet {

constexpr int kAutoTile = 512;  // pixels; it bounds the memory
constexpr int kWholeImage = -1;

// Shows the model the whole image at the size that work_size.h gives, and carries its result over to every pixel by the
// local colour map (colour_map.h). An image that need not be shrunk goes through the model itself. Alpha stays as it is.
// options.strength tells how much of the change is applied; 0 returns the image.
//
// What the model sees is padded to the next multiple of 4 or to the fixed size of the model. If it is too large, it is
// cut into tiles that share at least options.overlap pixels. Tiles for a model of open size have sides of at most
// options.tile pixels; 0 means kAutoTile for more than kLargePixels, kWholeImage means no tiles. Tiles for a model of
// fixed size have that size. The network's channel attention averages over a tile instead of the image, so that tiles
// of one photo may differ in brightness.
//
// Throws InputError if the model's fixed size is below kSmallestWorkSize and the image has to be shrunk, or if tiles of
// it would be smaller than the network's receptive field, or smaller than options.overlap + kMinSide.
Image Dehaze(Model* model, const Sidecar& sidecar, const Image& image, const Options& options);

}  // namespace aecrnet

#endif  // AECRNET_INC_DEHAZE_H_
