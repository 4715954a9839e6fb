// 3x3 convolution (stride 1, padding 1) and its gradients by Winograd's F(2x2, 3x3), for bfloat16 on CPU with AVX-512,
// channels last. The input is cut into 4x4 tiles that overlap by two. A tile gives 2x2 pixels of the output:
//   out = A^T [sum over channels of (G g G^T) * (B^T d B)] A
// There is one matrix product over tiles for each of the 16 places in a tile. A tile needs 16 multiplications, not 36.
#include <ATen/Parallel.h>
#include <ATen/native/CPUBlas.h>
#include <ATen/ops/empty.h>  // the single operators: all of ATen/ATen.h takes seconds to compile
#include <ATen/ops/zeros.h>
#include <immintrin.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

namespace {

using at::BFloat16;
using Floats = float __attribute__((vector_size(64)));

constexpr int64_t kLanes = 16;
constexpr int64_t kTiles = 64;  // in a block; its tiles and its panel of products fit in 1 MB of L2
constexpr int64_t kPanel = 64;  // channels of the result in a matrix product
constexpr int64_t kPairs = 96;  // pairs of tiles in a block, for the gradient of the weights
constexpr int64_t kRows = 4;    // channels of multiply()'s first factor; 4 x 4 sums stay in registers
// Keeps the stride between the 16 matrices off multiples of 4 kB. Otherwise all 16 stores of a tile hit one set of L1.
constexpr int64_t kPad = 32;

Floats load(const BFloat16* p) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return (Floats)_mm512_slli_epi32(wide, 16);
}

void store(BFloat16* p, Floats v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), (__m256i)_mm512_cvtneps_pbh((__m512)v));
}

// Destination of the values of two tiles (or two channels), side by side in 32 bits, as vdpbf16ps reads them. The
// places begin to end follow each other at distance `stride`. first() clears the other half.
struct Pairs {
  uint32_t* to;
  int64_t stride, begin, end;

  void first(int64_t i, Floats v) const {
    if (i >= begin && i < end) _mm512_storeu_si512(to + (i - begin) * stride, widened(v));
  }
  void second(int64_t i, Floats v) const {
    if (i < begin || i >= end) return;
    uint32_t* p = to + (i - begin) * stride;
    _mm512_storeu_si512(p, _mm512_or_si512(_mm512_slli_epi32(widened(v), 16), _mm512_loadu_si512(p)));
  }
  static __m512i widened(Floats v) { return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)v)); }
};

struct Shape {
  int64_t n, h, w;
  int64_t rows() const { return (h + 1) / 2; }
  int64_t cols() const { return (w + 1) / 2; }
  int64_t tiles() const { return n * rows() * cols(); }
};

// The channels of each pixel of a size x size square. Its corner is the corner of the tile's output, moved by -margin.
// `outside` replaces pixels beyond the image.
template <int size, int margin, typename T>
void pixels(T* x, T* outside, const Shape& s, int64_t c, int64_t tile, T** at) {
  const int64_t image = tile / (s.rows() * s.cols()), y = tile / s.cols() % s.rows() * 2 - margin,
                col = tile % s.cols() * 2 - margin;
  for (int64_t i = 0; i < size * size; ++i) {
    const int64_t yy = y + i / size, xx = col + i % size;
    const bool inside = image < s.n && yy >= 0 && yy < s.h && xx >= 0 && xx < s.w;
    at[i] = inside ? x + ((image * s.h + yy) * s.w + xx) * c : outside;
  }
}

// Calls put(i, .) for each place i with kLanes channels of B^T d B. The pixels of the tile lie at `at`.
template <typename Put>
void input_tile(const BFloat16* const* at, int64_t channel, const Put& put) {
  Floats d[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) d[i] = load(at[i] + channel);
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {  // columns, then rows
    const int step = i < 4 ? 4 : 1;
    Floats* v = i < 4 ? d + i : d + 4 * (i - 4);
    const Floats v1 = v[step], v2 = v[2 * step];
    v[0] -= v2;
    v[step] = v1 + v2;
    v[2 * step] = v2 - v1;
    v[3 * step] = v1 - v[3 * step];
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) put(i, d[i]);
}

