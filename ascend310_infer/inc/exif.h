// The EXIF orientation, the only tag that changes the look of a photo.
#ifndef AECRNET_INC_EXIF_H_
#define AECRNET_INC_EXIF_H_

#include <cstddef>
#include <cstdint>

#include "image.h"

namespace aecrnet {

// Orientation 1..8 (EXIF 2.3, tag 0x0112). The EXIF data starts with its TIFF header. Returns 1 if the tag is missing
// or the data is malformed.
int ExifOrientation(const std::uint8_t* data, std::size_t size);

// The image, turned and mirrored upright.
Image Upright(Image image, int orientation);

}  // namespace aecrnet

#endif  // AECRNET_INC_EXIF_H_
