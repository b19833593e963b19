// The gate of a GLU, channel-major: rows g and channels + g of h make row g of a.

template <typename T, int V>
INLINE void gate(const T* h, const float* bias, T* a, int channels, int tokens, int act) {
  size_t row = blockIdx.y;
  float b1 = bias ? bias[row] : 0.f, b2 = bias ? bias[channels + row] : 0.f, p[V], q[V];
  int t = (blockIdx.x * blockDim.x + threadIdx.x) * V;
  if (t >= tokens) return;
  Io<T, V>::load(h + row * tokens + t, p);
  Io<T, V>::load(h + (channels + row) * tokens + t, q);
#pragma unroll
  for (int j = 0; j < V; j++) p[j] = activate(act, p[j] + b1) * (q[j] + b2);
  Io<T, V>::store(a + row * tokens + t, p);
}

// One block a row, so that the bias's gradient is one sum in a fixed order.
template <typename T, int V>
INLINE void gate_backward(const T* h, const float* bias, const T* da, T* dh, float* d_bias,
                          int channels, int tokens, int act) {
  __shared__ float room[32];
  size_t row = blockIdx.x, first = row * tokens, second = (channels + row) * tokens;
  float b1 = bias ? bias[row] : 0.f, b2 = bias ? bias[channels + row] : 0.f;
  float p[V], q[V], g[V], sum1 = 0.f, sum2 = 0.f;
  for (int t = threadIdx.x * V; t < tokens; t += blockDim.x * V) {
    Io<T, V>::load(h + first + t, p);
    Io<T, V>::load(h + second + t, q);
    Io<T, V>::load(da + first + t, g);
#pragma unroll
    for (int j = 0; j < V; j++) {
      float z = p[j] + b1;
      p[j] = g[j] * (q[j] + b2) * slope(act, z);
      q[j] = g[j] * activate(act, z);
      sum1 += p[j], sum2 += q[j];
    }
    Io<T, V>::store(dh + first + t, p);
    Io<T, V>::store(dh + second + t, q);
  }
  if (d_bias == nullptr) return;
  sum1 = block_sum(sum1, room), sum2 = block_sum(sum2, room);
  if (threadIdx.x == 0) d_bias[row] += sum1, d_bias[channels + row] += sum2;
}

#define GATE(T, V, NAME)                                                                         \
  KERNEL(gate_##NAME, 256,                                                                       \
         (const T* h, const float* bias, T* a, int channels, int tokens, int act),               \
         gate<T, V>(h, bias, a, channels, tokens, act))                                          \
  KERNEL(gate_backward_##NAME, 256,                                                              \
         (const T* h, const float* bias, const T* da, T* dh, float* d_bias, int channels,        \
          int tokens, int act),                                                                  \
         gate_backward<T, V>(h, bias, da, dh, d_bias, channels, tokens, act))
GATE(float, 4, f32_v)
GATE(float, 1, f32_s)
GATE(bf16, 8, bf16_v)
GATE(bf16, 1, bf16_s)
