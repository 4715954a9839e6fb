// Between 8-bit images and the network's floats: the pre- and post-processing of infer.py.
#ifndef AECRNET_INC_TENSOR_H_
#define AECRNET_INC_TENSOR_H_

#include <cstddef>
#include <vector>

#include "image.h"

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

// Levels 0..255 -> 0..top, padded at the right and bottom to height x width by reflection that does not repeat the
// edge (numpy's "reflect"), as often as it takes.
Tensor ToTensor(const Image& image, float top, int height, int width);

// Clips to 0..top, scales to 0..255 and rounds half to even; only the top left part of image's size is used. Writes
// image.rgb and leaves alpha. NaN becomes 0.
void ToImage(const Tensor& tensor, float top, Image* image);

}  // namespace aecrnet

#endif  // AECRNET_INC_TENSOR_H_
