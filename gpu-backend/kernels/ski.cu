// The gated Toeplitz unit with the product of SKI between its linear maps: y = (T + W A W^T) act(v),
// g = act(u) . y, and its gradients. T is a short convolution, W interpolates linearly between `rank`
// points that are spread evenly over a sequence, A[a, b] = kernel(a - b). Channel-major operands.
//
// One block is one channel and `sequences` neighbouring sequences. Forward: act(v) goes to shared
// memory, tile by tile; threads in groups of `lanes` sum an interval's two halves of z = W^T v; then
// z' = A z; then T v + W z' is added up, gated and stored. Where a sequence is one tile, v is read
// once, otherwise again from the cache. Backward likewise, with W^T of v and of dy, and A^T.
//
// Work a position: the taps, and rank^2 products a sequence, so short sequences share a block.
// Nothing is of length x rank. Sums are in a fixed order, no two threads add to one place.
//
// Expected for E = 1536, 32,768 tokens, bf16 on an H100, rank 64, 9 taps: bytes alone take .136 ms
// forward and .20 ms backward at every length; about 60 instructions a position forward and 130
// backward, .10 and .22 ms, which overlap with them in part: .17 and .35 ms expected. Measured: .36 to
// .38 forward and .65 (one sequence) to .82 backward (64 of them): twice as long, so the three passes of
// a block follow each other and hide little of each other's waiting.

struct Ski {
  int channels, batch, length, rank, taps, act;
  int sequences;  // of a block
  int tile;       // positions of a sequence in shared memory at a time, a multiple of 4
  int lanes;      // threads that sum an interval
};

#define SKI_THREADS 256
#define SKI_OUT 5  // outputs a thread computes of a Toeplitz product; odd, so that banks differ

// Points are positions / intervals apart: positions and intervals, as whole numbers.
INLINE int ski_positions(const Ski& s) { return max(s.length - 1, 1); }
INLINE int ski_intervals(const Ski& s) { return s.rank - 1; }
// First position of interval q; the last position belongs to the last interval.
INLINE int ski_start(const Ski& s, int q) {
  int intervals = ski_intervals(s);
  if (q == intervals) return s.length;
  return min((q * ski_positions(s) + intervals - 1) / intervals, s.length);
}
INLINE int ski_interval(const Ski& s, int i) {
  return min(i * ski_intervals(s) / ski_positions(s), ski_intervals(s) - 1);
}

// Adds W z at positions i .. i + 3 to y.
INLINE void ski_spread(const Ski& s, const float* z, int i, float* y) {
  int positions = ski_positions(s), intervals = ski_intervals(s), q = ski_interval(s, i);
  int rest = i * intervals - q * positions;
  float scale = 1.f / positions, from = z[q], to = z[q + 1];
#pragma unroll
  for (int j = 0; j < 4; j++) {
    y[j] += from + rest * scale * (to - from);
    rest += intervals;
    while (rest >= positions && q < intervals - 1) {
      rest -= positions, q++;
      from = to, to = z[q + 1];
    }
  }
}

// Four elements of a row from position i on, zeros outside; V is 4 where all or none are inside.
template <typename T, int V>
INLINE void ski_read(const T* row, int i, int length, float* v) {
  if (V == 4) {
    v[0] = v[1] = v[2] = v[3] = 0.f;
    if (i >= 0 && i < length) Io<T, 4>::load(row + i, v);
  } else {
#pragma unroll
    for (int j = 0; j < 4; j++) v[j] = i + j >= 0 && i + j < length ? widen(row[i + j]) : 0.f;
  }
}
template <typename T, int V>
INLINE void ski_write(T* row, int i, int length, const float* v) {
  if (V == 4) {
    if (i >= 0 && i < length) Io<T, 4>::store(row + i, v);
  } else {
#pragma unroll
    for (int j = 0; j < 4; j++)
      if (i + j >= 0 && i + j < length) Io<T, 1>::store(row + i + j, v + j);
  }
}

