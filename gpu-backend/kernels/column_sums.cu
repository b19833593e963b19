// Sums over the tokens of token-major activations, first stage; reduce.cu adds the partials up.
// Blocks of 32 columns (of V elements) by 8 rows take `each` tokens.

template <typename T, int V>
INLINE void column_sums(const T* x, float* partials, int tokens, int width, int each) {
  __shared__ float room[8][32 * V + 1];
  int lane = threadIdx.x % 32, row = threadIdx.x / 32, column = (blockIdx.x * 32 + lane) * V;
  int first = blockIdx.y * each, last = min(first + each, tokens);
  float v[V], sum[V];
#pragma unroll
  for (int j = 0; j < V; j++) sum[j] = 0.f;
  if (column < width)
    for (int t = first + row; t < last; t += 8) {
      Io<T, V>::load(x + (size_t)t * width + column, v);
#pragma unroll
      for (int j = 0; j < V; j++) sum[j] += v[j];
    }
#pragma unroll
  for (int j = 0; j < V; j++) room[row][j * 32 + lane] = sum[j];
  __syncthreads();
  if (row == 0 && column < width)
#pragma unroll
    for (int j = 0; j < V; j++) {
      float total = 0.f;
      for (int i = 0; i < 8; i++) total += room[i][j * 32 + lane];
      partials[(size_t)blockIdx.y * width + column + j] = total;
    }
}

#define COLUMN_SUMS(T, V, NAME)                                                                   \
  KERNEL(column_sums_##NAME, 256, (const T* x, float* partials, int tokens, int width, int each), \
         column_sums<T, V>(x, partials, tokens, width, each))
COLUMN_SUMS(float, 4, f32_v)
COLUMN_SUMS(float, 1, f32_s)
COLUMN_SUMS(bf16, 8, bf16_v)
COLUMN_SUMS(bf16, 1, bf16_s)
