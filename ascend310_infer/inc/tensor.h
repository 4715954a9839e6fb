// Converts 8-bit images to the network's floats and back, as infer.py does.
#ifndef AECRNET_INC_TENSOR_H_
#define AECRNET_INC_TENSOR_H_

#include <cstddef>
#include <vector>

#include "image.h"
#include "tiling.h"

namespace aecrnet {

// Three planes (red, green, blue) of height rows of width floats: NCHW with n = 1.
struct Tensor {
  Tensor() = default;
  Tensor(int h, int w) : height(h), width(w), data(std::size_t{3} * plane()) {}

  std::size_t plane() const { return static_cast<std::size_t>(height) * static_cast<std::size_t>(width); }
  float* row(int channel, int y) { return data.data() + Offset(channel, y); }
  const float* row(int channel, int y) const { return data.data() + Offset(channel, y); }

  int height = 0;
  int width = 0;
  std::vector<float> data;

 private:
  std::size_t Offset(int channel, int y) const {
    return static_cast<std::size_t>(channel) * plane() + static_cast<std::size_t>(y) * static_cast<std::size_t>(width);
  }
};

// A part of the image, with levels 0..255 scaled to 0..top. Beyond the right and bottom edge the image is reflected
// without the edge pixel (numpy's "reflect"), repeatedly if needed.
Tensor ToTensor(const Image& image, float top, Window rows, Window columns);

// Clips the model's 0..top and scales it to 0..255. NaN becomes 0.
void ClipAndScale(float top, Tensor* tensor);

// Rounds the first `rows` rows of 0..255 half to even into image->rgb, starting at row `top` of the image. Values
// beyond the right and bottom edge of the image are left out.
void Round(const Tensor& tensor, int rows, int top, Image* image);

}  // namespace aecrnet

#endif  // AECRNET_INC_TENSOR_H_
