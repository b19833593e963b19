// Cross entropy of rows of logits, one block a row; with `backward` the row then becomes its own
// gradient, (softmax - one hot) * scale: while it is still in the second-level cache.

template <typename T, int V>
INLINE void cross_entropy(T* logits, const unsigned* targets, float* losses, float* hits,
                          int classes, int stride, float scale, int backward) {
  __shared__ float room[32], peaks[32];
  T* row = logits + (size_t)blockIdx.x * stride;
  unsigned target = targets[blockIdx.x];
  bool counts = target < (unsigned)classes;
  float hot = counts ? widen(row[target]) : 0.f;
  float v[V], peak = -3.402823466e38f, sum = 0.f;
  // Rows are padded to V elements; what is past the classes does not take part.
  for (int i = threadIdx.x * V; i < classes; i += blockDim.x * V) {
    Io<T, V>::load(row + i, v);
    float top = peak;
#pragma unroll
    for (int j = 0; j < V; j++)
      if (i + j < classes) top = fmaxf(top, v[j]);
    sum *= __expf(peak - top), peak = top;
#pragma unroll
    for (int j = 0; j < V; j++)
      if (i + j < classes) sum += __expf(v[j] - peak);
  }
  float top = warp_max(peak);
  if (threadIdx.x % 32 == 0) peaks[threadIdx.x / 32] = top;
  __syncthreads();
  top = warp_max(threadIdx.x % 32 < blockDim.x / 32 ? peaks[threadIdx.x % 32] : peaks[0]);
  sum = block_sum(sum * __expf(peak - top), room);
  if (threadIdx.x == 0) {
    losses[blockIdx.x] = counts ? logf(sum) + top - hot : 0.f;
    hits[blockIdx.x] = counts && hot >= top ? 1.f : 0.f;
  }
  if (!backward) return;
  float factor = counts ? scale / sum : 0.f;
  for (int i = threadIdx.x * V; i < classes; i += blockDim.x * V) {
    Io<T, V>::load(row + i, v);
#pragma unroll
    for (int j = 0; j < V; j++) {
      v[j] = i + j < classes ? __expf(v[j] - top) * factor : 0.f;
      if (counts && (unsigned)(i + j) == target) v[j] -= scale;
    }
    Io<T, V>::store(row + i, v);
  }
}
#define CROSS_ENTROPY(T, V, NAME)                                                             \
  KERNEL(cross_entropy_##NAME, 512,                                                           \
         (T* logits, const unsigned* targets, float* losses, float* hits, int classes,        \
          int stride, float scale, int backward),                                             \
         cross_entropy<T, V>(logits, targets, losses, hits, classes, stride, scale, backward))
CROSS_ENTROPY(float, 4, f32)
CROSS_ENTROPY(bf16, 8, bf16)

// sums += loss, targets, hits: one block.
INLINE void loss_sums_body(const unsigned* targets, const float* losses, const float* hits,
                           float* sums, int tokens) {
  __shared__ float room[32];
  float loss = 0.f, count = 0.f, right = 0.f;
  for (int i = threadIdx.x; i < tokens; i += blockDim.x)
    loss += losses[i], right += hits[i], count += targets[i] != IGNORE ? 1.f : 0.f;
  loss = block_sum(loss, room), count = block_sum(count, room), right = block_sum(right, room);
  if (threadIdx.x == 0) sums[0] += loss, sums[1] += count, sums[2] += right;
}
KERNEL(loss_sums, 512,
       (const unsigned* targets, const float* losses, const float* hits, float* sums, int tokens),
       loss_sums_body(targets, losses, hits, sums, tokens))
