// Cuts large images into overlapping tiles and blends the seams, as src/dehaze/tiles.py does.
#ifndef AECRNET_INC_TILING_H_
#define AECRNET_INC_TILING_H_

#include <vector>

namespace aecrnet {

constexpr int kAlign = 4;  // the network halves twice: only such tiles have the sampling grid of the image

// Pixels start..stop-1 of one side of an image.
struct Window {
  int start = 0;
  int stop = 0;
  int length() const { return stop - start; }
  bool operator==(const Window& other) const { return start == other.start && stop == other.stop; }
};

// The fewest windows of one length that cover `size` and share at least `overlap` pixels with their neighbours. The
// length is at most `tile`, or exactly `tile` if `is_fixed`. Starts and lengths are multiples of 4. The last
// window stops at `size`. size and tile must be multiples of 4, overlap < tile, and size >= tile if is_fixed.
std::vector<Window> Windows(int size, int tile, int overlap, bool is_fixed);

// Weights of the pixels of the windows. They are linear where neighbours overlap, and sum to 1 everywhere.
std::vector<std::vector<float>> Ramps(const std::vector<Window>& windows);

}  // namespace aecrnet

#endif  // AECRNET_INC_TILING_H_
