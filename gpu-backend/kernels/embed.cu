// Rows of a table, and the gradient of the table.

template <typename T, int V>
INLINE void embed(const unsigned* ids, const T* table, T* x, int tokens, int width, float scale) {
  size_t i = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * V;
  if (i >= (size_t)tokens * width) return;
  unsigned id = ids[i / width];
  float v[V];
#pragma unroll
  for (int j = 0; j < V; j++) v[j] = 0.f;
  if (id != IGNORE) Io<T, V>::load(table + (size_t)id * width + i % width, v);
#pragma unroll
  for (int j = 0; j < V; j++) v[j] *= scale;
  Io<T, V>::store(x + i, v);
}

// The gradient: positions come sorted by identity (`order`, stable), and each block sums SEGMENT of
// them, whatever the identities: the launch depends on no data, and a frequent word costs no more
// than rare ones. A run of one identity that lies within the segment is added to the table; the
// part of one that began before goes to partials[segment][0], of one that goes on after (and began
// here) to partials[segment][1]. embed_runs adds those up.
#define SEGMENT 32

template <typename T, int V>
INLINE void embed_backward(const unsigned* ids, const unsigned* order, const T* dx, float* gradients,
                           float* partials, int tokens, int width, float scale) {
  __shared__ unsigned position[SEGMENT], identity[SEGMENT + 2];
  int first = blockIdx.y * SEGMENT, count = min(SEGMENT, tokens - first);
  for (int i = threadIdx.x; i < SEGMENT + 2; i += blockDim.x) {
    int p = first + i - 1;  // identity[0] is the one before the segment
    identity[i] = p >= 0 && p < tokens ? ids[order[p]] : IGNORE;
    if (i > 0 && i <= count) position[i - 1] = order[p];
  }
  __syncthreads();
  int column = (blockIdx.x * blockDim.x + threadIdx.x) * V;
  if (column >= width) return;
  float v[V], sum[V];
#pragma unroll
  for (int j = 0; j < V; j++) sum[j] = 0.f;
  bool began_before = identity[0] == identity[1];
  for (int i = 0; i < count; i++) {
    unsigned id = identity[i + 1];
    if (id == IGNORE) return;  // they are sorted last
    Io<T, V>::load(dx + (size_t)position[i] * width + column, v);
#pragma unroll
    for (int j = 0; j < V; j++) sum[j] += v[j];
    bool ends_here = identity[i + 2] != id;
    if (!ends_here && i + 1 < count) continue;
    bool partial = began_before || !ends_here;
    float* to = partial ? partials + ((size_t)blockIdx.y * 2 + !began_before) * width
                        : gradients + (size_t)id * width;
#pragma unroll
    for (int j = 0; j < V; j++) {
      float value = scale * sum[j];
      to[column + j] = partial ? value : to[column + j] + value;
      sum[j] = 0.f;
    }
    began_before = false;
  }
}

// A block a segment: if a run begins in it and goes on, its parts in order.
INLINE void embed_runs_body(const unsigned* ids, const unsigned* order, float* gradients,
                            const float* partials, int tokens, int width) {
  int segment = blockIdx.y, end = (segment + 1) * SEGMENT;
  if (end >= tokens) return;
  unsigned id = ids[order[end]];
  if (id == IGNORE || id != ids[order[end - 1]]) return;
  // A run that covers the whole segment and began before belongs to an earlier block.
  int first = segment * SEGMENT;
  if (first > 0 && ids[order[first - 1]] == id) return;
  int column = blockIdx.x * blockDim.x + threadIdx.x;
  if (column >= width) return;
  float sum = partials[((size_t)segment * 2 + 1) * width + column];
  for (int s = segment + 1; s * SEGMENT < tokens && ids[order[s * SEGMENT]] == id; s++)
    sum += partials[(size_t)s * 2 * width + column];
  gradients[(size_t)id * width + column] += sum;
}
KERNEL(embed_runs, 128,
       (const unsigned* ids, const unsigned* order, float* gradients, const float* partials,
        int tokens, int width),
       embed_runs_body(ids, order, gradients, partials, tokens, width))

#define EMBED(T, V, NAME)                                                                         \
  KERNEL(embed_##NAME, 256,                                                                       \
         (const unsigned* ids, const T* table, T* x, int tokens, int width, float scale),         \
         embed<T, V>(ids, table, x, tokens, width, scale))                                        \
  KERNEL(embed_backward_##NAME, 128,                                                              \
         (const unsigned* ids, const unsigned* order, const T* dx, float* gradients,              \
          float* partials, int tokens, int width, float scale),                                   \
         embed_backward<T, V>(ids, order, dx, gradients, partials, tokens, width, scale))
EMBED(float, 4, f32_v)
EMBED(float, 1, f32_s)
EMBED(bf16, 8, bf16_v)
EMBED(bf16, 1, bf16_s)
