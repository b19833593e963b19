// The gated Toeplitz unit between its linear maps: y = kernel * act(v), g = act(u) . y, and its
// gradients; without a gate y alone. Channel-major operands: sequence b of channel c begins at (c batch + b) n. One block is
// one channel and a range of the batch; GROUPS sequences at a time, 32 points a thread. The files
// `mix_fft.cuh` (how the product is computed), `mix_io.cuh` and this are compiled as one text, for
// one shape at a time (see `cuda/mix.rs`, which chooses the shape).
//
// Fused into the convolution's loads and stores: bias, activation and gate. Forward reads uv and
// writes y and g, each once.
// Backward, per sequence: H = FFT(dg . u); V = FFT(v); dv = IFFT(H conj K); d_kernel's spectrum
// sums H conj V over the batch in registers, and `mix_d_kernel` adds the blocks' sums in order. Sums
// are in a fixed order everywhere: the same inputs give the same bits.
//
// CHAIN (overlap-add, sequences of `blocks` blocks): what runs over the end of a block is the
// product's imaginary part, see mix_fft.cuh. Forward adds the last block's to this one. Backward goes
// from the last block to the first with H_b = G_b + i G_(b+1), which is right for dv and for
// d_kernel at once: the real part of i z is minus the imaginary part.
//
// Predicted and measured for E = 1536, 32,768 tokens, n = 512, bf16 on an H100: bytes alone take .136 ms
// forward and .20 ms backward; the forward pass has about 2,900 instructions for two sequences a warp,
// so .16 to .20 ms were expected and .22 measured, .16 without a gate; backward has about 5,100, .25 ms
// at best: .4 to .5 ms expected, .43 measured.
// Registers on sm_90: forward 128 without spills. Backward takes 255 at 4
// blocks of 64 threads a multiprocessor; 6 blocks of 168 registers were expected to hide more latency,
// but kept sums in local memory from one sequence to the next: .62 ms at 512 and 1.11 at 2048, against
// .43 and .58. Sums in shared memory would leave room for only 8 warps a multiprocessor, too.

struct MixArgs {
  int channels, batch, length;
  int blocks;     // of N positions in a sequence; 1 unless CHAIN
  int per_block;  // sequences of one thread block (blockIdx.y takes the next so many)
};

// Loads this thread's part of a spectrum, two points a word
#define MIX_SPECTRUM(base, index) ((float4*)(base) + (size_t)(index) * (N / 2) + t)

// The spectrum of each kernel [channels, lags] divided by N, in thread order. Lags -1, -2 .. lie at
// places N-1, N-2 .. times -i, since xi^-m = -i xi^(N-m).
template <class P> DEV void mix_spectrum(const float* kernel, int lags, float4* spectrum, MixArgs a, float2* sm) {
  constexpr int N = P::N, T = P::T, R = P::R;
  int t = threadIdx.x % T, group = threadIdx.x / T, n = a.length;
  int c = blockIdx.x * P::GROUPS + group;
  bool live = c < a.channels;
  const float* k = kernel + (size_t)(live ? c : 0) * lags;
  typename P::F f;
  f.init(sm + group * P::F::SHARED, t);
  float2 v[R];
  MIX_UNROLL for (int s = 0; s < R; s++) {
    int j = P::F::position(s, t);
    float x = j < n ? k[j] : 0.f;
    float y = lags > n && j > N - n ? k[2 * n + j - N] : 0.f;
    v[s] = cmul(make_float2(x * (1.f / N), y * (-1.f / N)), P::F::twist(s));
  }
  f.forward(v);
  if (!live) return;
  float4* to = MIX_SPECTRUM(spectrum, c);
  MIX_UNROLL for (int s = 0; s < R; s += 2) to[s / 2 * T] = make_float4(v[s].x, v[s].y, v[s + 1].x, v[s + 1].y);
}