// The same with A d A^T, of the 2x2 gradients of a tile's output.
template <typename Put>
void output_grad_tile(const BFloat16* const* at, int64_t channel, const Put& put) {
  const Floats a = load(at[0] + channel), b = load(at[1] + channel), c = load(at[2] + channel),
               d = load(at[3] + channel);
  const Floats left[] = {a, a + c, a - c, -c}, right[] = {b, b + d, b - d, -d};
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    put(4 * i, left[i]);
    put(4 * i + 1, left[i] + right[i]);
    put(4 * i + 2, left[i] - right[i]);
    put(4 * i + 3, -right[i]);
  }
}

// The 2x2 outputs A^T m A + bias of a tile's products m[i * stride].
void output_tile(const float* m, int64_t stride, const float* bias, BFloat16* const* at, int64_t c) {
  for (int64_t j = 0; j < c; j += kLanes) {
    Floats top[4], bottom[4], b = {};
    if (bias) b = (Floats)_mm512_loadu_ps(bias + j);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      Floats v[4];
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) v[k] = (Floats)_mm512_loadu_ps(m + (4 * k + i) * stride + j);
      top[i] = v[0] + v[1] + v[2];
      bottom[i] = v[1] - v[2] - v[3];
    }
    store(at[0] + j, top[0] + top[1] + top[2] + b);
    store(at[1] + j, top[1] - top[2] - top[3] + b);
    store(at[2] + j, bottom[0] + bottom[1] + bottom[2] + b);
    store(at[3] + j, bottom[1] - bottom[2] - bottom[3] + b);
  }
}

// G^T u G for kLanes pairs of channels, to[9] of each.
void weight_grad_tile(const float* u, int64_t stride, float* to) {
  Floats d[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) d[i] = (Floats)_mm512_loadu_ps(u + i * stride);
#pragma GCC unroll 8
  for (int i = 0; i < 7; ++i) {  // columns, then the three rows left
    const int step = i < 4 ? 4 : 1;
    Floats* v = i < 4 ? d + i : d + 4 * (i - 4);
    const Floats half = (v[step] + v[2 * step]) * .5f;
    v[step] = (v[step] - v[2 * step]) * .5f;
    v[0] += half;
    v[2 * step] = v[3 * step] + half;
  }
  for (int lane = 0; lane < kLanes; ++lane)
    for (int i = 0; i < 9; ++i) to[lane * 9 + i] = d[i / 3 * 4 + i % 3][lane];
}

// Calls put(i, .) with G g G^T for kLanes weights g[9], which lie `step` floats apart. `turned` turns g by 180 degrees.
template <typename Put>
void weight_tile(const float* g, int64_t step, bool turned, const Put& put) {
  const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i at = _mm512_mullo_epi32(lanes, _mm512_set1_epi32(step));
  Floats d[16];
#pragma GCC unroll 9
  for (int i = 0; i < 9; ++i) d[i / 3 * 4 + i % 3] = (Floats)_mm512_i32gather_ps(at, g + (turned ? 8 - i : i), 4);
#pragma GCC unroll 8
  for (int i = 0; i < 7; ++i) {  // the three rows, then columns
    const int next = i < 3 ? 1 : 4;
    Floats* v = i < 3 ? d + 4 * i : d + i - 3;
    const Floats even = (v[0] + v[2 * next]) * .5f, odd = v[next] * .5f;
    v[3 * next] = v[2 * next];
    v[next] = even + odd;
    v[2 * next] = even - odd;
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) put(i, d[i]);
}

