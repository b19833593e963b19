//! What a report says, before it is drawn.

use super::sizes::Sizes;
use crate::convert::measure::KernelError;
use num_complex::Complex64;

/// A conversion.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was converted: the name of a checkpoint or of a kernel's file.
    pub subject: String,
    /// What the reader should know first: names and values.
    pub facts: Vec<(&'static str, String)>,
    /// The command line that gives the same result.
    pub command: String,
    /// What the user should know, a sentence each.
    pub warnings: Vec<String>,
    /// Bound of a layer's kernel error that was searched for, if one was.
    pub tolerance: Option<f64>,
    /// The network's training length; none for a bare kernel.
    pub trained_at: Option<usize>,
    /// The layers; one for a bare kernel.
    pub layers: Vec<Layer>,
    /// The model written; none for a bare kernel.
    pub model: Option<Model>,
}

/// A layer's recurrence and how far it is from the kernels.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Name of the method.
    pub method: &'static str,
    /// Taps a channel.
    pub taps: usize,
    /// States a channel.
    pub order: usize,
    /// Relative l2 error of the kernels as the conversion measured it, over all channels.
    pub error: KernelError,
    /// Lags that `error` and the measured norms of the certificate are about.
    pub measured_lags: usize,
    /// Bound of the error's peak over frequency, of the layer as one operator, relative to the kernel's own peak; none of a
    /// kernel that is zero.
    pub hinf: Option<f64>,
    /// What no recurrence with as many taps and states can beat, relative to the same.
    pub lower_bound: Option<f64>,
    /// One as a multiple of the other, where there is something to compare.
    pub ratio: Option<f64>,
    /// Lags that the certificate is about; none where it holds for ever.
    pub certified_lags: Option<usize>,
    /// Poles of the modes; of a conjugate pair the one with the positive imaginary part.
    pub poles: Vec<Complex64>,
    /// Whether every channel has a decay of its own, which multiplies the poles.
    pub channel_decay: bool,
    /// Channels of the layer.
    pub channels: usize,
    /// Channels that the figures below are of, evenly spaced where they are not all.
    pub looked_at: usize,
    /// Channels worth a look: the one of median error and the worst.
    pub examples: Vec<Example>,
    /// Error by lag.
    pub by_lag: Vec<LagError>,
    /// Relative l1 norms of the channels' errors.
    pub l1: Norms,
    /// Relative l2 norms of the channels' errors.
    pub l2: Norms,
}

/// A channel's kernel beside the one that f32 arithmetic realises.
#[derive(Clone, Debug)]
pub struct Example {
    /// Why it is shown.
    pub why: &'static str,
    /// The channel.
    pub channel: usize,
    /// Its relative l2 error.
    pub error: f64,
    /// Some of its lags, rising: all extremes are among them.
    pub curve: Curve,
}

/// A kernel at some lags.
pub type Curve = Vec<Point>;

/// A kernel at a lag.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The lag.
    pub lag: usize,
    /// The true kernel.
    pub truth: f64,
    /// The realised one.
    pub realised: f64,
}

/// Root mean squares over channels and over a few lags, relative to each channel's norm over all lags.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LagError {
    /// The first of the lags.
    pub lag: usize,
    /// Of the true kernel.
    pub kernel: f64,
    /// Of its error.
    pub error: f64,
}

/// Norms of the channels' errors, relative to those of the kernels, rising by their bounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Norms {
    /// What the certificate bounds them by.
    pub bounds: Vec<f64>,
    /// What was measured, in the same order.
    pub measured: Vec<f64>,
}

/// A model: what is special to a conversion that writes one.
#[derive(Clone, Debug)]
pub struct Model {
    /// What takes how much space.
    pub sizes: Sizes,
    /// What it may take.
    pub limits: crate::allocate::Limits,
    /// Instructions a token, where they were estimated.
    pub instructions: Option<usize>,
    /// The matrices; empty where nothing was measured of them.
    pub matrices: Vec<Matrix>,
    /// Bits a byte by length, where a text was given.
    pub bits: Option<Bits>,
}

/// What became of a matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// Its name.
    pub name: String,
    /// Type of its weights.
    pub dtype: &'static str,
    /// Rows and columns.
    pub size: (usize, usize),
    /// Bytes, scales included.
    pub bytes: usize,
    /// Bits a weight, scales included.
    pub bits_per_weight: f64,
    /// Signal-to-noise ratio of the weights in decibels; none where they are as trained.
    pub weight_sqnr: Option<f64>,
    /// The same of the products' outputs, where a calibration measured it.
    pub output_sqnr: Option<f64>,
    /// Divergence of the network's predictions by this matrix alone, in bits a token, where it was measured.
    pub change: Option<f64>,
}

/// A text, and what the network and its conversions make of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Bits {
    /// The text.
    pub text: Text,
    /// What is counted: "bits/byte" or "bits/token".
    pub unit: &'static str,
    /// Figures by the length of windows.
    pub lengths: Vec<BitsAtLength>,
}

/// A text that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Its name.
    pub name: String,
    /// Its tokens.
    pub tokens: usize,
}

/// Bits a byte in windows of one length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BitsAtLength {
    /// Tokens a window.
    pub length: usize,
    /// The network as trained, by FFT.
    pub fft: f64,
    /// With the kernels that the closed form (ETSC) of the training length realises.
    pub etsc: f64,
    /// With the model's recurrences.
    pub recurrence: f64,
    /// The model as it streams.
    pub model: f64,
}
