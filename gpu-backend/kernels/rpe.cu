// The network that gives a Toeplitz operator its kernel, all in f32. `hidden` holds, one after the
// other: the outputs Z of the first and the hidden maps [layers + 1, rows, width], what the next
// map reads A (after norm and activation), the gradients DZ, all of that shape; then the gradient
// DA of the last A [rows, width], and (at 4 * that shape) the kernel before its activation. Where rows
// are frequencies, what the last map reads [parts, lags, width] and its gradient follow: response.cu.

#define MOST_MAPS 34

// Where the parameters lie; passed by value.
struct Rpe {
  int width, layers, channels, lags, length, causal;
  int norm;  // 0 none, 1 simple rms, 2 layer
  int act, residual, bias, kernel_act;
  float input;  // factor on the lag
  // Where the network sees frequencies: steps from 0 to pi (else 0), whether it sees their cosine.
  int bins, cosine;
  int rows;  // what the network sees: lags, or bins + 1
  int head;  // channels of a head
  float spacing;  // positions from one lag to the next
  float warp;     // log2 of the time warp's lambda; 0 without one
  int maps_at[MOST_MAPS];   // first, hidden maps
  int norms_at[MOST_MAPS];  // hidden layers, output
};

// Column i of the kernel is this lag; the column between the ends of a bidirectional one is none.
INLINE int lag_of(const Rpe& s, int i) { return i < s.length || s.causal ? i : i - 2 * s.length; }
INLINE bool is_gap(const Rpe& s, int i) { return !s.causal && i == s.length; }

// What the network sees in a row.
INLINE float seen(const Rpe& s, int row) {
  int lag = lag_of(s, row);
  if (s.warp != 0.f) return copysignf(exp2f(abs(lag) * s.spacing * s.warp), lag);
  if (s.bins == 0) return lag * s.input;
  float turn = row / (float)s.bins;
  return s.cosine ? cospif(turn) : 3.14159265f * turn;
}

// Outputs of the last map a channel: real and imaginary part of a bidirectional response, else one.
INLINE int parts_of(const Rpe& s) { return s.bins > 0 && !s.causal ? 2 : 1; }
// Heads have the real parts of all their channels first.
INLINE int output_of(const Rpe& s, int channel, int part) {
  if (parts_of(s) == 1) return channel;
  return (channel / s.head * 2 + part) * s.head + channel % s.head;
}
// Columns of the kernel that are not always zero: causal responses have no lags from `bins` on.
INLINE int live_lags(const Rpe& s) { return s.bins > 0 && s.causal ? min(s.bins, s.lags) : s.lags; }
// What a bias of 1 adds to a lag: of a response's real part an impulse, of the imaginary part, which
// is zero at both ends, the sum of -sin(pi k lag / bins) / bins.
INLINE float of_one(const Rpe& s, int part, int lag) {
  if (s.bins == 0) return 1.f;
  if (part == 0) return lag == 0;
  if (lag % 2 == 0 || abs(lag) >= s.bins) return 0.f;
  float sine, cosine;
  sincospif(lag / (2.f * s.bins), &sine, &cosine);
  return -cosine / (s.bins * sine);
}

#define MOST_PER_LANE 4  // widths to 128

// Mean and scale of the norm of row z, by a warp that holds elements lane, lane + 32, ...
INLINE void row_statistics(const Rpe& s, const float* z, float& mean, float& scale) {
  int lane = threadIdx.x % 32;
  float sum = 0.f;
  mean = 0.f, scale = 1.f;
  if (s.norm == 0) return;
  if (s.norm == 2) {
    for (int j = lane; j < s.width; j += 32) sum += z[j];
    mean = warp_sum(sum) / s.width, sum = 0.f;
  }
  for (int j = lane; j < s.width; j += 32) sum += (z[j] - mean) * (z[j] - mean);
  sum = warp_sum(sum) / s.width;
  scale = s.norm == 2 ? 1.f / sqrtf(sum + 1e-5f) : 1.f / (sqrtf(sum) + 1e-8f);
}

