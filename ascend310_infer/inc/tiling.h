// Large images in overlapping tiles with blended seams, as src/infer/tiles.py cuts and blends them.
#ifndef AECRNET_INC_TILING_H_
#define AECRNET_INC_TILING_H_

#include <vector>

namespace aecrnet {

constexpr int kAlign = 4;  // the network halves twice: tiles that start elsewhere would see another sampling grid

// Pixels start..stop-1 of one side of an image.
struct Window {
  int start = 0;
  int stop = 0;
  int length() const { return stop - start; }
  bool operator==(const Window& other) const { return start == other.start && stop == other.stop; }
};

// The fewest windows of one length that cover `size` and share at least `overlap` pixels with their neighbours: their
// length at most `tile`, or exactly `tile` where `is_fixed`. Starts and lengths are multiples of 4, the last window
// stops at `size`. size and tile are multiples of 4, overlap < tile; size >= tile where is_fixed.
std::vector<Window> Windows(int size, int tile, int overlap, bool is_fixed);

// Weights of the windows' pixels: linear where neighbours overlap, and 1 in sum everywhere.
std::vector<std::vector<float>> Ramps(const std::vector<Window>& windows);

}  // namespace aecrnet

#endif  // AECRNET_INC_TILING_H_
