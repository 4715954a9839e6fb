// Converts images to the network's floats and back, as infer.py does.
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

// A part of the image, with levels 0..white scaled to 0..top. Beyond the right and bottom edge the image is reflected
// without the edge pixel (numpy's "reflect"), repeatedly if needed.
Tensor ToTensor(const Image& image, float top, Window rows, Window columns);

// Clips the model's 0..top and scales it to 0..white. NaN becomes 0.
void ClipAndScale(float top, float white, Tensor* tensor);

// The upper left part of a tensor.
Tensor Crop(const Tensor& tensor, int height, int width);

// Mixes the first `rows` rows of 0..white into image->rgb from row `top` of the image on: `strength` 1 replaces its
// values, 0 keeps them. Rounds half to even. Values beyond the right and bottom edge of the image are left out.
void Mix(const Tensor& tensor, int rows, int top, float strength, Image* image);

}  // namespace aecrnet

#endif  // AECRNET_INC_TENSOR_H_
