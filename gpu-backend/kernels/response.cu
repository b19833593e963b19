// From frequency responses to impulse responses and back, for rpe.cu: columns of [bins + 1, width].
//
// With weights of 1 at both ends and 2 between, one complex transform of 2 * bins points gives both
// parts: its real part is what a column adds to the kernel as a real part, its imaginary part what it
// adds as an imaginary part. The adjoint is the real part of the same transform of d_real - i d_imaginary,
// with the weights behind.
//
// The transforms are Stockham passes through global memory: neighbours in a row are neighbouring columns,
// so every access is contiguous whatever the stride, any length goes, and up to 256 points two passes do.

struct Response {
  int bins, width, lags, length, causal;
};

// The column of the kernel that index l of a transform stands for; -1 for none.
INLINE int column_of(const Response& s, int l) {
  int live = min(s.bins, s.length), below = 2 * s.bins - l;
  if (l < live) return l;
  return !s.causal && below < live ? s.lags - below : -1;
}
// Lags above 0 of a causal kernel count twice: those below are dropped.
INLINE float factor_of(const Response& s, int l) { return s.causal && l > 0 ? 2.f : 1.f; }
INLINE float weight_of(const Response& s, int k) {
  return (k == 0 || k == s.bins ? .5f : 1.f) / s.bins;
}

INLINE float2 first_value(const Response& s, bool adjoint, const float* in, int l, int j) {
  if (!adjoint) {
    float v = l <= s.bins ? in[(size_t)l * s.width + j] * weight_of(s, l) : 0.f;
    return make_float2(v, 0.f);
  }
  int column = column_of(s, l);
  if (column < 0) return make_float2(0.f, 0.f);
  size_t at = (size_t)column * s.width + j;
  float imaginary = s.causal ? 0.f : in[(size_t)s.lags * s.width + at];
  return make_float2(in[at] * factor_of(s, l), -imaginary);
}

INLINE void last_value(const Response& s, bool adjoint, float2 v, float* out, int l, int j) {
  if (adjoint) {
    if (l <= s.bins) out[(size_t)l * s.width + j] = v.x * weight_of(s, l);
    return;
  }
  int column = column_of(s, l);
  if (column < 0) return;
  size_t at = (size_t)column * s.width + j;
  out[at] = v.x * factor_of(s, l);
  if (!s.causal) out[(size_t)s.lags * s.width + at] = v.y;
}

// A pass of radix R after passes of `done` points together: the first reads `in`, the last writes `out`,
// between them values go from `from` to `to` [2 * bins, width].
template <int R>
INLINE void response_pass(Response s, int adjoint, int done, const float* in, const float2* from,
                          float2* to, float* out) {
  int points = 2 * s.bins, i = blockIdx.x * blockDim.x + threadIdx.x;
  int j = i % s.width, b = i / s.width, inside = b % done, first = b / done * done * R + inside;
  if (b >= points / R) return;
  float2 v[R];
#pragma unroll
  for (int m = 0; m < R; m++) {
    int l = b + m * (points / R);
    v[m] = done == 1 ? first_value(s, adjoint, in, l, j) : from[(size_t)l * s.width + j];
  }
  float sine, cosine;
  sincospif(-2.f * inside / (done * R), &sine, &cosine);
  Dft<-1, R>::rooted(v, make_float2(cosine, sine));
#pragma unroll
  for (int m = 0; m < R; m++) {
    int l = first + m * done;
    if (done * R == points) last_value(s, adjoint, v[m], out, l, j);
    else to[(size_t)l * s.width + j] = v[m];
  }
}
#define PASS(R)                                                                                  \
  KERNEL(response_pass_##R, 128,                                                                 \
         (Response s, int adjoint, int done, const float* in, const float2* from, float2* to,    \
          float* out),                                                                           \
         response_pass<R>(s, adjoint, done, in, from, to, out))
PASS(2)
PASS(4)
PASS(8)
PASS(16)
