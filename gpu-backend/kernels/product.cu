// Matrix products of any shape, C = op(A) op(B) (+ C) (+ bias) with f32 sums in the order of k: for
// bf16 matrices whose rows do not begin at multiples of 16 bytes, which cuBLASLt refuses. Blocks of
// 64 x 64 elements, 4 x 4 of them a thread, 16 terms at a time. The tensor cores stay idle: widths
// that are multiples of 8 are many times faster.

struct ProductArgs {
  int m, n, k;
  int a_row, a_column, b_row, b_column, c_row;  // steps in elements, of op(A), op(B) and C
  int accumulate;
};

#define SIDE 64
#define DEPTH 16

// `part` [DEPTH][SIDE + 1] of a matrix with `sides` rows or columns of `terms` elements each.
template <typename T>
INLINE void stage(float* part, const T* from, int side, int term, int sides, int terms,
                  int side_step, int term_step) {
  // Neighbouring threads read neighbouring elements, whichever way the matrix lies.
  bool along_terms = term_step == 1;
  for (int i = threadIdx.x; i < SIDE * DEPTH; i += blockDim.x) {
    int s = along_terms ? i / DEPTH : i % SIDE, t = along_terms ? i % DEPTH : i / SIDE;
    bool inside = side + s < sides && term + t < terms;
    size_t at = (size_t)(side + s) * side_step + (size_t)(term + t) * term_step;
    part[t * (SIDE + 1) + s] = inside ? widen(from[at]) : 0.f;
  }
}

template <typename T, typename O>
INLINE void product(const T* a, const T* b, const O* bias, O* c, ProductArgs p) {
  __shared__ float left[DEPTH * (SIDE + 1)], right[DEPTH * (SIDE + 1)];
  int row = blockIdx.y * SIDE, column = blockIdx.x * SIDE;
  int i = threadIdx.x / 16, j = threadIdx.x % 16;
  float sums[4][4] = {};
  for (int term = 0; term < p.k; term += DEPTH) {
    __syncthreads();
    stage(left, a, row, term, p.m, p.k, p.a_row, p.a_column);
    stage(right, b, column, term, p.n, p.k, p.b_column, p.b_row);
    __syncthreads();
    for (int t = 0; t < DEPTH; t++) {
#pragma unroll
      for (int r = 0; r < 4; r++)
#pragma unroll
        for (int s = 0; s < 4; s++)
          sums[r][s] = fmaf(left[t * (SIDE + 1) + i + 16 * r], right[t * (SIDE + 1) + j + 16 * s],
                            sums[r][s]);
    }
  }
#pragma unroll
  for (int r = 0; r < 4; r++)
#pragma unroll
    for (int s = 0; s < 4; s++) {
      int y = row + i + 16 * r, x = column + j + 16 * s;
      if (y >= p.m || x >= p.n) continue;
      O* to = c + (size_t)y * p.c_row + x;
      float v = sums[r][s];
      if (bias) v += widen(bias[x]);
      if (p.accumulate) v += widen(*to);
      Io<O, 1>::store(to, &v);
    }
}

#define PRODUCT(O, NAME)                                                                        \
  KERNEL(product_##NAME, 256, (const bf16* a, const bf16* b, const O* bias, O* c, ProductArgs p), \
         product<bf16, O>(a, b, bias, c, p))
PRODUCT(bf16, bf16)
PRODUCT(float, f32)
