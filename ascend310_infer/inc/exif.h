// The one EXIF tag that changes what a photo looks like.
#ifndef AECRNET_INC_EXIF_H_
#define AECRNET_INC_EXIF_H_

#include <cstddef>
#include <cstdint>

#include "image.h"

namespace aecrnet {

// Orientation 1..8 (EXIF 2.3, tag 0x0112) from EXIF data that starts with its TIFF header; 1 if there is none or the
// data is malformed.
int ExifOrientation(const std::uint8_t* data, std::size_t size);

// The image turned and mirrored so that it stands as the camera was held.
Image Upright(Image image, int orientation);

}  // namespace aecrnet

#endif  // AECRNET_INC_EXIF_H_
