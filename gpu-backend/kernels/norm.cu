// Norms of tokens, one warp a token: x is read again for each pass, from the first-level cache.

// What is subtracted from a row, and what it is multiplied by then; every lane gets both.
template <typename T, int V, bool LAYER>
INLINE void statistics(const T* row, int width, float& mean, float& scale) {
  float v[V], sum = 0.f, squares = 0.f;
  mean = 0.f;
  if (LAYER) {
    for (int i = threadIdx.x % 32 * V; i < width; i += 32 * V) {
      Io<T, V>::load(row + i, v);
#pragma unroll
      for (int j = 0; j < V; j++) sum += v[j];
    }
    mean = warp_sum(sum) / width;
  }
  for (int i = threadIdx.x % 32 * V; i < width; i += 32 * V) {
    Io<T, V>::load(row + i, v);
#pragma unroll
    for (int j = 0; j < V; j++) squares += (v[j] - mean) * (v[j] - mean);
  }
  squares = warp_sum(squares) / width;
  scale = LAYER ? 1.f / sqrtf(squares + 1e-5f) : 1.f / (sqrtf(squares) + 1e-8f);
}

template <typename T, int V, bool LAYER>
INLINE void norm(const T* x, const float* weight, T* y, int tokens, int width) {
  int token = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
  if (token >= tokens) return;  // a whole warp
  size_t at = (size_t)token * width;
  float mean, scale, v[V];
  statistics<T, V, LAYER>(x + at, width, mean, scale);
  for (int i = threadIdx.x % 32 * V; i < width; i += 32 * V) {
    Io<T, V>::load(x + at + i, v);
#pragma unroll
    for (int j = 0; j < V; j++) {
      v[j] = (v[j] - mean) * scale;
      if (LAYER) v[j] = v[j] * weight[i + j] + weight[width + i + j];
    }
    Io<T, V>::store(y + at + i, v);
  }
}

// dx += scale * (g - mean(g) - xhat * mean(g * xhat)) for the layer norm (g = dy * weight), and
// dx += scale * dy - x * sum(x * dy) * scale^2 / (width * rms) for the other.
// `saved` receives mean and scale of each token for norm_parameters (layer norm alone).
template <typename T, int V, bool LAYER>
INLINE void norm_backward(const T* x, const float* weight, const T* dy, T* dx, float* saved,
                          int tokens, int width) {
  int token = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
  if (token >= tokens) return;
  size_t at = (size_t)token * width;
  float mean, scale, v[V], g[V], d[V];
  statistics<T, V, LAYER>(x + at, width, mean, scale);
  float sum = 0.f, dot = 0.f;
  for (int i = threadIdx.x % 32 * V; i < width; i += 32 * V) {
    Io<T, V>::load(x + at + i, v);
    Io<T, V>::load(dy + at + i, g);
#pragma unroll
    for (int j = 0; j < V; j++) {
      if (LAYER) g[j] *= weight[i + j];
      sum += g[j], dot += g[j] * (v[j] - mean);
    }
  }
  dot = warp_sum(dot);
  float shift = 0.f, pull;
  if (LAYER) {
    shift = warp_sum(sum) / width * scale;
    pull = dot * scale * scale * scale / width;
  } else {
    // 1 / scale = rms + 1e-8; a row of zeros has no direction to be pulled in.
    float rms = 1.f / scale - 1e-8f;
    pull = rms > 0.f ? dot * scale * scale / (width * rms) : 0.f;
  }
  for (int i = threadIdx.x % 32 * V; i < width; i += 32 * V) {
    Io<T, V>::load(x + at + i, v);
    Io<T, V>::load(dy + at + i, g);
    Io<T, V>::load(dx + at + i, d);
#pragma unroll
    for (int j = 0; j < V; j++) {
      if (LAYER) g[j] *= weight[i + j];
      d[j] += scale * g[j] - shift - (v[j] - mean) * pull;
    }
    Io<T, V>::store(dx + at + i, d);
  }
  if (LAYER && threadIdx.x % 32 == 0) saved[2 * token] = mean, saved[2 * token + 1] = scale;
}

// Gradients of weight and bias, first stage: blocks of 32 columns by 8 rows take `each` tokens.
// partials[blockIdx.y] = [weight's width, bias's width]; reduce.cu adds them up.
template <typename T>
INLINE void norm_parameters(const T* x, const T* dy, const float* saved, float* partials,
                            int tokens, int width, int each) {
  __shared__ float room[2][8][32];
  int column = blockIdx.x * 32 + threadIdx.x % 32, row = threadIdx.x / 32;
  int first = blockIdx.y * each, last = min(first + each, tokens);
  float weight = 0.f, bias = 0.f;
  if (column < width)
    for (int t = first + row; t < last; t += 8) {
      float g = widen(dy[(size_t)t * width + column]);
      float v = widen(x[(size_t)t * width + column]);
      weight += g * (v - saved[2 * t]) * saved[2 * t + 1], bias += g;
    }
  room[0][row][threadIdx.x % 32] = weight, room[1][row][threadIdx.x % 32] = bias;
  __syncthreads();
  if (row < 2 && column < width) {
    float total = 0.f;
    for (int i = 0; i < 8; i++) total += room[row][i][threadIdx.x % 32];
    partials[(size_t)blockIdx.y * 2 * width + row * width + column] = total;
  }
}

#define NORM(T, V, NAME)                                                                           \
  KERNEL(norm_rms_##NAME, 128, (const T* x, const float* w, T* y, int tokens, int width),          \
         norm<T, V, false>(x, w, y, tokens, width))                                                \
  KERNEL(norm_layer_##NAME, 128, (const T* x, const float* w, T* y, int tokens, int width),        \
         norm<T, V, true>(x, w, y, tokens, width))                                                 \
  KERNEL(norm_rms_backward_##NAME, 128,                                                            \
         (const T* x, const float* w, const T* dy, T* dx, float* saved, int tokens, int width),    \
         norm_backward<T, V, false>(x, w, dy, dx, saved, tokens, width))                           \
  KERNEL(norm_layer_backward_##NAME, 128,                                                          \
         (const T* x, const float* w, const T* dy, T* dx, float* saved, int tokens, int width),    \
         norm_backward<T, V, true>(x, w, dy, dx, saved, tokens, width))
NORM(float, 4, f32_v)
NORM(float, 1, f32_s)
NORM(bf16, 8, bf16_v)
NORM(bf16, 1, bf16_s)
KERNEL(norm_parameters_f32, 256,
       (const float* x, const float* dy, const float* saved, float* partials, int tokens, int width,
        int each),
       norm_parameters<float>(x, dy, saved, partials, tokens, width, each))
KERNEL(norm_parameters_bf16, 256,
       (const bf16* x, const bf16* dy, const float* saved, float* partials, int tokens, int width,
        int each),
       norm_parameters<bf16>(x, dy, saved, partials, tokens, width, each))
