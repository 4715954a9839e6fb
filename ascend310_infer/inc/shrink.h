// Makes images smaller.
#ifndef AECRNET_INC_SHRINK_H_
#define AECRNET_INC_SHRINK_H_

#include "image.h"

namespace aecrnet {

// The RGB values at a smaller size, without alpha and profile. Each pixel is the mean of the area that it covers, and
// is rounded as OpenCV's INTER_AREA does, which src/dehaze/local_colour_map.py uses.
Image Shrink(const Image& image, int height, int width);

}  // namespace aecrnet

#endif  // AECRNET_INC_SHRINK_H_
