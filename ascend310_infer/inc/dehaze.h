// From image to image.
#ifndef AECRNET_INC_DEHAZE_H_
#define AECRNET_INC_DEHAZE_H_

#include "image.h"
#include "model.h"
#include "sidecar.h"

namespace aecrnet {

// Pads the image as the model needs it (to the next multiple of 4, or to its fixed size), runs the model, cuts the
// padding off again. Alpha passes through. In tiles of `tile` pixels a side where `tile` is not 0, and in tiles of the
// model's size where the image is larger than a fixed one.
// Throws InputError where that size is smaller than the network's receptive field or not larger than `overlap`.
Image Dehaze(Model* model, const Sidecar& sidecar, const Image& image, int tile, int overlap);

}  // namespace aecrnet

#endif  // AECRNET_INC_DEHAZE_H_