// bias may be null. uv [2 channels, tokens]; y, g [channels, tokens]. Without a gate uv is v alone, and
// g is not touched.
template <class P>
DEV void mix_forward(const typename P::X* uv, const float* bias, const float4* spectrum, typename P::X* y,
                     typename P::X* g, MixArgs a, float2* sm) {
  constexpr int N = P::N, T = P::T, R = P::R, ACT = P::ACT;
  int t = threadIdx.x % T, group = threadIdx.x / T, c = blockIdx.x;
  size_t tokens = (size_t)a.batch * a.length;
  int first = blockIdx.y * a.per_block, end = min(first + a.per_block, a.batch);
  size_t second = (size_t)(P::HALVES - 1) * a.channels;  // row of the first v
  float bias_u = bias ? bias[c] : 0.f, bias_v = bias ? bias[second + c] : 0.f;
  typename P::F f;
  f.init(sm + group * P::F::SHARED, t);
  float* over = (float*)(sm + P::GROUPS * P::F::SHARED) + group * N + t;  // what ran over; CHAIN only
  const float4* k = MIX_SPECTRUM(spectrum, c);
  MIX_NO_UNROLL for (int i = first; i < end; i += P::GROUPS) {
    bool live = i + group < end;
    size_t at = c * tokens + (size_t)(live ? i + group : i) * a.length;
    MIX_NO_UNROLL for (int b = 0; b < (P::CHAIN ? a.blocks : 1); b++, at += N) {
      int limit = live ? a.length - b * N : 0;
      float x[R];
      float2 v[R];
      P::load(x, uv + second * tokens + at, t, limit);
      MIX_UNROLL for (int s = 0; s < R; s++) {
        float z = act<ACT>(x[s] + bias_v);
        float2 w = P::F::twist(s);
        if (!P::FULL && P::F::position(s, t) >= limit) z = 0.f;
        v[s] = make_float2(z * w.x, z * w.y);
      }
      f.forward(v);
      MIX_UNROLL for (int s = 0; s < R; s += 2) {
        float4 q = k[s / 2 * T];
        v[s] = cmul(v[s], make_float2(q.x, q.y));
        v[s + 1] = cmul(v[s + 1], make_float2(q.z, q.w));
      }
      f.inverse(v);
      if (P::GATED) P::load(x, uv + at, t, limit);
      float r[R];
      MIX_UNROLL for (int s = 0; s < R; s++) {
        float2 w = P::F::twist(s);
        r[s] = v[s].x * w.x + v[s].y * w.y;
        if (P::CHAIN) {
          if (b > 0) r[s] += over[s * T];
          over[s * T] = v[s].y * w.x - v[s].x * w.y;
        }
        if (P::GATED) x[s] = act<ACT>(x[s] + bias_u) * r[s];
      }
      P::store(y + at, r, t, limit);
      if (P::GATED) P::store(g + at, x, t, limit);
    }
  }
}

// Adds `sum` of all threads of the block, in a fixed order; the result is thread 0's.
template <int THREADS> DEV float block_sum(float sum, float* sm) {
  __syncthreads();
  sm[threadIdx.x] = sum;
  MIX_UNROLL for (int h = THREADS / 2; h > 0; h /= 2) {
    __syncthreads();
    if ((int)threadIdx.x < h) sm[threadIdx.x] = sum = sum + sm[threadIdx.x + h];
  }
  return sum;
}

