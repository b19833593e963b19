// Types, activations, loads and stores of `mix.cu`.
#ifndef TOEPLITE_MIX_IO
#define TOEPLITE_MIX_IO

// bf16 by its bits, so that no CUDA header is needed to compile this at run time.
struct Bf16 {
  unsigned short bits;
};

#ifndef MIX_SHIM
// Two floats to two bf16, the first in the low half; round to nearest even.
DEV unsigned pack_bf16(float low, float high) {
  unsigned r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}
#endif

DEV float load1(const float* p) { return *p; }
DEV float load1(const Bf16* p) { return __uint_as_float((unsigned)p->bits << 16); }
DEV float2 load2(const float* p) { return *(const float2*)p; }
DEV float2 load2(const Bf16* p) {
  unsigned w = *(const unsigned*)p;
  return make_float2(__uint_as_float(w << 16), __uint_as_float(w & 0xffff0000u));
}
DEV void store1(float* p, float x) { *p = x; }
DEV void store1(Bf16* p, float x) { p->bits = (unsigned short)pack_bf16(x, 0.f); }
DEV void store2(float* p, float x, float y) { *(float2*)p = make_float2(x, y); }
DEV void store2(Bf16* p, float x, float y) { *(unsigned*)p = pack_bf16(x, y); }

enum { ACT_NONE = 0, ACT_SILU = 1, ACT_RELU = 2, ACT_GELU = 3 };

DEV float sigmoid(float x) { return __fdividef(1.f, 1.f + __expf(-x)); }

template <int ACT> DEV float act(float x) {
  if (ACT == ACT_SILU) return __fdividef(x, 1.f + __expf(-x));
  if (ACT == ACT_RELU) return x > 0 ? x : 0.f;
  if (ACT == ACT_GELU) return .5f * x * erfcf(-.70710678118654752f * x);
  return x;
}
// (act(x), act'(x))
template <int ACT> DEV float2 act_slope(float x) {
  if (ACT == ACT_SILU) {
    float s = sigmoid(x), f = x * s;
    return make_float2(f, s + f * (1.f - s));
  }
  if (ACT == ACT_RELU) return x > 0 ? make_float2(x, 1.f) : make_float2(0.f, 0.f);
  if (ACT == ACT_GELU) {
    float p = .5f * erfcf(-.70710678118654752f * x);
    return make_float2(x * p, p + x * .39894228040143268f * __expf(-.5f * x * x));
  }
  return make_float2(x, 1.f);
}

// What a set of kernels is compiled for. N: points of the FFT. FULL: no position of a block lies
// beyond its sequence. PAIR: the length is even, so that two neighbours load as one word. CHAIN:
// sequences are cut into several blocks of N (overlap-add). SPILL: the backward pass keeps its
// spectra in global memory, because neither registers nor shared memory hold them. GATED: there is u.
template <int N_, typename X_, int ACT_, bool FULL_, bool PAIR_, bool CHAIN_, bool SPILL_, bool GATED_> struct Mix {
  typedef X_ X;
  typedef Fft<N_> F;
  static constexpr int N = N_, ACT = ACT_, T = F::T, R = F::R, R1 = F::R1;
  static constexpr bool FULL = FULL_, PAIR = PAIR_, CHAIN = CHAIN_, SPILL = SPILL_, GATED = GATED_;
  static constexpr int HALVES = GATED ? 2 : 1;  // rows of a channel in uv and bias
  static constexpr int THREADS = T < 64 ? 64 : T, GROUPS = THREADS / T;

  // Whether position i of `limit` there are exists (limit is 0 where the group has no sequence).
  static DEVM bool inside(int i, int limit) { return FULL ? limit > 0 : i < limit; }

  // v[slot] = p[position of slot], zero outside
  static DEVM void load(float* v, const X* p, int t, int limit) {
    MIX_UNROLL for (int j = 0; j < R1; j++) {
      if (F::V == 2 && PAIR) {
        int i = F::position(j, t);
        float2 x = make_float2(0.f, 0.f);
        if (inside(i, limit)) x = load2(p + i);
        v[j] = x.x;
        v[j + R - R1] = x.y;
      } else {
        MIX_UNROLL for (int s = j; s < R; s += R1) {
          int i = F::position(s, t);
          v[s] = inside(i, limit) ? load1(p + i) : 0.f;
        }
      }
    }
  }
  static DEVM void store(X* p, const float* v, int t, int limit) {
    MIX_UNROLL for (int j = 0; j < R1; j++) {
      if (F::V == 2 && PAIR) {
        int i = F::position(j, t);
        if (inside(i, limit)) store2(p + i, v[j], v[j + R - R1]);
      } else {
        MIX_UNROLL for (int s = j; s < R; s += R1) {
          int i = F::position(s, t);
          if (inside(i, limit)) store1(p + i, v[s]);
        }
      }
    }
  }
};
#endif
