// The local colour map, as in src/dehaze/local_colour_map.py: it carries what the network does to a small picture over
// to every pixel of the full photo.
//
// Haze mixes colours linearly, so around each pixel of the small picture an affine map leads from the colour I before
// the network to the colour J after it. A guided filter with a colour guide fits the map (He, Sun and Tang, "Guided
// Image Filtering", 2013, eq. 14 to 16). With means over the pixels of the window, and D = J - I:
//
//   S = mean(I I^T) - mean(I) mean(I)^T,   C = mean(D I^T) - mean(D) mean(I)^T
//   K = C (S + kEpsilon E)^-1,   M = E + K,   b = mean(D) - K mean(I),   J is about M I + b
//
// The fit is of the change D, not of J: in a flat window K goes to 0, so that noise and texture stay as they are. M and b
// are averaged over the same window, and enlarged linearly between the centres of the small pixels (He and Sun,
// "Fast Guided Filter", 2015).
#ifndef AECRNET_INC_COLOUR_MAP_H_
#define AECRNET_INC_COLOUR_MAP_H_

#include <cstddef>
#include <vector>

#include "image.h"
#include "tensor.h"

namespace aecrnet {

constexpr int kMapRadius = 2;         // pixels of the small picture: windows of 5x5
constexpr double kMapEpsilon = 1e-5;  // variance of colours in 0..1; contrasts well below its root are not fitted

// For each channel of the result, four planes: the factors of red, green and blue, and what is added (white is 1).
class ColourMap {
 public:
  ColourMap(int height, int width);  // the map that leaves every colour as it is

  int height() const { return height_; }
  int width() const { return width_; }
  // Row y of coefficient 0..3 of channel 0..2.
  float* row(int channel, int coefficient, int y) { return values_.data() + Offset(channel, coefficient, y); }
  const float* row(int channel, int coefficient, int y) const {
    return values_.data() + Offset(channel, coefficient, y);
  }

 private:
  std::size_t Offset(int channel, int coefficient, int y) const {
    return (static_cast<std::size_t>(channel * 4 + coefficient) * static_cast<std::size_t>(height_) +
            static_cast<std::size_t>(y)) *
           static_cast<std::size_t>(width_);
  }

  int height_;
  int width_;
  std::vector<float> values_;
};

// The map around each pixel of the small picture. `hazy` and `clear` are the picture before and after the network, of
// one size, with values in 0..1.
ColourMap FitColourMap(const Tensor& hazy, const Tensor& clear);

// Sends every pixel of the image through the map of its place, and clips and rounds. Only two rows of coefficients are
// in memory at the width of the image.
void ApplyColourMap(const ColourMap& map, Image* image);

}  // namespace aecrnet

#endif  // AECRNET_INC_COLOUR_MAP_H_