// The hidden stack for a tile of lags: threads are [groups, width], each computes one output of
// EACH lags, so that a weight is read once for EACH products. Weights are in shared memory, rows
// padded by one against bank conflicts.
template <int EACH>
INLINE void rpe_hidden(Rpe s, const float* parameters, float* hidden) {
  DYNAMIC_SHARED(room);
  int r = s.width, groups = blockDim.x / r, tile = groups * EACH, first = blockIdx.x * tile;
  int group = threadIdx.x / r, o = threadIdx.x % r;
  bool busy = group < groups;
  size_t map = (size_t)s.rows * r;
  float *weights = room, *z = weights + r * (r + 1), *a = z + tile * r;
  if (busy) {
    float w = parameters[s.maps_at[0] + o], b = s.bias ? parameters[s.maps_at[0] + r + o] : 0.f;
    for (int e = 0; e < EACH; e++) {
      int l = group * EACH + e;
      z[l * r + o] = w * seen(s, first + l) + b;
    }
  }
  for (int k = 0; k <= s.layers; k++) {
    if (k < s.layers) {
      const float* w = parameters + s.maps_at[k + 1];
      for (int i = threadIdx.x; i < r * r; i += blockDim.x) weights[i / r * (r + 1) + i % r] = w[i];
    }
    __syncthreads();
    float* z_out = hidden + k * map + (size_t)first * r;
    float* a_out = z_out + (s.layers + 1) * map;
    int rows = min(tile, s.rows - first);
    for (int l = threadIdx.x / 32; l < rows; l += blockDim.x / 32) {
      float mean, scale;
      row_statistics(s, z + l * r, mean, scale);
      for (int j = threadIdx.x % 32; j < r; j += 32) {
        float v = z[l * r + j], n = (v - mean) * scale;
        if (s.norm == 2) n = n * parameters[s.norms_at[k] + j] + parameters[s.norms_at[k] + r + j];
        n = activate(s.act, n);
        a[l * r + j] = n, z_out[l * r + j] = v, a_out[l * r + j] = n;
      }
    }
    if (k == s.layers) return;
    __syncthreads();
    if (busy) {
      float sum[EACH];
      float b = s.bias ? parameters[s.maps_at[k + 1] + r * r + o] : 0.f;
#pragma unroll
      for (int e = 0; e < EACH; e++) sum[e] = b;
      for (int j = 0; j < r; j++) {
        float w = weights[o * (r + 1) + j];
#pragma unroll
        for (int e = 0; e < EACH; e++) sum[e] += w * a[(group * EACH + e) * r + j];
      }
#pragma unroll
      for (int e = 0; e < EACH; e++) {
        float* to = z + (group * EACH + e) * r + o;
        *to = s.residual ? *to + sum[e] : sum[e];
      }
    }
    // The barrier at the top of the loop comes after the weights are overwritten.
    __syncthreads();
  }
}
KERNEL(rpe_hidden_1, 256, (Rpe s, const float* parameters, float* hidden),
       rpe_hidden<1>(s, parameters, hidden))
KERNEL(rpe_hidden_4, 256, (Rpe s, const float* parameters, float* hidden),
       rpe_hidden<4>(s, parameters, hidden))

INLINE float decay(const Rpe& s, const float* gamma, int channel, int lag) {
  if (gamma == nullptr || lag == 0) return 1.f;
  return exp2f(abs(lag) * s.spacing * log2f(gamma[channel]));
}