// partial [gridDim.y][channels][N] float2 in thread order: sums of H conj V; sums
// [gridDim.y][2 channels]: of du and dv. Without a gate dg is the gradient of y. scratch (SPILL): [blocks of the grid][2][N] float2.
template <class P>
DEV void mix_backward(const typename P::X* uv, const float* bias, const float4* spectrum, const typename P::X* y,
                      const typename P::X* dg, typename P::X* duv, float4* partial, float* sums,
                      float4* scratch, MixArgs a, float2* sm) {
  constexpr int N = P::N, T = P::T, R = P::R, ACT = P::ACT;
  int t = threadIdx.x % T, group = threadIdx.x / T;
  size_t tokens = (size_t)a.batch * a.length, second = (size_t)(P::HALVES - 1) * a.channels;
  int first = blockIdx.y * a.per_block, end = min(first + a.per_block, a.batch);
  typename P::F f;
  f.init(sm + group * P::F::SHARED, t);
  // H while V is computed, and (CHAIN) G of the block before: this thread's points only
  float4* shared = (float4*)(sm + P::GROUPS * P::F::SHARED);
  float4* park = P::SPILL ? scratch + (size_t)(blockIdx.y * gridDim.x + blockIdx.x) * N + t : shared + group * (N / 2) + t;
  float4* last = P::SPILL ? park + N / 2 : park + P::GROUPS * (N / 2);
  // With SPILL few blocks go through all channels, so that their scratch stays in the L2 cache.
  MIX_NO_UNROLL for (int c = blockIdx.x; c < (P::SPILL ? a.channels : (int)blockIdx.x + 1); c += gridDim.x) {
    float bias_u = bias ? bias[c] : 0.f, bias_v = bias ? bias[second + c] : 0.f, sum_u = 0.f, sum_v = 0.f;
    const float4* k = MIX_SPECTRUM(spectrum, c);
    float4* out = MIX_SPECTRUM(partial, blockIdx.y * a.channels + c);
    float2 acc[P::SPILL ? 1 : R];
    if (!P::SPILL) {
      MIX_UNROLL for (int s = 0; s < R; s++) acc[P::SPILL ? 0 : s] = make_float2(0.f, 0.f);
    }
    MIX_NO_UNROLL for (int i = first; i < end; i += P::GROUPS) {
      bool live = i + group < end;
      size_t start = c * tokens + (size_t)(live ? i + group : i) * a.length;
      MIX_NO_UNROLL for (int b = P::CHAIN ? a.blocks - 1 : 0; b >= 0; b--) {
        int limit = live ? a.length - b * N : 0;
        size_t at = start + (size_t)b * N;
        float2 v[R];
        {
          float x[R], z[R], d[R];
          P::load(z, dg + at, t, limit);
          if (P::GATED) {
            P::load(x, uv + at, t, limit);
            P::load(d, y + at, t, limit);
          }
          MIX_UNROLL for (int s = 0; s < R; s++) {
            float2 w = P::F::twist(s);
            if (P::GATED) {
              float2 u = act_slope<ACT>(x[s] + bias_u);
              d[s] *= z[s] * u.y;
              z[s] *= u.x;
              sum_u += d[s];
            }
            v[s] = make_float2(z[s] * w.x, z[s] * w.y);
          }
          if (P::GATED) P::store(duv + at, d, t, limit);
        }
        f.forward(v);
        MIX_UNROLL for (int s = 0; s < R; s += 2) {
          float4 h = make_float4(v[s].x, v[s].y, v[s + 1].x, v[s + 1].y);
          if (P::CHAIN) {
            float4 q = make_float4(0.f, 0.f, 0.f, 0.f);
            if (b + 1 < a.blocks) q = last[s / 2 * T];
            last[s / 2 * T] = h;
            h = make_float4(h.x - q.y, h.y + q.x, h.z - q.w, h.w + q.z);
          }
          park[s / 2 * T] = h;
        }
        const typename P::X* pv = uv + second * tokens + at;
        {
          float x[R];
          P::load(x, pv, t, limit);
          MIX_UNROLL for (int s = 0; s < R; s++) {
            float z = act<ACT>(x[s] + bias_v);
            float2 w = P::F::twist(s);
            if (!P::FULL && P::F::position(s, t) >= limit) z = 0.f;
            v[s] = make_float2(z * w.x, z * w.y);
          }
        }
        P::F::sync();
        f.forward(v);
        MIX_UNROLL for (int s = 0; s < R; s += 2) {
          float4 h = park[s / 2 * T], q = k[s / 2 * T];
          float2 h0 = make_float2(h.x, h.y), h1 = make_float2(h.z, h.w);
          float2 p0 = cmulc(h0, v[s]), p1 = cmulc(h1, v[s + 1]);
          if constexpr (P::SPILL) {
            float4 o = make_float4(p0.x, p0.y, p1.x, p1.y);
            if (i > first || (P::CHAIN && b + 1 < a.blocks)) {
              float4 r = out[s / 2 * T];
              o = make_float4(o.x + r.x, o.y + r.y, o.z + r.z, o.w + r.w);
            }
            out[s / 2 * T] = o;
          } else {
            acc[s] = cadd(acc[s], p0);
            acc[s + 1] = cadd(acc[s + 1], p1);
          }
          v[s] = cmulc(h0, make_float2(q.x, q.y));
          v[s + 1] = cmulc(h1, make_float2(q.z, q.w));
        }
        f.inverse(v);
        float x[R];
        P::load(x, pv, t, limit);  // again: 32 registers are worth more than what is left in the cache
        MIX_UNROLL for (int s = 0; s < R; s++) {
          float2 w = P::F::twist(s);
          x[s] = (v[s].x * w.x + v[s].y * w.y) * act_slope<ACT>(x[s] + bias_v).y;
          if (P::inside(P::F::position(s, t), limit)) sum_v += x[s];
        }
        P::store(duv + second * tokens + at, x, t, limit);
      }
    }
    if constexpr (!P::SPILL) {
      if (P::GROUPS == 1) {
        MIX_UNROLL for (int s = 0; s < R; s += 2) out[s / 2 * T] = make_float4(acc[s].x, acc[s].y, acc[s + 1].x, acc[s + 1].y);
      } else {
        MIX_UNROLL for (int s = 0; s < R; s += 2) park[s / 2 * T] = make_float4(acc[s].x, acc[s].y, acc[s + 1].x, acc[s + 1].y);
        __syncthreads();
        for (int j = threadIdx.x; j < N / 2; j += P::THREADS) {
          float4 r = shared[j];
          for (int e = 1; e < P::GROUPS; e++) {
            float4 q = shared[e * (N / 2) + j];
            r = make_float4(r.x + q.x, r.y + q.y, r.z + q.z, r.w + q.w);
          }
          (out - t)[j] = r;
        }
      }
    }
    float total_u = block_sum<P::THREADS>(sum_u, (float*)sm), total_v = block_sum<P::THREADS>(sum_v, (float*)sm);
    if (threadIdx.x == 0) {
      float* to = sums + (size_t)blockIdx.y * P::HALVES * a.channels;
      if (P::GATED) to[c] = total_u;
      to[second + c] = total_v;
    }
    __syncthreads();
  }
}

