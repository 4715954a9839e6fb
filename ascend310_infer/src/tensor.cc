#include "tensor.h"

#include <algorithm>

namespace aecrnet {
namespace {

// The index in 0..size-1 that the position is mirrored to.
int Reflected(int position, int size) {
  if (size == 1) return 0;
  const int period = 2 * (size - 1);
  const int place = position % period;
  return place < size ? place : period - place;
}

}  // namespace

Tensor ToTensor(const Image& image, float top, Window rows, Window columns) {
  Tensor tensor(rows.length(), columns.length());
  const double scale = double{top} / image.white;
  const auto width = static_cast<std::size_t>(image.width);
  for (int y = 0; y < tensor.height; ++y) {
    const std::size_t from_row = static_cast<std::size_t>(Reflected(rows.start + y, image.height)) * width;
    for (int x = 0; x < tensor.width; ++x) {
      const auto from_column = static_cast<std::size_t>(Reflected(columns.start + x, image.width));
      const std::uint16_t* from = &image.rgb[(from_row + from_column) * 3];
      for (int c = 0; c < 3; ++c) tensor.row(c, y)[x] = static_cast<float>(from[c] * scale);
    }
  }
  return tensor;
}

void ClipAndScale(float top, float white, Tensor* tensor) {
  const float scale = white / top;
  for (float& value : tensor->data) value = (value > 0.0F ? (value < top ? value : top) : 0.0F) * scale;
}

Tensor Crop(const Tensor& tensor, int height, int width) {
  Tensor part(height, width);
  for (int c = 0; c < 3; ++c) {
    for (int y = 0; y < height; ++y) std::copy_n(tensor.row(c, y), width, part.row(c, y));
  }
  return part;
}

void Mix(const Tensor& tensor, int rows, int top, float strength, Image* image) {
  const auto white = static_cast<float>(image->white);
  std::uint16_t* to = image->rgb.data() + static_cast<std::size_t>(top) * static_cast<std::size_t>(image->width) * 3;
  rows = std::min(rows, image->height - top);
  for (int y = 0; y < rows; ++y) {
    for (int x = 0; x < image->width; ++x) {
      for (int c = 0; c < 3; ++c, ++to) *to = Level(strength * tensor.row(c, y)[x] + (1.0F - strength) * *to, white);
    }
  }
}

}  // namespace aecrnet
