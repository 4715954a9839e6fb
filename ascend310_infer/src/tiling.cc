#include "tiling.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace aecrnet {
namespace {

int DivideUp(int a, int b) { return (a + b - 1) / b; }

int AlignUp(int value) { return DivideUp(value, kAlign) * kAlign; }

// Value i of `count` values from just above 0 to just below 1. The values and their reverse sum to 1.
float Rise(int i, int count) { return (static_cast<float>(i) + 0.5F) / static_cast<float>(count); }

}  // namespace

std::vector<Window> Windows(int size, int tile, int overlap, bool is_fixed) {
  if (size <= tile) return {{0, size}};
  overlap = AlignUp(overlap);
  const int count = DivideUp(size - overlap, tile - overlap);
  const int length = is_fixed ? tile : AlignUp(DivideUp(size + (count - 1) * overlap, count));
  std::vector<Window> windows;
  for (int i = 0; i < count; ++i) {
    const auto start = static_cast<int>(std::int64_t{i} * (size - length) / (count - 1) / kAlign * kAlign);
    windows.push_back({start, start + length});
  }
  return windows;
}

std::vector<std::vector<float>> Ramps(const std::vector<Window>& windows) {
  std::vector<std::vector<float>> weights;
  std::vector<float> total(static_cast<std::size_t>(windows.back().stop));  // above 1 where three overlap
  for (std::size_t i = 0; i < windows.size(); ++i) {
    const int length = windows[i].length();
    std::vector<float> weight(static_cast<std::size_t>(length), 1.0F);
    const int before = i == 0 ? 0 : windows[i - 1].stop - windows[i].start;
    const int after = i + 1 == windows.size() ? 0 : windows[i].stop - windows[i + 1].start;
    for (int k = 0; k < before; ++k) weight[static_cast<std::size_t>(k)] *= Rise(k, before);
    for (int k = 0; k < after; ++k) weight[static_cast<std::size_t>(length - 1 - k)] *= Rise(k, after);
    for (std::size_t k = 0; k < weight.size(); ++k) total[static_cast<std::size_t>(windows[i].start) + k] += weight[k];
    weights.push_back(std::move(weight));
  }
  for (std::size_t i = 0; i < windows.size(); ++i) {
    for (std::size_t k = 0; k < weights[i].size(); ++k)
      weights[i][k] /= total[static_cast<std::size_t>(windows[i].start) + k];
  }
  return weights;
}

}  // namespace aecrnet
