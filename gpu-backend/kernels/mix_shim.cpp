// Runs the kernels of `mix.cu` on the CPU, for tests without a GPU. Each CUDA thread is a context of
// its own, run until its next barrier; every other round goes through them backwards, so that a
// missing barrier shows as a wrong result, every time.
//
// One case from standard input, results to standard output, both as 4-byte words:
// in: n_fft, type (0 f32, 1 bf16), act, full, pair, chain, spill, gated; channels, batch, length, blocks;
// sequences of a block, forward and backward; lags, columns of the backward grid, whether there is a
// bias; then kernel [E, lags], bias [2E], uv [2E, T], dg [E, T] as f32 (E instead of 2E without gate).
// out: y, g (with a gate), duv, d_kernel, d_bias (which starts at 1) as f32.
#include <ucontext.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>

using std::min;
struct float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
static inline float2 make_float2(float a, float b) { return {a, b}; }
static inline float4 make_float4(float a, float b, float c, float d) { return {a, b, c, d}; }
struct Dim { unsigned x = 1, y = 1; };
static Dim threadIdx, blockIdx, gridDim;
static ucontext_t scheduler;
static std::vector<ucontext_t> contexts;
static void __syncthreads() {
  unsigned t = threadIdx.x;
  swapcontext(&contexts[t], &scheduler);
  threadIdx.x = t;
}
static void __syncwarp() { __syncthreads(); }
static inline void sincospif(float a, float* s, float* c) {
  *s = (float)std::sin(M_PI * (double)a);
  *c = (float)std::cos(M_PI * (double)a);
}
static inline float __fdividef(float a, float b) { return a / b; }
static inline float exp_of(float a) { return std::exp(a); }
#define __expf exp_of  // the C library declares this name
static inline float __uint_as_float(unsigned a) { float f; memcpy(&f, &a, 4); return f; }
static inline unsigned round_bf16(float f) {
  unsigned a;
  memcpy(&a, &f, 4);
  return (a + 0x7fff + (a >> 16 & 1)) >> 16;
}
static inline unsigned pack_bf16(float low, float high) { return round_bf16(low) | round_bf16(high) << 16; }

#define MIX_SHIM
#define DEV static inline
#define DEVM inline
#define MIX_OPAQUE(r)
#define MIX_UNROLL
#define MIX_NO_UNROLL
#include "dft.cuh"
#include "mix_fft.cuh"
#include "mix_io.cuh"
#include "mix.cu"

static std::function<void()> body;
static std::vector<char> done;
static void thread_main() {
  unsigned t = threadIdx.x;
  body();
  done[t] = 1;
  threadIdx.x = t;
  setcontext(&scheduler);
}
static void launch(unsigned gx, unsigned gy, unsigned threads, size_t shared, std::function<void(float2*)> kernel) {
  const size_t STACK = 128 << 10;
  static std::vector<char> stacks;
  if (stacks.size() < threads * STACK) stacks.resize(threads * STACK);
  std::vector<float4> memory(shared / 16 + 1);
  gridDim = {gx, gy};
  body = [&] { kernel((float2*)memory.data()); };
  for (unsigned by = 0; by < gy; by++)
    for (unsigned bx = 0; bx < gx; bx++) {
      // What is left from another block must not be of use.
      for (auto& m : memory) m = make_float4(NAN, NAN, NAN, NAN);
      contexts.assign(threads, {});
      done.assign(threads, 0);
      for (unsigned t = 0; t < threads; t++) {
        getcontext(&contexts[t]);
        contexts[t].uc_stack.ss_sp = stacks.data() + t * STACK;
        contexts[t].uc_stack.ss_size = STACK;
        makecontext(&contexts[t], thread_main, 0);
      }
      for (unsigned round = 0, left = threads; left > 0; round++) {
        left = 0;
        for (unsigned i = 0; i < threads; i++) {
          unsigned t = round % 2 ? threads - 1 - i : i;
          if (done[t]) continue;
          threadIdx = {t, 0};
          blockIdx = {bx, by};
          swapcontext(&scheduler, &contexts[t]);
          left += !done[t];
        }
      }
    }
}

