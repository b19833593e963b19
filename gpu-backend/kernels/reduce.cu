// Second stages of sums: they add partial sums up in a fixed order.

// out[j] += sum over p of partials[p * stride + j]. Blocks of 32 columns by 8 slices.
INLINE void reduce_rows_body(const float* partials, float* out, int count, int stride, int width) {
  __shared__ float room[8][32];
  int column = blockIdx.x * 32 + threadIdx.x % 32, slice = threadIdx.x / 32;
  float sum = 0.f;
  if (column < width)
    for (int p = slice; p < count; p += 8) sum += partials[(size_t)p * stride + column];
  room[slice][threadIdx.x % 32] = sum;
  __syncthreads();
  if (slice == 0 && column < width) {
    float total = 0.f;
    for (int i = 0; i < 8; i++) total += room[i][threadIdx.x % 32];
    out[column] += total;
  }
}
KERNEL(reduce_rows, 256, (const float* partials, float* out, int count, int stride, int width),
       reduce_rows_body(partials, out, count, stride, width))

// out[0] += sum of all partials, by one block.
INLINE void reduce_all_body(const float* partials, float* out, int count) {
  __shared__ float room[32];
  float sum = 0.f;
  for (int p = threadIdx.x; p < count; p += blockDim.x) sum += partials[p];
  sum = block_sum(sum, room);
  if (threadIdx.x == 0) out[0] += sum;
}
KERNEL(reduce_all, 256, (const float* partials, float* out, int count),
       reduce_all_body(partials, out, count))
