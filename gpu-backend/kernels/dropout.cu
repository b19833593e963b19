// Dropout by a hash of the element's index: no state, so the backward pass drops the same elements.

INLINE unsigned mix32(unsigned h) {
  h ^= h >> 16, h *= 0x85EBCA6Bu;
  h ^= h >> 13, h *= 0xC2B2AE35u;
  return h ^ h >> 16;
}

// The bits are those of `device/random.rs`: the CPU drops the same elements.
template <typename T>
INLINE void dropout(T* x, const float* seed, int count, float p, unsigned stream) {
  unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  unsigned first = mix32((unsigned)seed[0] + 0x9E3779B9u * (stream + 1));
  unsigned second = mix32(first ^ ((unsigned)seed[1] + 0x7F4A7C15u));
  unsigned bits = mix32(mix32(i ^ first) + second);
  bool keep = bits >= (unsigned)((double)p * 4294967296.0);
  float v = keep ? widen(x[i]) / (1.f - p) : 0.f;
  Io<T, 1>::store(x + i, &v);
}
KERNEL(dropout_f32, 256, (float* x, const float* seed, int count, float p, unsigned stream),
       dropout<float>(x, seed, count, p, stream))
KERNEL(dropout_bf16, 256, (bf16* x, const float* seed, int count, float p, unsigned stream),
       dropout<bf16>(x, seed, count, p, stream))
