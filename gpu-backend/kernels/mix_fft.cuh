// FFT of one sequence in registers and shared memory, for `mix.cu`.
//
// The trick: a "right-angle" transform. The spectrum of x is its value at the N points where
// xi^N = i (instead of 1), so a product that runs over the end of the N places comes back times i:
// for real operands the wanted part is the real part and what ran over is the imaginary part. N
// complex points therefore do for N real ones what 2N points with zero padding do, one sequence at
// a time: no pairs of sequences (odd batches are nothing special), no padding, N = 16384 still fits
// one block, kernels with lags on both sides cost the same, and the part that ran over is exactly
// the tail that overlap-add passes on to the next block of a long sequence.
// Twisting the input by exp(i pi j / 2N) makes it an ordinary FFT: the part of the twist that
// depends on the thread is folded into the first twiddles, the rest are constants.
//
// Each thread holds 32 points. Decimation in frequency leaves the spectrum in "thread order", the
// kernel's spectrum has the same order, decimation in time undoes it: there is no reordering pass.
// Up to 1024 points there is one exchange each way, above there are two; each needs one barrier,
// since a thread always writes where it alone reads last.
#ifndef TOEPLITE_MIX_FFT
#define TOEPLITE_MIX_FFT

// N = R1 * A * B points (32 <= N <= 16384), T = N / 32 threads with 32 points each.
//   stage 1: radix R1 over points V t + e + S1 j: V neighbours e a thread, so that loads are pairs;
//   stage 2 (A > 1): radix A within each of the R1 rows; stage 3: radix B over contiguous points.
template <int N_> struct Fft {
  static constexpr int N = N_, R = 32, T = N / R;
  static constexpr int R1 = N == 1024 ? 32 : 16, V = R / R1, S1 = N / R1;
  static constexpr int A = N <= 1024 ? 1 : N == 16384 ? 32 : 16, B = S1 / A, VA = A == 1 ? 1 : R / A;
  // Shared memory in float2. Blocks of B are padded by one 16-byte word, which makes the distance
  // of the threads' rows in stage 3 odd in such words: no bank is met twice in a quarter warp.
  // N = 2048 has rows of only four words; eight more a row keep stage 2 apart.
  static constexpr int BS = B + 2, RS = A * BS + (N == 2048 ? 8 : 0), SHARED = R1 * RS;

  float2* sm;     // this sequence's SHARED places
  float2 b1, w1;  // stage 1: twist exp(i pi s / 2N), root exp(-2 pi i s / N) of s = V t
  float2 w2[VA];  // stage 2: roots
  // With a whole row a thread, `forward` has the twiddles of stage 1 before stage 3 instead: there
  // they are the powers of one root, exp(-2 pi i (k - 1/4) / N) for row k.
  static constexpr bool LATE = A == 1 && B == R;
  float2 w3;
  int own, mid, row;  // where this thread's points are in stages 1, 2, 3

  DEVM void init(float2* shared, int t) {
    sm = shared;
    float s, c;
    sincospif(V * t / (2.0f * N), &s, &c);
    b1 = make_float2(c, s);
    sincospif(-2.0f * V * t / N, &s, &c);
    w1 = make_float2(c, s);
    if (LATE) {
      sincospif(-2.0f * (t - .25f) / N, &s, &c);
      w3 = make_float2(c, s);
    }
    own = (V * t / B) * BS + V * t % B;
    mid = t / (B / VA) * RS + t % (B / VA) * VA;
    row = t / A * RS + t % A * BS;
    if (A > 1) {
      MIX_UNROLL for (int e = 0; e < VA; e++) {
        sincospif(-2.0f * (t % (B / VA) * VA + e) / S1, &s, &c);
        w2[e] = make_float2(c, s);
      }
    }
  }
  // All groups of a block pass every barrier the same number of times.
  static DEVM void sync() {
    if (T <= 32) __syncwarp();
    else __syncthreads();
  }
  // The constant part of the twist of slot `e * R1 + j`: exp(i pi j / 2 R1)
  static DEVM float2 twist(int slot) { return cis64(32 / R1 * (slot % R1)); }
  // Position in the sequence of that slot
  static DEVM int position(int slot, int t) { return V * t + slot / R1 + S1 * (slot % R1); }

  template <int S> DEVM void stage1_roots(float2* v) {
    float2 b = b1, w = w1;
    MIX_OPAQUE(w.x);
    MIX_OPAQUE(w.y);
    MIX_UNROLL for (int e = 0; e < V; e++) {
      if (e == 1) {  // the next point's roots, off by constants: exp(i x), x small
        constexpr double x = 6.283185307179586477 / N, y = x / 4;
        constexpr float wc = (float)(1 - x * x / 2 * (1 - x * x / 12 * (1 - x * x / 30))),
                        ws = (float)(-x * (1 - x * x / 6 * (1 - x * x / 20 * (1 - x * x / 42)))),
                        bc = (float)(1 - y * y / 2 * (1 - y * y / 12)),
                        bs = (float)(y * (1 - y * y / 6 * (1 - y * y / 20)));
        w = cmul(w, make_float2(wc, ws));
        b = cmul(b, make_float2(bc, bs));
      }
      if (S < 0) powers<R1>(v + e * R1, b, w);
      else powers<R1>(v + e * R1, conj2(b), conj2(w));
    }
  }
  template <int S> DEVM void stage2(float2* v) {
    MIX_UNROLL for (int e = 0; e < VA; e++) {
      float2 w = w2[e];
      MIX_OPAQUE(w.x);
      MIX_OPAQUE(w.y);
      if (S > 0) Dft<S, A>::rooted(v + e * A, conj2(w));
      else {
        Dft<S, A>::run(v + e * A);
        powers<A>(v + e * A, w);
      }
    }
  }
  DEVM void put1(const float2* v) {
    MIX_UNROLL for (int k = 0; k < R1; k++) {
      if (V == 2)
        *(float4*)(sm + own + k * RS) = make_float4(v[k].x, v[k].y, v[k + R - R1].x, v[k + R - R1].y);
      else sm[own + k * RS] = v[k];
    }
  }
  DEVM void get1(float2* v) {
    MIX_UNROLL for (int k = 0; k < R1; k++) {
      if (V == 2) {
        float4 x = *(const float4*)(sm + own + k * RS);
        v[k] = make_float2(x.x, x.y);
        v[k + R - R1] = make_float2(x.z, x.w);
      } else v[k] = sm[own + k * RS];
    }
  }
  DEVM void put2(const float2* v) {
    MIX_UNROLL for (int j = 0; j < A; j++) {
      if (VA == 2)
        *(float4*)(sm + mid + j * BS) = make_float4(v[j].x, v[j].y, v[j + R - A].x, v[j + R - A].y);
      else sm[mid + j * BS] = v[j];
    }
  }
  DEVM void get2(float2* v) {
    MIX_UNROLL for (int j = 0; j < A; j++) {
      if (VA == 2) {
        float4 x = *(const float4*)(sm + mid + j * BS);
        v[j] = make_float2(x.x, x.y);
        v[j + R - A] = make_float2(x.z, x.w);
      } else v[j] = sm[mid + j * BS];
    }
  }
  // Row t + T i of the N / B rows; T is a multiple of A where A > 1.
  DEVM float4* word(int slot) const { return (float4*)(sm + row + slot / B * (T / A * RS) + slot % B); }
  DEVM void put3(const float2* v) {
    MIX_UNROLL for (int s = 0; s < R; s += 2) *word(s) = make_float4(v[s].x, v[s].y, v[s + 1].x, v[s + 1].y);
  }
  DEVM void get3(float2* v) {
    MIX_UNROLL for (int s = 0; s < R; s += 2) {
      float4 x = *word(s);
      v[s] = make_float2(x.x, x.y);
      v[s + 1] = make_float2(x.z, x.w);
    }
  }
  template <int S> DEVM void stage3(float2* v) {
    MIX_UNROLL for (int s = 0; s < R; s += B) Dft<S, B>::run(v + s);
  }

  // v: points times `twist`; becomes the spectrum in thread order. Another transform may only begin
  // after a barrier, unless it is the inverse.
  DEVM void forward(float2* v) {
    MIX_UNROLL for (int e = 0; e < V; e++) Dft<-1, R1>::run(v + e * R1);
    if (!LATE) stage1_roots<-1>(v);
    put1(v);
    sync();
    if constexpr (A > 1) {
      get2(v);
      stage2<-1>(v);
      put2(v);
      sync();
    }
    get3(v);
    if constexpr (LATE) {
      float2 w = w3;
      MIX_OPAQUE(w.x);
      MIX_OPAQUE(w.y);
      Dft<-1, R>::rooted(v, w);
    } else stage3<-1>(v);
  }
  // The inverse, N times too large and still times `twist`. Ends with reads of the places that only
  // this thread writes in `forward`, so that a `forward` may follow at once.
  DEVM void inverse(float2* v) {
    stage3<1>(v);
    put3(v);
    sync();
    if constexpr (A > 1) {
      get2(v);
      stage2<1>(v);
      put2(v);
      sync();
    }
    get1(v);
    stage1_roots<1>(v);
    MIX_UNROLL for (int e = 0; e < V; e++) Dft<1, R1>::run(v + e * R1);
  }
};
#endif
