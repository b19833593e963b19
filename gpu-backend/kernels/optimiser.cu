// Sum of squares, AdamW (Loshchilov and Hutter 2019), and rounding to the type of activations.

// First stage; reduce_all adds the partials up.
template <int V>
INLINE void sum_squares(const float* x, float* partials, size_t count) {
  __shared__ float room[32];
  float v[V], sum = 0.f;
  size_t stride = (size_t)gridDim.x * blockDim.x * V;
  for (size_t i = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * V; i < count; i += stride) {
    Io<float, V>::load(x + i, v);
#pragma unroll
    for (int j = 0; j < V; j++) sum += v[j] * v[j];
  }
  sum = block_sum(sum, room);
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}
KERNEL(sum_squares_v, 256, (const float* x, float* partials, size_t count),
       sum_squares<4>(x, partials, count))
KERNEL(sum_squares_s, 256, (const float* x, float* partials, size_t count),
       sum_squares<1>(x, partials, count))

// `hyper` is laid out as the host's `Optimiser` says.
template <typename T, int V>
INLINE void adamw(float* parameters, T* copy, const float* gradients, float* first, float* second,
                  const float* hyper, size_t count, int decay) {
  size_t i = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * V;
  if (i >= count) return;
  float rate = hyper[0], beta1 = hyper[1], beta2 = hyper[2], epsilon = hyper[3];
  float keep = decay ? 1.f - rate * hyper[4] : 1.f, correct1 = hyper[5], correct2 = hyper[6];
  float limit = hyper[7], scale = hyper[8];
  float norm = scale * sqrtf(hyper[9]);
  // Infinite or no number: nothing is written. The largest float, for there is no header here.
  if (!(fabsf(norm) <= 3.402823466e38f)) return;
  // The constant is that of PyTorch's clip_grad_norm_.
  if (limit > 0.f) scale *= fminf(limit / (norm + 1e-6f), 1.f);
  float p[V], g[V], m[V], v[V];
  Io<float, V>::load(parameters + i, p);
  Io<float, V>::load(gradients + i, g);
  Io<float, V>::load(first + i, m);
  Io<float, V>::load(second + i, v);
#pragma unroll
  for (int j = 0; j < V; j++) {
    float gradient = g[j] * scale;
    m[j] = beta1 * m[j] + (1.f - beta1) * gradient;
    v[j] = beta2 * v[j] + (1.f - beta2) * gradient * gradient;
    p[j] = p[j] * keep - rate * (m[j] / correct1) / (sqrtf(v[j] / correct2) + epsilon);
  }
  Io<float, V>::store(parameters + i, p);
  Io<float, V>::store(first + i, m);
  Io<float, V>::store(second + i, v);
  Io<T, V>::store(copy + i, p);
}

template <typename T, int V>
INLINE void cast(const float* from, T* to, size_t count) {
  size_t i = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * V;
  if (i >= count) return;
  float v[V];
  Io<float, V>::load(from + i, v);
  Io<T, V>::store(to + i, v);
}

#define OPTIMISER(T, V, NAME)                                                                  \
  KERNEL(adamw_##NAME, 256,                                                                    \
         (float* parameters, T* copy, const float* gradients, float* first, float* second,     \
          const float* hyper, size_t count, int decay),                                        \
         adamw<T, V>(parameters, copy, gradients, first, second, hyper, count, decay))         \
  KERNEL(cast_##NAME, 256, (const float* from, T* to, size_t count), cast<T, V>(from, to, count))
OPTIMISER(float, 4, f32_v)
OPTIMISER(float, 1, f32_s)
OPTIMISER(bf16, 4, bf16_v)
OPTIMISER(bf16, 1, bf16_s)
