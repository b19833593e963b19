// The mean over the own positions of each sequence (blocks of 32 columns by 8 rows), its gradient, and
// the hiding of padding. counts: how many positions are a sequence's own, whole numbers.

template <typename T>
INLINE void mean_pool(const T* x, const float* counts, T* y, int length, int width) {
  __shared__ float room[8][32];
  int lane = threadIdx.x % 32, row = threadIdx.x / 32, column = blockIdx.x * 32 + lane;
  size_t at = (size_t)blockIdx.y * length * width;
  float count = counts[blockIdx.y], sum = 0.f;
  if (column < width)
    for (int i = row; i < (int)count; i += 8) sum += widen(x[at + (size_t)i * width + column]);
  room[row][lane] = sum;
  __syncthreads();
  if (row > 0 || column >= width) return;
  float total = 0.f;
  for (int i = 0; i < 8; i++) total += room[i][lane];
  total /= fmaxf(count, 1.f);
  Io<T, 1>::store(y + (size_t)blockIdx.y * width + column, &total);
}

template <typename T>
INLINE void mean_pool_backward(const T* dy, const float* counts, T* dx, int length, int width,
                               int count) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  int sequence = i / width / length, position = i / width % length;
  float own = counts[sequence], v = 0.f;
  if (position < (int)own) v = widen(dy[(size_t)sequence * width + i % width]) / own;
  Io<T, 1>::store(dx + i, &v);
}

// A block a row of channel-major values and a sequence.
template <typename T>
INLINE void hide_padding(T* rows, const float* counts, int length, float hidden) {
  T* sequence = rows + ((size_t)blockIdx.x * gridDim.y + blockIdx.y) * length;
  for (int i = (int)counts[blockIdx.y] + threadIdx.x; i < length; i += blockDim.x)
    Io<T, 1>::store(sequence + i, &hidden);
}

#define POOL(T, NAME)                                                                             \
  KERNEL(mean_pool_##NAME, 256,                                                                   \
         (const T* x, const float* counts, T* y, int length, int width),                          \
         mean_pool<T>(x, counts, y, length, width))                                               \
  KERNEL(mean_pool_backward_##NAME, 256,                                                          \
         (const T* dy, const float* counts, T* dx, int length, int width, int count),             \
         mean_pool_backward<T>(dy, counts, dx, length, width, count))                             \
  KERNEL(hide_padding_##NAME, 256, (T* rows, const float* counts, int length, float hidden),      \
         hide_padding<T>(rows, counts, length, hidden))
POOL(float, f32)
POOL(bf16, bf16)
