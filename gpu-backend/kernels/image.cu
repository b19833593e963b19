// What products along the columns of images need: kernels whose lags stand a row of pixels apart, and
// the sum of the products along rows and along columns.

// to[step i] = from[i], zeros between; `count` elements of `to`.
KERNEL(spread, 256, (const float* from, float* to, size_t step, size_t count),
       size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
       if (i < count) to[i] = i % step == 0 ? from[i / step] : 0.f)

// to[i] = from[step i], for `count` elements.
KERNEL(gather, 256, (const float* from, float* to, size_t step, size_t count),
       size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
       if (i < count) to[i] = from[i * step])

// to[i] += from[i], V elements a thread.
template <typename T, int V>
INLINE void add(const T* from, T* to, size_t count) {
  size_t i = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * V;
  if (i >= count) return;
  float a[V], b[V];
  Io<T, V>::load(from + i, a), Io<T, V>::load(to + i, b);
  for (int k = 0; k < V; k++) b[k] += a[k];
  Io<T, V>::store(to + i, b);
}

#define ADD(T, NAME, V)                                                     \
  KERNEL(add_##NAME, 256, (const T* from, T* to, size_t count), \
         add<T, V>(from, to, count))
ADD(float, f32_s, 1)
ADD(float, f32_v, 4)
ADD(bf16, bf16_s, 1)
ADD(bf16, bf16_v, 4)