// The last map: kernel [channels, lags], tiles of 64 by 64, 4 by 4 a thread.
INLINE void rpe_output_body(Rpe s, const float* weight, const float* a, const float* gamma,
                            float* before, float* kernel) {
  __shared__ float ws[16][68], as[16][68];
  int channel0 = blockIdx.y * 64, lag0 = blockIdx.x * 64, r = s.width, parts = parts_of(s);
  int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
  float sum[4][4];
#pragma unroll
  for (int i = 0; i < 4; i++)
#pragma unroll
    for (int j = 0; j < 4; j++) sum[i][j] = 0.f;
  if (lag0 >= live_lags(s)) parts = 0;
  for (int part = 0; part < parts; part++, a += (size_t)s.lags * r) {
    for (int k0 = 0; k0 < r; k0 += 16) {
      for (int i = threadIdx.x; i < 16 * 64; i += 256) {
        int k = i % 16, row = i / 16, channel = channel0 + row;
        bool in = k0 + k < r;
        ws[k][row] =
            in && channel < s.channels ? weight[output_of(s, channel, part) * r + k0 + k] : 0.f;
        as[k][row] = in && lag0 + row < s.lags ? a[(size_t)(lag0 + row) * r + k0 + k] : 0.f;
      }
      __syncthreads();
#pragma unroll
      for (int k = 0; k < 16; k++) {
        float w[4], v[4];
#pragma unroll
        for (int i = 0; i < 4; i++) w[i] = ws[k][ty * 4 + i], v[i] = as[k][tx + 16 * i];
#pragma unroll
        for (int i = 0; i < 4; i++)
#pragma unroll
          for (int j = 0; j < 4; j++) sum[i][j] += w[i] * v[j];
      }
      __syncthreads();
    }
  }
  const float* biases = weight + s.channels * parts_of(s) * r;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    int channel = channel0 + ty * 4 + i;
    if (channel >= s.channels) return;
    float b[2];
#pragma unroll
    for (int part = 0; part < 2; part++)
      b[part] = s.bias && part < parts_of(s) ? biases[output_of(s, channel, part)] : 0.f;
#pragma unroll
    for (int j = 0; j < 4; j++) {
      int column = lag0 + tx + 16 * j, lag = lag_of(s, column);
      if (column >= s.lags) continue;
      size_t at = (size_t)channel * s.lags + column;
      float v = sum[i][j] + b[0] * of_one(s, 0, lag);
      if (b[1] != 0.f) v += b[1] * of_one(s, 1, lag);
      v = is_gap(s, column) ? 0.f : v * decay(s, gamma, channel, lag);
      if (s.kernel_act != ACT_NONE) before[at] = v;
      kernel[at] = activate(s.kernel_act, v);
    }
  }
}
KERNEL(rpe_output, 256,
       (Rpe s, const float* weight, const float* a, const float* gamma, float* before,
        float* kernel),
       rpe_output_body(s, weight, a, gamma, before, kernel))

// The gradient of the kernel's live lags through its activation and decay, in place; one block a channel, which
// also sums the gradient of the last map's bias.
INLINE void rpe_output_backward_body(Rpe s, const float* gamma, const float* before,
                                     float* d_kernel, float* d_bias) {
  __shared__ float room[32];
  int channel = blockIdx.x, parts = parts_of(s);
  float sum[2] = {0.f, 0.f};
  for (int i = threadIdx.x; i < live_lags(s); i += blockDim.x) {
    size_t at = (size_t)channel * s.lags + i;
    int lag = lag_of(s, i);
    float g = is_gap(s, i) ? 0.f : d_kernel[at] * decay(s, gamma, channel, lag);
    if (s.kernel_act != ACT_NONE) g *= slope(s.kernel_act, before[at]);
    d_kernel[at] = g, sum[0] += g * of_one(s, 0, lag);
    if (parts == 2) sum[1] += g * of_one(s, 1, lag);
  }
  if (!s.bias) return;
#pragma unroll
  for (int part = 0; part < 2; part++) {
    if (part == parts) return;
    float total = block_sum(sum[part], room);
    if (threadIdx.x == 0) d_bias[output_of(s, channel, part)] += total;
  }
}
KERNEL(rpe_output_backward, 256,
       (Rpe s, const float* gamma, const float* before, float* d_kernel, float* d_bias),
       rpe_output_backward_body(s, gamma, before, d_kernel, d_bias))