// d_kernel [channels, lags] from `parts` partial sums, and the bias's gradient [2 channels] (may be
// null) is added to. Lags that the FFT does not reach (CHAIN: from N on) get zero.
template <class P>
DEV void mix_d_kernel(const float4* partial, const float* sums, int parts, float* d_kernel, int lags, float* d_bias,
                      MixArgs a, float2* sm) {
  constexpr int N = P::N, T = P::T, R = P::R;
  int t = threadIdx.x % T, group = threadIdx.x / T, n = a.length;
  int c = blockIdx.x * P::GROUPS + group;
  bool live = c < a.channels;
  typename P::F f;
  f.init(sm + group * P::F::SHARED, t);
  float2 v[R];
  MIX_UNROLL for (int s = 0; s < R; s++) v[s] = make_float2(0.f, 0.f);
  MIX_NO_UNROLL for (int z = 0; z < parts; z++) {
    const float4* from = MIX_SPECTRUM(partial, z * a.channels + (live ? c : 0));
    MIX_UNROLL for (int s = 0; s < R; s += 2) {
      float4 q = from[s / 2 * T];
      v[s] = cadd(v[s], make_float2(q.x, q.y));
      v[s + 1] = cadd(v[s + 1], make_float2(q.z, q.w));
    }
  }
  f.inverse(v);
  if (!live) return;
  float* to = d_kernel + (size_t)c * lags;
  MIX_UNROLL for (int s = 0; s < R; s++) {
    int j = P::F::position(s, t);
    float2 x = cmulc(v[s], P::F::twist(s));
    if (j < n) to[j] = x.x * (1.f / N);
    if (lags > n && j > N - n) to[2 * n + j - N] = x.y * (-1.f / N);
  }
  for (int j = N + t; j < n; j += T) to[j] = 0.f;
  if (t == 0) {
    if (lags > n) to[n] = 0.f;
    for (int half = 0; d_bias && half < P::HALVES; half++) {
      float sum = 0.f;
      for (int z = 0; z < parts; z++) sum += sums[((size_t)z * P::HALVES + half) * a.channels + c];
      d_bias[half * a.channels + c] += sum;
    }
  }
}

#ifndef MIX_SHIM
// One shape: MIX_N, MIX_TYPE (float or Bf16), MIX_ACT, MIX_FULL, MIX_PAIR, MIX_CHAIN, MIX_SPILL, MIX_GATED and
// how many blocks should fit a multiprocessor, MIX_FIT and MIX_FIT_BACKWARD, come from the command
// line.
typedef Mix<MIX_N, MIX_TYPE, MIX_ACT, MIX_FULL, MIX_PAIR, MIX_CHAIN, MIX_SPILL, MIX_GATED> Shape;
extern __shared__ float4 mix_shared[];
#define MIX_SHARED ((float2*)mix_shared)

extern "C" __global__ void __launch_bounds__(Shape::THREADS, MIX_FIT)
toeplite_mix_spectrum(const float* kernel, int lags, float4* spectrum, MixArgs a) {
  mix_spectrum<Shape>(kernel, lags, spectrum, a, MIX_SHARED);
}
extern "C" __global__ void __launch_bounds__(Shape::THREADS, MIX_FIT)
toeplite_mix_forward(const MIX_TYPE* uv, const float* bias, const float4* spectrum, MIX_TYPE* y, MIX_TYPE* g, MixArgs a) {
  mix_forward<Shape>(uv, bias, spectrum, y, g, a, MIX_SHARED);
}
extern "C" __global__ void __launch_bounds__(Shape::THREADS, MIX_FIT_BACKWARD)
toeplite_mix_backward(const MIX_TYPE* uv, const float* bias, const float4* spectrum, const MIX_TYPE* y, const MIX_TYPE* dg,
                      MIX_TYPE* duv, float4* partial, float* sums, float4* scratch, MixArgs a) {
  mix_backward<Shape>(uv, bias, spectrum, y, dg, duv, partial, sums, scratch, a, MIX_SHARED);
}
extern "C" __global__ void __launch_bounds__(Shape::THREADS, MIX_FIT)
toeplite_mix_d_kernel(const float4* partial, const float* sums, int parts, float* d_kernel, int lags, float* d_bias, MixArgs a) {
  mix_d_kernel<Shape>(partial, sums, parts, d_kernel, lags, d_bias, a, MIX_SHARED);
}
#endif
