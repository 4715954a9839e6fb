// Large images in overlapping tiles with blended seams.
#ifndef AECRNET_INC_TILING_H_
#define AECRNET_INC_TILING_H_

#include <functional>
#include <vector>

#include "tensor.h"

namespace aecrnet {

// First pixel of every tile along one side: steps of tile - overlap, the last tile moved back to end with the image.
// One tile at 0 where size <= tile.
std::vector<int> TileStarts(int size, int tile, int overlap);

// Weight of each pixel of a tile along one side: rises in overlap + 1 steps from both ends to 1.
std::vector<float> BlendWeights(int tile, int overlap);

// Runs `run` on tiles of tile_height x tile_width (smaller where the image is) and returns the weighted mean of the
// results. Memory beside image and result is that of one tile. The network's channel attention takes its mean over a
// tile instead of the image, so a tiled result differs a little from a whole one.
Tensor RunTiled(const Tensor& image, int tile_height, int tile_width, int overlap,
                const std::function<Tensor(const Tensor&)>& run);

}  // namespace aecrnet

#endif  // AECRNET_INC_TILING_H_