// weight[out, in, 3, 3] in the layout of brgemm: pairs of bfloat16 over `in`, [out / kPanel, 16, in / 2, kPanel].
// `turned` is for the gradient of the input: it turns the kernel by 180 degrees and exchanges in and out.
at::Tensor pack(const at::Tensor& weight, bool turned) {
  const auto n = weight.size(turned), k = weight.size(!turned), n_step = weight.stride(turned),
             k_step = weight.stride(!turned), stride = k / 2 * kPanel;
  const auto u = at::empty({n / kPanel, 16, k / 2, kPanel}, at::kInt);
  at::parallel_for(0, n / kLanes, 1, [&](int64_t begin, int64_t end) {
    for (int64_t group = begin; group < end; ++group) {
      const float* g = weight.data_ptr<float>() + group * kLanes * n_step;
      const int64_t start = group * kLanes / kPanel * 16 * stride + group * kLanes % kPanel;
      for (int64_t i = 0; i < k; i += 2) {
        const Pairs to{reinterpret_cast<uint32_t*>(u.data_ptr<int>()) + start + i / 2 * kPanel, stride, 0, 16};
        weight_tile(g + i * k_step, n_step, turned, [to](int i, Floats f) { to.first(i, f); });
        weight_tile(g + (i + 1) * k_step, n_step, turned, [to](int i, Floats f) { to.second(i, f); });
      }
    }
  });
  return u.view(at::kBFloat16);
}

// Sums of products over pairs of tiles, for kRows channels of a and kPanel channels of b:
// sum[i * stride + j] += a[t * a_stride + i] . b[t * b_stride + j]. 32 bits hold the bfloat16 values of two tiles.
void multiply(const uint32_t* a, int64_t a_stride, const uint32_t* b, int64_t b_stride, int64_t pairs, float* sum,
              int64_t stride) {
  constexpr int columns = kPanel / kLanes;
  __m512 s[kRows][columns];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < columns; ++j) s[i][j] = _mm512_loadu_ps(sum + i * stride + j * kLanes);
  for (int64_t t = 0; t < pairs; ++t) {
    __m512bh right[columns];
#pragma GCC unroll 4
    for (int j = 0; j < columns; ++j) right[j] = (__m512bh)_mm512_loadu_si512(b + t * b_stride + j * kLanes);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const __m512bh left = (__m512bh)_mm512_set1_epi32(a[t * a_stride + i]);
#pragma GCC unroll 4
      for (int j = 0; j < columns; ++j) s[i][j] = _mm512_dpbf16_ps(s[i][j], left, right[j]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < columns; ++j) _mm512_storeu_ps(sum + i * stride + j * kLanes, s[i][j]);
}

void check(const at::Tensor& x, int64_t other) {
  TORCH_CHECK(x.is_contiguous() && x.size(3) % kPanel == 0 && other % kPanel == 0, "channels: multiples of 64, last");
}

const BFloat16* data(const at::Tensor& t) { return t.data_ptr<BFloat16>(); }

}  // namespace

// x[n, h, w, in] bfloat16, weight[out, in, 3, 3] and bias[out] float32, all contiguous -> [n, h, w, out].
// turned: the same with the weights that give the gradient of the input, x[n, h, w, out] -> [n, h, w, in].
at::Tensor convolve(at::Tensor x, at::Tensor weight, std::optional<at::Tensor> bias, bool turned) {
  const Shape s{x.size(0), x.size(1), x.size(2)};
  const auto in = x.size(3), out = weight.size(turned);
  check(x, out);
  TORCH_CHECK(weight.is_contiguous() && weight.size(!turned) == in && weight.size(2) == 3 && weight.size(3) == 3);
  const auto u = pack(weight, turned);
  auto result = at::empty({s.n, s.h, s.w, out}, x.options());
  at::parallel_for(0, s.tiles(), kTiles, [&](int64_t begin, int64_t end) {
    const int64_t v_stride = kTiles * in + kPad, m_stride = kTiles * kPanel + kPad;
    const std::vector<BFloat16> zeros(in);
    std::vector<BFloat16> unused(out);
    // Tensors, not vectors: a store that straddles two cache lines costs twice.
    const auto v_buffer = at::empty({16 * v_stride}, at::kBFloat16);
    const auto m_buffer = at::empty({16 * m_stride}, at::kFloat);
    auto* v = v_buffer.data_ptr<BFloat16>();
    auto* m = m_buffer.data_ptr<float>();
    for (int64_t first = begin; first < end; first += kTiles) {
      const int64_t count = std::min(kTiles, end - first);
      for (int64_t t = 0; t < count; ++t) {
        const BFloat16* at[16];
        pixels<4, 1>(data(x), zeros.data(), s, in, first + t, at);
        for (int64_t j = 0; j < in; j += kLanes)
          input_tile(at, j, [to = v + t * in + j, v_stride](int i, Floats f) { store(to + i * v_stride, f); });
      }
      for (int64_t panel = 0; panel < out; panel += kPanel) {
        for (int64_t i = 0; i < 16; ++i)
          at::native::cpublas::brgemm(count, kPanel, in, in, kPanel, kPanel, false, v + i * v_stride,
                                      data(u) + (panel * 16 + i * kPanel) * in, m + i * m_stride);
        for (int64_t t = 0; t < count; ++t) {
          BFloat16* at[4];
          pixels<2, 0>(result.data_ptr<BFloat16>() + panel, unused.data(), s, out, first + t, at);
          output_tile(m + t * kPanel, m_stride, bias ? bias->data_ptr<float>() + panel : nullptr, at, kPanel);
        }
      }
    }
    at::native::cpublas::brgemm_release();
  });
  return result;
}