// What a block works on: a channel's sequences from `start` on, and its shared memory.
template <typename T, int V, int REACH>
struct SkiBlock {
  Ski s;
  int live;      // sequences that there are
  size_t start;  // of the first, in a matrix of one row a channel
  int stride;    // of a sequence's tile: REACH positions more on each side

  INLINE SkiBlock(const Ski& s) : s(s) {
    int first = blockIdx.y * s.sequences;
    live = min(s.sequences, s.batch - first);
    start = ((size_t)blockIdx.x * s.batch + first) * s.length;
    stride = s.tile + 2 * REACH;
  }
  INLINE size_t second() const { return (size_t)s.channels * s.batch * s.length; }

  // x = act(v + bias) of the tile from `begin` on, zero outside of sequences.
  INLINE void load(const T* v, float bias, int begin, float* x) const {
    int groups = stride / 4;
    for (int e = threadIdx.x; e < s.sequences * groups; e += SKI_THREADS) {
      int sequence = e / groups, i = begin - REACH + e % groups * 4;
      int length = sequence < live ? s.length : 0;
      float w[4];
      ski_read<T, V>(v + start + (size_t)sequence * s.length, i, length, w);
#pragma unroll
      for (int j = 0; j < 4; j++)
        w[j] = i + j >= 0 && i + j < length ? activate(s.act, w[j] + bias) : 0.f;
      ((float4*)x)[e] = make_float4(w[0], w[1], w[2], w[3]);
    }
  }

  // d = dg . act(u + bias) likewise; with y also du, whose sum is returned.
  INLINE float load_gradient(const T* u, const T* y, const T* dg, T* du, float bias, int begin,
                             float* d) const {
    int groups = stride / 4;
    float sum = 0.f;
    for (int e = threadIdx.x; e < s.sequences * groups; e += SKI_THREADS) {
      int sequence = e / groups, place = e % groups * 4, i = begin - REACH + place;
      int length = sequence < live ? s.length : 0;
      size_t row = start + (size_t)sequence * s.length;
      float p[4], q[4];
      ski_read<T, V>(u + row, i, length, p);
      ski_read<T, V>(dg + row, i, length, q);
      // What lies beside the tile is another tile's to write.
      if (y && place >= REACH && place < REACH + s.tile) {
        float r[4];
        ski_read<T, V>(y + row, i, length, r);
#pragma unroll
        for (int j = 0; j < 4; j++) r[j] *= q[j] * slope(s.act, p[j] + bias), sum += r[j];
        ski_write<T, V>(du + row, i, length, r);
      }
#pragma unroll
      for (int j = 0; j < 4; j++) q[j] *= activate(s.act, p[j] + bias);
      ((float4*)d)[e] = make_float4(q[0], q[1], q[2], q[3]);
    }
    return sum;
  }

  // Adds W^T x of a tile: of interval q to its two points, low[q] and high[q].
  INLINE void gather(const float* x, int begin, float* low, float* high) const {
    int positions = ski_positions(s), intervals = ski_intervals(s);
    int end = min(begin + s.tile, s.length);
    int first = ski_interval(s, begin), count = ski_interval(s, end - 1) + 1 - first;
    int groups = SKI_THREADS / s.lanes, group = threadIdx.x / s.lanes, lane = threadIdx.x % s.lanes;
    float scale = 1.f / positions;
    // All threads go round equally often, for the exchanges between lanes.
    for (int e = group; e - group < s.sequences * count; e += groups) {
      int sequence = e / count, q = first + e % count;
      float near = 0.f, far = 0.f;
      if (sequence < s.sequences) {
        const float* row = x + sequence * stride + REACH - begin;
        int to = min(ski_start(s, q + 1), end);
        for (int i = max(ski_start(s, q), begin) + lane; i < to; i += s.lanes) {
          float way = (i * intervals - q * positions) * scale;
          near += (1.f - way) * row[i], far += way * row[i];
        }
      }
      for (int step = s.lanes / 2; step > 0; step /= 2) {
        near += __shfl_xor_sync(0xffffffffu, near, step);
        far += __shfl_xor_sync(0xffffffffu, far, step);
      }
      if (lane == 0 && sequence < s.sequences) {
        low[sequence * s.rank + q] += near;
        high[sequence * s.rank + q] += far;
      }
    }
  }