// The hidden stack backward, tiled like forward: DZ of all maps from DA of the last. Gradients of
// the layer norms' parameters are summed over the tile into partials[block][map][2 * width].
template <int EACH>
INLINE void rpe_hidden_backward(Rpe s, const float* parameters, float* hidden, float* partials) {
  DYNAMIC_SHARED(room);
  int r = s.width, groups = blockDim.x / r, tile = groups * EACH, first = blockIdx.x * tile;
  int group = threadIdx.x / r, o = threadIdx.x % r, rows = min(tile, s.rows - first);
  size_t map = (size_t)s.rows * r, maps = s.layers + 1;
  float *weights = room, *da = weights + r * r, *dz = da + tile * r, *z = dz + tile * r;
  const float* da_in = hidden + 3 * maps * map + (size_t)first * r;
  for (int i = threadIdx.x; i < tile * r; i += blockDim.x) {
    da[i] = i < rows * r ? da_in[i] : 0.f;
    dz[i] = 0.f;
  }
  for (int k = s.layers; k >= 0; k--) {
    const float* z_in = hidden + k * map + (size_t)first * r;
    float* dz_out = hidden + (2 * maps + k) * map + (size_t)first * r;
    const float* norm = parameters + s.norms_at[k];
    for (int i = threadIdx.x; i < tile * r; i += blockDim.x) z[i] = i < rows * r ? z_in[i] : 0.f;
    if (k > 0) {
      const float* w = parameters + s.maps_at[k];
      for (int i = threadIdx.x; i < r * r; i += blockDim.x) weights[i] = w[i];
    }
    __syncthreads();
    for (int l = threadIdx.x / 32; l < rows; l += blockDim.x / 32) {
      float mean, scale, g[MOST_PER_LANE], sum = 0.f, dot = 0.f;
      row_statistics(s, z + l * r, mean, scale);
#pragma unroll
      for (int p = 0; p < MOST_PER_LANE; p++) {
        int j = threadIdx.x % 32 + 32 * p;
        g[p] = 0.f;
        if (j >= r) continue;
        float x = (z[l * r + j] - mean) * scale, n = x;
        if (s.norm == 2) n = x * norm[j] + norm[r + j];
        g[p] = da[l * r + j] * slope(s.act, n);
        // For the gradients of the norm's parameters: dn and dn * xhat, in place of da and z.
        if (s.norm == 2) da[l * r + j] = g[p], g[p] *= norm[j];
        sum += g[p], dot += g[p] * x;
      }
      float shift = 0.f, pull = 0.f;
      if (s.norm != 0) dot = warp_sum(dot) / r;
      if (s.norm == 2) shift = warp_sum(sum) / r, pull = dot;
      // x = z * scale, rms = 1 / scale - 1e-8: the pull on z is dot * scale / rms.
      if (s.norm == 1) {
        float rms = 1.f / scale - 1e-8f;
        pull = rms > 0.f ? dot / (rms * scale) : 0.f;
      }
#pragma unroll
      for (int p = 0; p < MOST_PER_LANE; p++) {
        int j = threadIdx.x % 32 + 32 * p;
        if (j >= r) continue;
        float x = (z[l * r + j] - mean) * scale, d = scale * (g[p] - shift - x * pull);
        // A residual layer's output gradient reaches its input unchanged.
        if (s.residual) d += dz[l * r + j];
        dz[l * r + j] = d, dz_out[l * r + j] = d, z[l * r + j] = x;
      }
    }
    __syncthreads();
    if (s.norm == 2)
      for (int j = threadIdx.x; j < 2 * r; j += blockDim.x) {
        float sum = 0.f;
        for (int l = 0; l < rows; l++)
          sum += j < r ? da[l * r + j] * z[l * r + j] : da[l * r + j - r];
        partials[((size_t)blockIdx.x * maps + k) * 2 * r + j] = sum;
      }
    if (k == 0) return;
    float sum[EACH];
#pragma unroll
    for (int e = 0; e < EACH; e++) sum[e] = 0.f;
    if (group < groups)
      for (int j = 0; j < r; j++) {
        float w = weights[j * r + o];
#pragma unroll
        for (int e = 0; e < EACH; e++) sum[e] += w * dz[(group * EACH + e) * r + j];
      }
    __syncthreads();
    if (group < groups)
#pragma unroll
      for (int e = 0; e < EACH; e++) da[(group * EACH + e) * r + o] = sum[e];
  }
}
KERNEL(rpe_hidden_backward_1, 256,
       (Rpe s, const float* parameters, float* hidden, float* partials),
       rpe_hidden_backward<1>(s, parameters, hidden, partials))
