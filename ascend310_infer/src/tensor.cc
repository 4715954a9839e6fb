#include "tensor.h"

#include <cmath>

namespace aecrnet {
namespace {

// Index into 0..size-1 that position mirrors to.
int Reflected(int position, int size) {
  if (size == 1) return 0;
  const int period = 2 * (size - 1);
  const int place = position % period;
  return place < size ? place : period - place;
}

}  // namespace

Tensor ToTensor(const Image& image, float top, int height, int width) {
  Tensor tensor(height, width);
  const float scale = top / 255.0F;
  for (int y = 0; y < height; ++y) {
    const std::size_t from_row = static_cast<std::size_t>(Reflected(y, image.height)) * static_cast<std::size_t>(image.width);
    for (int x = 0; x < width; ++x) {
      const std::size_t from = (from_row + static_cast<std::size_t>(Reflected(x, image.width))) * 3;
      for (int c = 0; c < 3; ++c) tensor.row(c, y)[x] = static_cast<float>(image.rgb[from + static_cast<std::size_t>(c)]) * scale;
    }
  }
  return tensor;
}

void ToImage(const Tensor& tensor, float top, Image* image) {
  const float scale = 255.0F / top;
  image->rgb.resize(image->pixels() * 3);
  std::uint8_t* to = image->rgb.data();
  for (int y = 0; y < image->height; ++y) {
    for (int x = 0; x < image->width; ++x) {
      for (int c = 0; c < 3; ++c) {
        const float value = tensor.row(c, y)[x];
        const float clipped = value > 0.0F ? (value < top ? value : top) : 0.0F;
        *to++ = static_cast<std::uint8_t>(std::nearbyint(clipped * scale));
      }
    }
  }
}

}  // namespace aecrnet
