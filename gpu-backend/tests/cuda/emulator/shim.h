// Runs the kernels on the CPU: a block's threads are fibers that take turns, so barriers and warp
// shuffles are points where a fiber waits for the others, shared memory is static memory, and
// nothing races. Kernels are found by name. Compiled by tests/cuda/emulator/mod.rs, which puts
// common.cuh and all .cu files after this.
#include <csetjmp>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <ucontext.h>
#include <vector>
using std::max;
using std::min;

#define EMULATED
#define __device__
#define __forceinline__ inline
#define __shared__ static

struct Index { unsigned x = 0, y = 0, z = 0; };
static Index threadIdx, blockIdx, blockDim, gridDim;
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
static float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static float2 make_float2(float x, float y) { return {x, y}; }
static uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
static uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
static float __uint_as_float(unsigned v) { float f; memcpy(&f, &v, 4); return f; }
#define __expf expf
static void sincospif(float x, float* s, float* c) {
  *s = (float)std::sin(M_PI * (double)x), *c = (float)std::cos(M_PI * (double)x);
}
static float cospif(float x) { return (float)std::cos(M_PI * (double)x); }
// What dft.cuh asks for.
#define MIX_SHIM
#define DEV static inline
#define DEVM inline
#define MIX_OPAQUE(r)
#define MIX_UNROLL
#define MIX_NO_UNROLL
static float __fdividef(float x, float y) { return x / y; }
static unsigned short emulated_bf16(float f) {
  unsigned v;
  memcpy(&v, &f, 4);
  if (f != f) return 0x7fff;
  return (unsigned short)((v + 0x7fff + (v >> 16 & 1)) >> 16);
}
alignas(16) static unsigned char dynamic_shared[256 << 10];
#define DYNAMIC_SHARED(name) float* name = (float*)dynamic_shared

// ---- fibers ---------------------------------------------------------------------------------------
struct Fiber {
  ucontext_t context;
  jmp_buf at;
  std::vector<char> stack;
  bool started, done;
};
static std::vector<Fiber> fibers;
static jmp_buf scheduler;
static unsigned current;
// Where each fiber has arrived: barriers of the block, and exchanges of the warp.
static std::vector<unsigned> barriers, exchanges;
static std::vector<float> slots[2];

// Lets the others run.
static void yield_fiber() {
  if (_setjmp(fibers[current].at) == 0) _longjmp(scheduler, 1);
}
// Waits until all threads of [from, to) that still run have counted as far as this one.
static void wait_for(std::vector<unsigned>& counts, unsigned from, unsigned to) {
  unsigned self = current, mine = ++counts[self];
  for (;;) {
    bool all = true;
    for (unsigned i = from; i < to && all; i++) all = fibers[i].done || counts[i] >= mine;
    if (all) return;
    yield_fiber();
  }
}
static void __syncthreads() { wait_for(barriers, 0, blockDim.x); }
static float __shfl_xor_sync(unsigned, float v, int mask) {
  unsigned self = current, first = self / 32 * 32;
  // Two sets of slots: a lane may be one exchange ahead of another, not two.
  std::vector<float>& slot = slots[exchanges[self] % 2];
  slot[self] = v;
  wait_for(exchanges, first, min(first + 32, blockDim.x));
  return slot[self ^ mask];
}

static void (*body)(void**);
static void** body_arguments;
static void enter() {
  body(body_arguments);
  fibers[current].done = true;
  _longjmp(scheduler, 1);
}
static ucontext_t scheduler_context;
static void run_block() {
  // Static: locals would not outlive the jumps.
  static unsigned threads, left, turn, pass;
  threads = left = blockDim.x;
  for (auto& f : fibers) f.started = f.done = false;
  std::fill(barriers.begin(), barriers.end(), 0u);
  std::fill(exchanges.begin(), exchanges.end(), 0u);
  memset(dynamic_shared, 0xff, sizeof dynamic_shared);  // not a number
  while (left > 0) {
    left = 0, pass++;
    for (turn = 0; turn < threads; turn++) {
      // Forwards, then backwards: where a barrier is missing, one of the two shows it.
      current = pass % 2 ? turn : threads - 1 - turn, threadIdx.x = current;
      Fiber& f = fibers[current];
      if (f.done) continue;
      if (_setjmp(scheduler) == 0) {
        if (f.started) _longjmp(f.at, 1);
        f.started = true;
        getcontext(&f.context);
        f.context.uc_stack.ss_sp = f.stack.data(), f.context.uc_stack.ss_size = f.stack.size();
        f.context.uc_link = nullptr;
        makecontext(&f.context, enter, 0);
        setcontext(&f.context);
      }
      if (!fibers[current].done) left++;
    }
  }
}

// ---- kernels by name ------------------------------------------------------------------------------
typedef void (*Kernel)(void**);
static std::map<std::string, std::pair<Kernel, int>>& kernels() {
  static std::map<std::string, std::pair<Kernel, int>> all;
  return all;
}
template <auto F>
struct Caller;
template <typename... A, void (*F)(A...)>
struct Caller<F> {
  template <size_t... I>
  static void with(void** p, std::index_sequence<I...>) { F(*(A*)p[I]...); }
  static void call(void** p) { with(p, std::index_sequence_for<A...>()); }
  static const int count = sizeof...(A);
};
struct Register {
  Register(const char* name, Kernel call, int count) { kernels()[name] = {call, count}; }
};
#define KERNEL(name, threads, parameters, ...)                                        \
  static void name##_kernel parameters { __VA_ARGS__; }                               \
  static Register name##_register(#name, Caller<name##_kernel>::call, Caller<name##_kernel>::count);

// 0, or 1: there is no such kernel, 2: it has another number of parameters.
extern "C" int emulator_launch(const char* name, const unsigned* grid, unsigned threads,
                               void** arguments, int count) {
  auto found = kernels().find(name);
  if (found == kernels().end()) return 1;
  if (found->second.second != count) return 2;
  body = found->second.first, body_arguments = arguments;
  if (fibers.size() < threads) fibers.resize(threads);
  for (auto& f : fibers)
    if (f.stack.empty()) f.stack.resize(64 << 10);
  barriers.resize(threads), exchanges.resize(threads);
  for (auto& s : slots) s.resize(max(threads, 1024u));
  blockDim.x = threads, gridDim = {grid[0], grid[1], grid[2]};
  for (unsigned z = 0; z < grid[2]; z++)
    for (unsigned y = 0; y < grid[1]; y++)
      for (unsigned x = 0; x < grid[0]; x++) blockIdx = {x, y, z}, run_block();
  return 0;
}
