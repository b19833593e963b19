// The mean over the positions of each sequence: blocks of 32 columns by 8 rows.

template <typename T>
INLINE void mean_pool(const T* x, T* y, int length, int width) {
  __shared__ float room[8][32];
  int lane = threadIdx.x % 32, row = threadIdx.x / 32, column = blockIdx.x * 32 + lane;
  size_t at = (size_t)blockIdx.y * length * width;
  float sum = 0.f;
  if (column < width)
    for (int i = row; i < length; i += 8) sum += widen(x[at + (size_t)i * width + column]);
  room[row][lane] = sum;
  __syncthreads();
  if (row > 0 || column >= width) return;
  float total = 0.f;
  for (int i = 0; i < 8; i++) total += room[i][lane];
  total /= length;
  Io<T, 1>::store(y + (size_t)blockIdx.y * width + column, &total);
}

template <typename T>
INLINE void mean_pool_backward(const T* dy, T* dx, int length, int width, int count) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  float v = widen(dy[(size_t)(i / width / length) * width + i % width]) / length;
  Io<T, 1>::store(dx + i, &v);
}

#define POOL(T, NAME)                                                                            \
  KERNEL(mean_pool_##NAME, 256, (const T* x, T* y, int length, int width),                       \
         mean_pool<T>(x, y, length, width))                                                      \
  KERNEL(mean_pool_backward_##NAME, 256, (const T* dy, T* dx, int length, int width, int count), \
         mean_pool_backward<T>(dy, dx, length, width, count))
POOL(float, f32)
POOL(bf16, bf16)
