//! Prefill of long prompts through long FIR heads by FFT (feature `fft`).
//!
//! Kernels kept as taps, hundreds of them, cost a multiplication a tap, channel and token. Of a block of
//! tokens they are a convolution, which an FFT does in fewer: [`convolution`]. Layer by layer, all tokens
//! of a block go up to the inputs `v` of the Toeplitz operator; then channel by channel through the
//! operator; then on, to the end of the layer.

pub(crate) mod convolution;
mod prefill;
mod workspace;
