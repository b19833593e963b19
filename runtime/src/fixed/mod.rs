//! The numeric contract `fixed`: integers only, for cores without an FPU.
//!
//! [`Model`] and [`Session`], and those of a [`classifier`], are those of the `f32` contract in integers: a program that uses only
//! these links no function of a software float library. `toeplite convert --contract fixed` writes
//! the blobs.
//!
//! ```no_run
//! use toeplite::{Memory, fixed::{Model, sample::Sampler}};
//! # mod model_meta { pub const MEMORY_BYTES: usize = 4096; }
//! # macro_rules! include_aligned { ($path:expr) => { &[] } }
//!
//! static MODEL: &[u8] = include_aligned!("model.toep");
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = Model::from_bytes(MODEL)?;
//! let mut memory = Memory::<{ model_meta::MEMORY_BYTES }>::new();
//! let mut session = model.session(memory.as_mut_slice())?;
//! session.self_test()?;
//! let mut sampler = Sampler::new(42).with_temperature(800);        // thousandths
//! let mut token = sampler.sample(session.prefill(*b"To be")?);
//! for _ in 0..100 {
//!     token = sampler.sample(session.step(token)?);
//! }
//! # Ok(()) }
//! ```
//!
//! # Numbers
//! All is two's complement; `>>` rounds down. "Qn" counts in units of `2^-n`. What the blob says
//! is bounded by [`Model::from_bytes`] such that no operation below can overflow, whatever the
//! tokens are, unless it is said to saturate.
//!
//! **Residual stream**: i32 in QF, `F` a number of the blob. A token's row of the embedding is
//! `weight * multiplier[row]`; layers are added with saturation.
//!
//! **Input of a matrix**: a vector `x` of i32 becomes signed bytes by a scale of its own.
//! 1. LayerNorm only: the mean, `((sum x) >> b) * r >> 31` with `2^b` the least power above the
//!    width and `r = floor(2^(31+b) / width)`, is subtracted with saturation.
//! 2. `M` is the largest `x ^ (x >> 31)`, at least 1; `n` is its length in bits less 15. From here
//!    on `x` stands for `x >> n` and `M` for `M >> n` (a shift to the left if `n < 0`).
//! 3. `q = (x * floor(127 * 2^23 / M) + 2^22) >> 23`, in -127..=127.
//! 4. The factor of the vector, `mantissa * 2^exponent`, is `M * 2^n` without a norm. With one it is
//!    `floor(2^16 M / floor(sqrt(S / 4^j)))` times `2^(-16-j)`, one place less of the mantissa where
//!    that has 16 bits; `S` is the sum of `x * x`, plus `1e-5 * width` in its units with LayerNorm and
//!    ScaleNorm; `j` makes 31 or 32 bits of it. The `1e-8` of RMSNorms is left out.
//!
//! **Product**: `sums[r]` is the exact sum of `weight[r][c] * q[c]`; of weights of four bits, `weight` is
//! `integer * group scale`, in -1785..=1785. `from_bytes` proves that a sum has at most 17 bits, with the sign, after
//! its shift by `low`; before, it is below `127 * 127 * 2^17` or `127 * 1785 * 2^13`, and so below 2^31. The number of row `r` is
//! `(((sums[r] >> low) * ((multiplier[r] * mantissa) >> 16)) >> (places - exponent)) + bias[r]`, with
//! multipliers of a row each and `low`, `places` of a matrix each; a shift by a negative number goes to
//! the left and saturates at 2^30. Scales and biases of the norm, `sqrt(width)` and `1 / 127` are in weights and
//! multipliers. Numbers of the first products of GTU and GLU are in Q11 and saturate at 16 bits;
//! those of the second are in QF, logits in [`LOGIT_BITS`] places.
//!
//! **Activations** map Q11 to Q11: `silu(x) = (x * sigmoid(x) + 2^14) >> 15`; see [`activation`].
//!
//! **Recurrence**: taps, poles and residues of i16, states of i32. A mode with state `s` has the
//! pole `1 + e / 2^(low + down)` and takes the input `x` by
//! `y += r * (s >> low); s += ((e * (s >> low)) >> down) + (x << input)`, the parts of complex
//! numbers on their own. `y` takes the state before the step, so the residue stored is `r * pole`,
//! and the share of the newest input, `Re r`, is one more tap. Poles lie strictly inside the unit circle, and
//! no state can leave 31 bits: both are proved by `from_bytes` in integers. At each step one mode after the
//! other has its states set to zero where all of a channel's are below `2^rest`. `from_bytes` proves
//! that what rounding keeps alive is smaller, so that silence decays to exactly zero.
//!
//! **Classifiers**: a frame's numbers are i32 in Q[`FRAME_BITS`], an input of the map of frames as other inputs of matrices are. What is
//! pooled: see [`classifier`](classifier#numbers).
//!
//! **Gates**: the GTU's is `(y >> n) * u`, `n >= 0` such that all `y >> n` have 16 bits; the GLU's is
//! `gate * value`.

pub mod activation;
pub mod classifier;
pub mod model;
pub mod number;
pub mod sample;
pub mod table;

#[cfg(feature = "bench")]
mod bench;
mod check;
mod dense;
mod pass;
mod prefill;
mod quantize;
mod recurrence;
mod session;

pub use check::Bounds;
pub use model::Model;
pub use session::Session;

/// Places after the point of activations.
pub const ACTIVATION_BITS: i32 = 11;
/// Places after the point of logits.
pub const LOGIT_BITS: i32 = 16;
/// Places after the point of the numbers of a [classifier]'s frames.
pub const FRAME_BITS: i32 = 16;