at::Tensor weight_grad(at::Tensor x, at::Tensor grad) {
  const Shape s{x.size(0), x.size(1), x.size(2)};
  const auto in = x.size(3), out = grad.size(3), v_row = in + kLanes, m_row = out + kLanes;
  const auto v_stride = kPairs * v_row + kLanes, m_stride = kPairs * m_row + kLanes;
  check(x, out);
  check(grad, in);
  const std::vector<BFloat16> zeros(std::max(in, out));
  const auto sum = at::zeros({16, out, in});
  // A thread transforms every tile, but keeps only its own places: moving the others' between cores costs more.
  at::parallel_for(0, 16, 1, [&](int64_t begin, int64_t end) {
    const auto buffer = at::empty({(end - begin) * (v_stride + m_stride)}, at::kInt);
    auto* v = reinterpret_cast<uint32_t*>(buffer.data_ptr<int>());
    auto* m = v + (end - begin) * v_stride;
    for (int64_t first = 0; first < s.tiles(); first += 2 * kPairs) {
      const auto pairs = std::min(kPairs, (s.tiles() - first + 1) / 2);
      for (int64_t t = 0; t < pairs; ++t) {
        const BFloat16 *at[2][16], *grad_at[2][4];
        for (int64_t k = 0; k < 2; ++k) {
          pixels<4, 1>(data(x), zeros.data(), s, in, first + 2 * t + k, at[k]);
          pixels<2, 0>(data(grad), zeros.data(), s, out, first + 2 * t + k, grad_at[k]);
        }
        for (int64_t j = 0; j < in; j += kLanes) {
          const Pairs to{v + t * v_row + j, v_stride, begin, end};
          input_tile(at[0], j, [to](int i, Floats f) { to.first(i, f); });
          input_tile(at[1], j, [to](int i, Floats f) { to.second(i, f); });
        }
        for (int64_t j = 0; j < out; j += kLanes) {
          const Pairs to{m + t * m_row + j, m_stride, begin, end};
          output_grad_tile(grad_at[0], j, [to](int i, Floats f) { to.first(i, f); });
          output_grad_tile(grad_at[1], j, [to](int i, Floats f) { to.second(i, f); });
        }
      }
      for (int64_t i = begin; i < end; ++i)
        for (int64_t panel = 0; panel < in; panel += kPanel)
          for (int64_t row = 0; row < out; row += kRows)
            multiply(m + (i - begin) * m_stride + row, m_row, v + (i - begin) * v_stride + panel, v_row, pairs,
                     sum.data_ptr<float>() + (i * out + row) * in + panel, in);
    }
  });
  auto result = at::empty({out, in, 3, 3}, sum.options());
  at::parallel_for(0, out * in / kLanes, 64, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k)
      weight_grad_tile(sum.data_ptr<float>() + k * kLanes, out * in, result.data_ptr<float>() + k * kLanes * 9);
  });
  return result;
}

TORCH_LIBRARY(winograd, m) {
  m.def("convolve", &convolve);
  m.def("weight_grad", &weight_grad);
}
