// What every kernel starts with; its text is put before each .cu file, so nothing is included and
// NVRTC needs no header. The same files are compiled for the CPU by tests/cuda/emulator/shim.h, which
// defines EMULATED and what CUDA has built in.

#ifndef EMULATED
// A kernel: name, largest block, parameters in parentheses, body.
#define KERNEL(name, threads, parameters, ...) \
  extern "C" __global__ void __launch_bounds__(threads) name parameters { __VA_ARGS__; }
#define DYNAMIC_SHARED(name) extern __shared__ __align__(16) float name[]
#endif

#define INLINE __device__ __forceinline__
#define IGNORE 0xffffffffu

struct bf16 {
  unsigned short bits;
};

INLINE float widen(float v) { return v; }
INLINE float widen(bf16 v) { return __uint_as_float((unsigned)v.bits << 16); }

// Two floats to two bf16 in one word, the first in the low half; rounded to the nearest even.
INLINE unsigned narrow_pair(float low, float high) {
#ifdef EMULATED
  return emulated_bf16(low) | (unsigned)emulated_bf16(high) << 16;
#else
  unsigned word;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
  return word;
#endif
}

// V elements of T at p, which is aligned to V elements, as floats; and back.
template <typename T, int V>
struct Io;
template <>
struct Io<float, 1> {
  static INLINE void load(const float* p, float* v) { v[0] = p[0]; }
  static INLINE void store(float* p, const float* v) { p[0] = v[0]; }
};
template <>
struct Io<bf16, 1> {
  static INLINE void load(const bf16* p, float* v) { v[0] = widen(p[0]); }
  static INLINE void store(bf16* p, const float* v) {
    p[0].bits = (unsigned short)narrow_pair(v[0], 0.f);
  }
};
template <>
struct Io<float, 4> {
  static INLINE void load(const float* p, float* v) {
    float4 w = *(const float4*)p;
    v[0] = w.x, v[1] = w.y, v[2] = w.z, v[3] = w.w;
  }
  static INLINE void store(float* p, const float* v) {
    *(float4*)p = make_float4(v[0], v[1], v[2], v[3]);
  }
};
INLINE void widen_word(unsigned w, float* v) {
  v[0] = __uint_as_float(w << 16), v[1] = __uint_as_float(w & 0xffff0000u);
}
template <>
struct Io<bf16, 4> {
  static INLINE void load(const bf16* p, float* v) {
    uint2 w = *(const uint2*)p;
    widen_word(w.x, v), widen_word(w.y, v + 2);
  }
  static INLINE void store(bf16* p, const float* v) {
    *(uint2*)p = make_uint2(narrow_pair(v[0], v[1]), narrow_pair(v[2], v[3]));
  }
};
template <>
struct Io<bf16, 8> {
  static INLINE void load(const bf16* p, float* v) {
    uint4 w = *(const uint4*)p;
    widen_word(w.x, v), widen_word(w.y, v + 2), widen_word(w.z, v + 4), widen_word(w.w, v + 6);
  }
  static INLINE void store(bf16* p, const float* v) {
    *(uint4*)p = make_uint4(narrow_pair(v[0], v[1]), narrow_pair(v[2], v[3]),
                            narrow_pair(v[4], v[5]), narrow_pair(v[6], v[7]));
  }
};

// Sums in a fixed order, the same in every lane.
INLINE float warp_sum(float v) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) v += __shfl_xor_sync(0xffffffffu, v, step);
  return v;
}
INLINE float warp_max(float v) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, step));
  return v;
}

// The sum over all threads of a one-dimensional block, in every thread; `room` holds 32 floats.
INLINE float block_sum(float v, float* room) {
  v = warp_sum(v);
  if (threadIdx.x % 32 == 0) room[threadIdx.x / 32] = v;
  __syncthreads();
  float total = threadIdx.x % 32 < blockDim.x / 32 ? room[threadIdx.x % 32] : 0.f;
  total = warp_sum(total);
  __syncthreads();
  return total;
}

// Activations, numbered as in ops::activation of the host.
#define ACT_NONE 0
#define ACT_SILU 1
#define ACT_RELU 2
#define ACT_GELU 3

INLINE float sigmoid(float x) { return __fdividef(1.f, 1.f + __expf(-x)); }
INLINE float gauss_cdf(float x) { return .5f * (1.f + erff(x * .70710678f)); }
INLINE float gauss_pdf(float x) { return .39894228f * __expf(-.5f * x * x); }

INLINE float activate(int act, float x) {
  if (act == ACT_SILU) return x * sigmoid(x);
  if (act == ACT_RELU) return fmaxf(x, 0.f);
  if (act == ACT_GELU) return x * gauss_cdf(x);
  return x;
}

// The derivative.
INLINE float slope(int act, float x) {
  if (act == ACT_SILU) {
    float s = sigmoid(x);
    return s * (1.f + x * (1.f - s));
  }
  if (act == ACT_RELU) return x > 0.f ? 1.f : 0.f;
  if (act == ACT_GELU) return gauss_cdf(x) + x * gauss_pdf(x);
  return 1.f;
}