  // Tile positions of this thread, four at a time: calls body(sequence, position in the tile).
  template <typename F>
  INLINE void each(int begin, F body) const {
    int groups = s.tile / 4;
    for (int e = threadIdx.x; e < live * groups; e += SKI_THREADS) {
      int sequence = e / groups, place = e % groups * 4;
      if (begin + place < s.length) body(sequence, place);
    }
  }

  // REACH positions before four of a tile to REACH behind them.
  INLINE void window(const float* x, int sequence, int place, float* w) const {
    const float4* from = (const float4*)(x + sequence * stride + place);
#pragma unroll
    for (int j = 0; j < REACH / 2 + 1; j++) {
      float4 v = from[j];
      w[4 * j] = v.x, w[4 * j + 1] = v.y, w[4 * j + 2] = v.z, w[4 * j + 3] = v.w;
    }
  }
};

INLINE void ski_zero(float* x, int count) {
  for (int e = threadIdx.x; e < count; e += SKI_THREADS) x[e] = 0.f;
}

// z[a] = what interval a gives its first point and interval a - 1 its last; rows `stride` apart.
INLINE void ski_join(const Ski& s, const float* low, const float* high, float* z, int stride) {
  for (int e = threadIdx.x; e < s.sequences * s.rank; e += SKI_THREADS) {
    int a = e % s.rank;
    z[e / s.rank * stride + a] = low[e] + (a > 0 ? high[e - 1] : 0.f);
  }
}

// Floats of a kernel in shared memory: lag m at rank + m, `sign` -1 for that of the transpose.
INLINE int ski_kernel_floats(const Ski& s) { return 2 * s.rank + 8; }
INLINE void ski_load_kernel(const Ski& s, const float* kernel, int sign, float* k) {
  const float* row = kernel + (size_t)blockIdx.x * 2 * s.rank;
  for (int e = threadIdx.x; e < ski_kernel_floats(s); e += SKI_THREADS) {
    int m = sign * (e - s.rank);
    k[e] = abs(m) < s.rank ? row[m < 0 ? m + 2 * s.rank : m] : 0.f;
  }
}

// out = A z for rows of z `stride` apart; OUT neighbours a thread share what they read.
template <int OUT>
INLINE void ski_multiply(const Ski& s, const float* k, const float* z, int stride, float* out) {
  int groups = (s.rank + OUT - 1) / OUT;
  for (int e = threadIdx.x; e < s.sequences * groups; e += SKI_THREADS) {
    int sequence = e / groups, a = e % groups * OUT;
    const float *lag = k + s.rank + a, *row = z + sequence * stride;
    float sum[OUT], w[OUT];
#pragma unroll
    for (int j = 0; j < OUT; j++) sum[j] = 0.f, w[j] = lag[j];
    for (int b = 0; b < s.rank; b++) {
#pragma unroll
      for (int j = 0; j < OUT; j++) sum[j] += w[j] * row[b];
#pragma unroll
      for (int j = OUT - 1; j > 0; j--) w[j] = w[j - 1];
      w[0] = lag[-b - 1];
    }
#pragma unroll
    for (int j = 0; j < OUT; j++)
      if (a + j < s.rank) out[sequence * s.rank + a + j] = sum[j];
  }
}
// Where there are few outputs, one a thread keeps more threads busy.
INLINE void ski_product(const Ski& s, const float* k, const float* z, int stride, float* out) {
  if (s.sequences * s.rank >= 2 * SKI_THREADS)
    ski_multiply<SKI_OUT>(s, k, z, stride, out);
  else
    ski_multiply<1>(s, k, z, stride, out);
}