static std::vector<float> read_floats(size_t n) {
  std::vector<float> v(n);
  if (n && fread(v.data(), 4, n, stdin) != n) exit(2);
  return v;
}
static void put(const std::vector<float>& v) { fwrite(v.data(), 4, v.size(), stdout); }
static void set(float& to, float x) { to = x; }
static void set(Bf16& to, float x) { to.bits = (unsigned short)round_bf16(x); }
template <class X> static std::vector<X> to_type(const std::vector<float>& v) {
  std::vector<X> r(v.size());
  for (size_t i = 0; i < v.size(); i++) set(r[i], v[i]);
  return r;
}
template <class X> static std::vector<float> to_floats(const std::vector<X>& v) {
  std::vector<float> r(v.size());
  for (size_t i = 0; i < v.size(); i++) r[i] = load1(&v[i]);
  return r;
}

struct Case {
  int n_fft, type, act, full, pair, chain, spill, gated, channels, batch, length, blocks, forward, backward, lags, columns, has_bias;
};

template <class P> static void run(const Case& q) {
  typedef typename P::X X;
  const int N = P::N, E = q.channels, H = P::HALVES, lags = q.lags, parts = (q.batch + q.backward - 1) / q.backward;
  const size_t tokens = (size_t)q.batch * q.length;
  auto kernel = read_floats((size_t)E * lags), bias = read_floats(q.has_bias ? H * E : 0);
  auto uv = to_type<X>(read_floats(H * E * tokens)), dg = to_type<X>(read_floats(E * tokens));
  X nan;
  set(nan, NAN);
  std::vector<X> y(E * tokens, nan), g(P::GATED ? E * tokens : 0, nan), duv(H * E * tokens, nan);
  std::vector<float> d_kernel((size_t)E * lags, NAN), d_bias(H * E, 1.f), sums((size_t)parts * H * E, NAN);
  const float4 none = make_float4(NAN, NAN, NAN, NAN);
  const unsigned grid = q.columns, groups = (E + P::GROUPS - 1) / P::GROUPS;
  std::vector<float4> spectrum((size_t)E * N / 2, none), partial((size_t)parts * E * N / 2, none),
      scratch((size_t)parts * grid * N, none);
  const float* pb = q.has_bias ? bias.data() : nullptr;
  MixArgs a = {E, q.batch, q.length, q.blocks, q.forward}, ab = {E, q.batch, q.length, q.blocks, q.backward};
  const size_t fft = 8ul * P::GROUPS * P::F::SHARED, points = 8ul * P::GROUPS * N;
  launch(groups, 1, P::THREADS, fft, [&](float2* sm) { mix_spectrum<P>(kernel.data(), lags, spectrum.data(), a, sm); });
  launch(E, (q.batch + q.forward - 1) / q.forward, P::THREADS, fft + (P::CHAIN ? points / 2 : 0),
         [&](float2* sm) { mix_forward<P>(uv.data(), pb, spectrum.data(), y.data(), g.data(), a, sm); });
  launch(grid, parts, P::THREADS, fft + (P::SPILL ? 0 : P::CHAIN ? 2 * points : points), [&](float2* sm) {
    mix_backward<P>(uv.data(), pb, spectrum.data(), P::GATED ? y.data() : nullptr, dg.data(), duv.data(), partial.data(), sums.data(),
                    scratch.data(), ab, sm);
  });
  launch(groups, 1, P::THREADS, fft, [&](float2* sm) {
    mix_d_kernel<P>(partial.data(), sums.data(), parts, d_kernel.data(), lags, q.has_bias ? d_bias.data() : nullptr, a, sm);
  });
  put(to_floats(y));
  put(to_floats(g));
  put(to_floats(duv));
  put(d_kernel);
  put(d_bias);
}

int main() {
  Case q;
  if (fread(&q, sizeof q, 1, stdin) != 1) return 2;
#define CASE(N, X, TYPE, ACT, FULL, PAIR, CHAIN, SPILL, GATED)                                               \
  if (q.n_fft == N && q.type == TYPE && q.act == ACT && q.full == FULL && q.pair == PAIR && q.chain == CHAIN && \
      q.spill == SPILL && q.gated == GATED)                                                                 \
    return run<Mix<N, X, ACT, FULL, PAIR, CHAIN, SPILL, GATED>>(q), 0;
  MIX_CASES
  return 3;
}
