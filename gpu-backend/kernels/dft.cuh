// Complex numbers and transforms of a few points in registers.
#ifndef TOEPLITE_DFT
#define TOEPLITE_DFT

#ifndef MIX_SHIM
#pragma nv_diag_suppress 177  // a shape uses one type of two
#define DEV static __device__ __forceinline__
#define DEVM __device__ __forceinline__
// Hides where a value came from. Without it the compiler computes all powers of a twiddle before the
// loop over the batch, keeps them (255 registers) and spills.
#define MIX_OPAQUE(r) asm volatile("" : "+f"(r))
#define MIX_UNROLL _Pragma("unroll")
#define MIX_NO_UNROLL _Pragma("unroll 1")
#endif

DEV float2 cmul(float2 a, float2 b) {
  return make_float2(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}
// a * conj(b)
DEV float2 cmulc(float2 a, float2 b) {
  return make_float2(a.x * b.x + a.y * b.y, a.y * b.x - a.x * b.y);
}
DEV float2 cadd(float2 a, float2 b) { return make_float2(a.x + b.x, a.y + b.y); }
DEV float2 csub(float2 a, float2 b) { return make_float2(a.x - b.x, a.y - b.y); }
DEV float2 conj2(float2 a) { return make_float2(a.x, -a.y); }
// a * exp(S i pi / 2)
template <int S> DEV float2 quarter(float2 a) {
  return S > 0 ? make_float2(-a.y, a.x) : make_float2(a.y, -a.x);
}

// exp(i pi q / 64) for q of 0..=127. Only called in unrolled code with constant q, where the compiler
// evaluates it: no f64 instruction may be left in the machine code.
DEV float2 cis64(int q) {
  int octant = q / 32, r = q % 32;
  double x = r * (3.14159265358979323846 / 64), z = x * x;
  double c = 1 - z / 2 * (1 - z / 12 * (1 - z / 30 * (1 - z / 56 * (1 - z / 90 * (1 - z / 132 *
             (1 - z / 182 * (1 - z / 240)))))));
  double s = x * (1 - z / 6 * (1 - z / 20 * (1 - z / 42 * (1 - z / 72 * (1 - z / 110 * (1 - z / 156 *
             (1 - z / 210 * (1 - z / 272))))))));
  float2 a = make_float2((float)c, (float)s);
  return octant == 0 ? a : octant == 1 ? quarter<1>(a) : octant == 2 ? make_float2(-a.x, -a.y)
                                                                     : quarter<-1>(a);
}
// a * exp(S i pi q / 64), q constant
template <int S> DEV float2 turn(float2 a, int q) {
  float2 w = cis64(q);
  return q == 0 ? a : S > 0 ? cmul(a, w) : cmulc(a, w);
}
// (a, b) becomes (a + w b, a - w b): six fused multiply-adds, because the difference is 2a minus the
// sum; multiplying first would take eight operations. (5% fewer instructions than radix 4, and no
// spills in the forward pass.)
DEV void butterfly(float2& a, float2& b, float2 w) {
  float2 t;
  t.x = fmaf(-w.y, b.y, fmaf(w.x, b.x, a.x));
  t.y = fmaf(w.y, b.x, fmaf(w.x, b.y, a.y));
  b.x = fmaf(2.f, a.x, -t.x);
  b.y = fmaf(2.f, a.y, -t.y);
  a = t;
}
// the same for w = exp(S i pi q / 64), q constant
template <int S> DEV void butterfly(float2& a, float2& b, int q) {
  float2 t;
  if (q == 0 || q == 32) {
    float2 c = q == 0 ? b : quarter<S>(b);
    t = cadd(a, c);
    b = csub(a, c);
  } else {
    float2 w = cis64(q);
    if (S < 0) w.y = -w.y;
    butterfly(a, b, w);
    return;
  }
  a = t;
}


// v[k] = sum over j of v[j] exp(S 2 pi i j k / N): natural order in and out. S = -1 is forward.
// `rooted` transforms v[j] w^j: with twiddles before the transform they cost two operations a
// butterfly and N / 2 products, instead of about 2 N products.
template <int S, int N> struct Dft {
  static DEVM void run(float2* v) {
    float2 even[N / 2], odd[N / 2];
    MIX_UNROLL for (int j = 0; j < N / 2; j++) {
      even[j] = v[2 * j];
      odd[j] = v[2 * j + 1];
    }
    Dft<S, N / 2>::run(even);
    Dft<S, N / 2>::run(odd);
    MIX_UNROLL for (int k = 0; k < N / 2; k++) {
      butterfly<S>(even[k], odd[k], 128 / N * k);
      v[k] = even[k];
      v[k + N / 2] = odd[k];
    }
  }
  static DEVM void rooted(float2* v, float2 w) {
    float2 even[N / 2], odd[N / 2], root[N / 2];
    MIX_UNROLL for (int j = 0; j < N / 2; j++) {
      even[j] = v[2 * j];
      odd[j] = v[2 * j + 1];
    }
    float2 square = cmul(w, w);
    Dft<S, N / 2>::rooted(even, square);
    Dft<S, N / 2>::rooted(odd, square);
    MIX_UNROLL for (int k = 0; k < N / 2; k++) {
      root[k] = k > 0 && k >= N / 4 ? quarter<S>(root[k - N / 4]) : turn<S>(w, 128 / N * k);
      butterfly(even[k], odd[k], root[k]);
      v[k] = even[k];
      v[k + N / 2] = odd[k];
    }
  }
};
template <int S> struct Dft<S, 1> {
  static DEVM void run(float2*) {}
  static DEVM void rooted(float2*, float2) {}
};

// v[k] *= b w^k for k of 0..N, by a tree of products (errors grow with log k, not with k):
// p[k] = b w^k for k < H is known, w is raised to H. ONE: b is 1.
template <int N, int H, bool ONE> struct Powers {
  static DEVM void run(float2* v, float2* p, float2 w) {
    MIX_UNROLL for (int k = 0; k < H; k++) {
      p[k + H] = ONE && k == 0 ? w : cmul(p[k], w);
      v[k + H] = cmul(v[k + H], p[k + H]);
    }
    Powers<N, 2 * H, ONE>::run(v, p, cmul(w, w));
  }
};
template <int N, bool ONE> struct Powers<N, N, ONE> {
  static DEVM void run(float2*, float2*, float2) {}
};
template <int N> DEV void powers(float2* v, float2 b, float2 w) {
  float2 p[N];
  p[0] = b;
  v[0] = cmul(v[0], b);
  Powers<N, 1, false>::run(v, p, w);
}
template <int N> DEV void powers(float2* v, float2 w) {
  float2 p[N];
  Powers<N, 1, true>::run(v, p, w);
}
#endif