KERNEL(rpe_hidden_backward_4, 256,
       (Rpe s, const float* parameters, float* hidden, float* partials),
       rpe_hidden_backward<4>(s, parameters, hidden, partials))

// Gradients of the first and the hidden maps over `each` rows: blockIdx.x is the map, .y the part,
// .z a tile of 64 by 64 weights. partials[part][map] = weight, then bias, `room` floats in all.
INLINE void rpe_weights_body(Rpe s, const float* hidden, float* partials, int each) {
  __shared__ float ds[16][68], as[16][68];
  int k = blockIdx.x, r = s.width, from = blockIdx.y * each, to = min(from + each, s.rows);
  size_t map = (size_t)s.rows * r, maps = s.layers + 1;
  const float* dz = hidden + (2 * maps + k) * map;
  float* out = partials + ((size_t)blockIdx.y * maps + k) * (r * r + r);
  if (k == 0) {  // the input of the first map is what is seen
    int j = threadIdx.x + blockIdx.z * blockDim.x;
    if (j >= r) return;
    float weight = 0.f, bias = 0.f;
    for (int l = from; l < to; l++) {
      float d = dz[(size_t)l * r + j];
      weight += d * seen(s, l), bias += d;
    }
    out[j] = weight, out[r + j] = bias;
    return;
  }
  const float* a = hidden + (maps + k - 1) * map;
  int tiles = (r + 63) / 64, row0 = blockIdx.z / tiles * 64, column0 = blockIdx.z % tiles * 64;
  int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
  float sum[4][4], bias[4];
#pragma unroll
  for (int i = 0; i < 4; i++) {
    bias[i] = 0.f;
#pragma unroll
    for (int j = 0; j < 4; j++) sum[i][j] = 0.f;
  }
  for (int l0 = from; l0 < to; l0 += 16) {
    for (int i = threadIdx.x; i < 16 * 64; i += 256) {
      int l = i / 64, c = i % 64;
      bool in = l0 + l < to;
      ds[l][c] = in && row0 + c < r ? dz[(size_t)(l0 + l) * r + row0 + c] : 0.f;
      as[l][c] = in && column0 + c < r ? a[(size_t)(l0 + l) * r + column0 + c] : 0.f;
    }
    __syncthreads();
#pragma unroll
    for (int l = 0; l < 16; l++) {
      float d[4], v[4];
#pragma unroll
      for (int i = 0; i < 4; i++) d[i] = ds[l][ty * 4 + i], v[i] = as[l][tx + 16 * i];
#pragma unroll
      for (int i = 0; i < 4; i++) {
        bias[i] += d[i];
#pragma unroll
        for (int j = 0; j < 4; j++) sum[i][j] += d[i] * v[j];
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < 4; i++) {
    int row = row0 + ty * 4 + i;
    if (row >= r) return;
    if (column0 == 0 && tx == 0) out[r * r + row] = bias[i];
#pragma unroll
    for (int j = 0; j < 4; j++) {
      int column = column0 + tx + 16 * j;
      if (column < r) out[row * r + column] = sum[i][j];
    }
  }
}
KERNEL(rpe_weights, 256, (Rpe s, const float* hidden, float* partials, int each),
       rpe_weights_body(s, hidden, partials, each))

// Adds the parts up: blockIdx.y is the map.
INLINE void rpe_weights_sum_body(Rpe s, const float* partials, float* gradients, int parts) {
  int k = blockIdx.y, r = s.width, i = blockIdx.x * blockDim.x + threadIdx.x;
  int weights = k == 0 ? r : r * r;
  if (i >= weights + (s.bias ? r : 0)) return;
  size_t stride = (size_t)(s.layers + 1) * (r * r + r);
  float sum = 0.f;
  for (int p = 0; p < parts; p++) sum += partials[p * stride + (size_t)k * (r * r + r) + i];
  gradients[s.maps_at[k] + i] += sum;
}
KERNEL(rpe_weights_sum, 256, (Rpe s, const float* partials, float* gradients, int parts),
       rpe_weights_sum_body(s, partials, gradients, parts))