// The channel's taps by lag, zeros around them.
template <int REACH>
INLINE void ski_taps(const Ski& s, const float* taps, float* c) {
  int half = s.taps / 2;
#pragma unroll
  for (int lag = -REACH; lag <= REACH; lag++)
    c[lag + REACH] = abs(lag) <= half ? taps[(size_t)blockIdx.x * s.taps + half + lag] : 0.f;
}

template <typename T, int V, int REACH>
INLINE void ski_forward(Ski s, const T* uv, const float* bias, const float* kernel,
                        const float* taps, T* y, T* g) {
  DYNAMIC_SHARED(room);
  SkiBlock<T, V, REACH> block(s);
  int points = s.sequences * s.rank;
  float *low = room, *high = low + points, *z = high + points, *k = z + points;
  float* x = room + (3 * points + ski_kernel_floats(s) + 3) / 4 * 4;
  float bias_u = bias ? bias[blockIdx.x] : 0.f;
  float bias_v = bias ? bias[s.channels + blockIdx.x] : 0.f;
  const T* v = uv + block.second();
  ski_zero(low, 2 * points);
  ski_load_kernel(s, kernel, 1, k);
  for (int begin = 0; begin < s.length; begin += s.tile) {
    __syncthreads();
    block.load(v, bias_v, begin, x);
    __syncthreads();
    block.gather(x, begin, low, high);
  }
  __syncthreads();
  ski_join(s, low, high, z, s.rank);
  __syncthreads();
  ski_product(s, k, z, s.rank, low);
  float c[2 * REACH + 1];
  ski_taps<REACH>(s, taps, c);
  for (int begin = 0; begin < s.length; begin += s.tile) {
    __syncthreads();
    if (s.length > s.tile) {
      block.load(v, bias_v, begin, x);
      __syncthreads();
    }
    block.each(begin, [&](int sequence, int place) {
      float w[2 * REACH + 4], sum[4] = {0.f, 0.f, 0.f, 0.f}, u[4];
      block.window(x, sequence, place, w);
#pragma unroll
      for (int lag = -REACH; lag <= REACH; lag++)
#pragma unroll
        for (int j = 0; j < 4; j++) sum[j] += c[lag + REACH] * w[j - lag + REACH];
      int i = begin + place;
      ski_spread(s, low + sequence * s.rank, i, sum);
      size_t row = block.start + (size_t)sequence * s.length;
      ski_read<T, V>(uv + row, i, s.length, u);
      ski_write<T, V>(y + row, i, s.length, sum);
#pragma unroll
      for (int j = 0; j < 4; j++) u[j] = activate(s.act, u[j] + bias_u) * sum[j];
      ski_write<T, V>(g + row, i, s.length, u);
    });
  }
}

// The kernel's gradient, sum over b of w[b + m] z[b], in circular order to `to`. `w` has rank - 1 zeros
// before each row and 5 behind it. Threads are SKI_OUT neighbouring lags and a part of the sum.
INLINE void ski_kernel_gradient(const Ski& s, const float* w, const float* z, float* parts,
                                float* to) {
  int lags = 2 * s.rank - 1, groups = (lags + SKI_OUT - 1) / SKI_OUT;
  int most = SKI_THREADS / groups, by_sequence = min(s.sequences, most);
  int by_point = most / by_sequence, points = (s.rank + by_point - 1) / by_point;
  int count = by_sequence * by_point;
  int group = threadIdx.x % groups, part = threadIdx.x / groups;
  if (part < count) {
    float sum[SKI_OUT], v[SKI_OUT];
#pragma unroll
    for (int j = 0; j < SKI_OUT; j++) sum[j] = 0.f;
    int begin = part / by_sequence * points, end = min(begin + points, s.rank);
    for (int n = part % by_sequence; n < s.sequences; n += by_sequence) {
      const float* row = w + n * (3 * s.rank + 4) + group * SKI_OUT;
#pragma unroll
      for (int j = 0; j < SKI_OUT; j++) v[j] = begin < end ? row[begin + j] : 0.f;
      for (int b = begin; b < end; b++) {
        float by = z[n * s.rank + b];
#pragma unroll
        for (int j = 0; j < SKI_OUT; j++) sum[j] += v[j] * by;
#pragma unroll
        for (int j = 0; j < SKI_OUT - 1; j++) v[j] = v[j + 1];
        v[SKI_OUT - 1] = row[b + SKI_OUT];
      }
    }
#pragma unroll
    for (int j = 0; j < SKI_OUT; j++) parts[(part * groups + group) * SKI_OUT + j] = sum[j];
  }
  __syncthreads();
  for (int e = threadIdx.x; e < 2 * s.rank; e += SKI_THREADS) {
    // Column e is lag e, from rank + 1 on lag e - 2 rank; column rank is none.
    int at = (e < s.rank ? e : e - 2 * s.rank) + s.rank - 1;
    float sum = 0.f;
    for (int p = 0; p < count && e != s.rank; p++) sum += parts[p * groups * SKI_OUT + at];
    to[e] = sum;
  }
}

// partials[blockIdx.y][channel]: sums of du and dv, the gradients of the taps and of the kernel.
template <typename T, int V, int REACH>
INLINE void ski_backward(Ski s, const T* uv, const float* bias, const float* kernel,
                         const float* taps, const T* y, const T* dg, T* duv, float* partials) {
  DYNAMIC_SHARED(room);
  __shared__ float sums[SKI_THREADS / 32][2 * REACH + 1], total[32];
  SkiBlock<T, V, REACH> block(s);
  int points = s.sequences * s.rank, padded = 3 * s.rank + 4;
  float *low = room, *high = low + points, *low_d = high + points, *high_d = low_d + points;
  float *z = high_d + points, *w = z + points, *k = w + s.sequences * padded;
  float* d = room + (5 * points + s.sequences * padded + ski_kernel_floats(s) + 3) / 4 * 4;
  float* x = d + s.sequences * block.stride;
  float bias_u = bias ? bias[blockIdx.x] : 0.f;
  float bias_v = bias ? bias[s.channels + blockIdx.x] : 0.f;
  const T* v = uv + block.second();
  T* dv = duv + block.second();
  float sum_u = 0.f, sum_v = 0.f, c[2 * REACH + 1];
  float* out = partials + ((size_t)blockIdx.y * s.channels + blockIdx.x) * (2 + s.taps + 2 * s.rank);
  ski_zero(low, 4 * points);
  ski_zero(w, s.sequences * padded);
  ski_load_kernel(s, kernel, -1, k);
#pragma unroll
  for (int j = 0; j < 2 * REACH + 1; j++) c[j] = 0.f;
  for (int begin = 0; begin < s.length; begin += s.tile) {
    __syncthreads();
    block.load(v, bias_v, begin, x);
    sum_u += block.load_gradient(uv, y, dg, duv, bias_u, begin, d);
    __syncthreads();
    block.gather(x, begin, low, high);
    block.gather(d, begin, low_d, high_d);
    block.each(begin, [&](int sequence, int place) {
      float p[2 * REACH + 4];
      block.window(x, sequence, place, p);
      float4 q = *(const float4*)(d + sequence * block.stride + REACH + place);
      // Past the end of a sequence d is zero.
#pragma unroll
      for (int j = 0; j < 2 * REACH + 1; j++)
        c[2 * REACH - j] += q.x * p[j] + q.y * p[j + 1] + q.z * p[j + 2] + q.w * p[j + 3];
    });
  }
  int half = s.taps / 2;
#pragma unroll
  for (int lag = -REACH; lag <= REACH; lag++) {
    if (abs(lag) > half) continue;
    float sum = warp_sum(c[lag + REACH]);
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32][lag + REACH] = sum;
  }
  __syncthreads();
  if (threadIdx.x < s.taps) {
    float sum = 0.f;
    for (int warp = 0; warp < SKI_THREADS / 32; warp++)
      sum += sums[warp][threadIdx.x + REACH - half];
    out[2 + threadIdx.x] = sum;
  }
  ski_join(s, low, high, z, s.rank);
  ski_join(s, low_d, high_d, w + s.rank - 1, padded);
  __syncthreads();
  ski_product(s, k, w + s.rank - 1, padded, low);
  ski_kernel_gradient(s, w, z, x, out + 2 + s.taps);
  ski_taps<REACH>(s, taps, c);
  for (int begin = 0; begin < s.length; begin += s.tile) {
    __syncthreads();
    if (s.length > s.tile) {
      block.load_gradient(uv, nullptr, dg, nullptr, bias_u, begin, d);
      __syncthreads();
    }
    block.each(begin, [&](int sequence, int place) {
      float p[2 * REACH + 4], sum[4] = {0.f, 0.f, 0.f, 0.f}, q[4];
      block.window(d, sequence, place, p);
#pragma unroll
      for (int lag = -REACH; lag <= REACH; lag++)
#pragma unroll
        for (int j = 0; j < 4; j++) sum[j] += c[lag + REACH] * p[j + lag + REACH];
      int i = begin + place;
      ski_spread(s, low + sequence * s.rank, i, sum);
      size_t row = block.start + (size_t)sequence * s.length;
      ski_read<T, V>(v + row, i, s.length, q);
#pragma unroll
      for (int j = 0; j < 4; j++) {
        sum[j] *= slope(s.act, q[j] + bias_v);
        if (i + j < s.length) sum_v += sum[j];
      }
      ski_write<T, V>(dv + row, i, s.length, sum);
    });
  }
  sum_u = block_sum(sum_u, total), sum_v = block_sum(sum_v, total);
  if (threadIdx.x == 0) out[0] = sum_u, out[1] = sum_v;
}

// One block a channel adds the partial sums of `parts` blocks up: d_kernel is written, the gradients of
// taps and biases (if there are any) are added to.
INLINE void ski_sum_body(Ski s, const float* partials, int parts, float* d_kernel, float* d_taps,
                         float* d_bias) {
  int c = blockIdx.x, width = 2 + s.taps + 2 * s.rank;
  for (int e = threadIdx.x; e < width; e += blockDim.x) {
    float sum = 0.f;
    for (int p = 0; p < parts; p++) sum += partials[((size_t)p * s.channels + c) * width + e];
    int tap = e - 2, column = tap - s.taps;
    if (column >= 0) d_kernel[(size_t)c * 2 * s.rank + column] = sum;
    else if (tap >= 0) d_taps[(size_t)c * s.taps + tap] += sum;
    else if (d_bias) d_bias[e * s.channels + c] += sum;
  }
}
KERNEL(ski_sum, 256,
       (Ski s, const float* partials, int parts, float* d_kernel, float* d_taps, float* d_bias),
       ski_sum_body(s, partials, parts, d_kernel, d_taps, d_bias))

#define SKI(T, V, REACH, NAME)                                                                    \
  KERNEL(ski_##NAME, SKI_THREADS,                                                                 \
         (Ski s, const T* uv, const float* bias, const float* kernel, const float* taps, T* y,    \
          T* g),                                                                                  \
         ski_forward<T, V, REACH>(s, uv, bias, kernel, taps, y, g))                               \
  KERNEL(ski_backward_##NAME, SKI_THREADS,                                                        \
         (Ski s, const T* uv, const float* bias, const float* kernel, const float* taps,          \
          const T* y, const T* dg, T* duv, float* partials),                                      \
         ski_backward<T, V, REACH>(s, uv, bias, kernel, taps, y, dg, duv, partials))
SKI(float, 4, 4, f32_v_4)
SKI(float, 4, 16, f32_v_16)
SKI(float, 1, 4, f32_s_4)
SKI(float, 1, 16, f32_s_16)
SKI(bf16, 4, 4, bf16_v_4)
SKI(bf16, 4, 16, bf16_v_16)
SKI(bf16, 1, 4, bf16_s_4)
SKI(bf16, 1, 16, bf16_s_16)
