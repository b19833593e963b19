//! Weights of a network as a blob stores them, and how they are rounded.
//!
//! [`nearest`](Matrix::nearest) looks at the weights alone. [`calibrate`](calibrate::calibrate) also looks at
//! what the matrices are given when the network reads a text, and rounds so that their outputs change
//! little. What that is worth is in the guide's page on quantization, `docs/quantization.md`.

pub mod calibrate;
mod compensated;
mod factor;
mod goal;
mod matrix;
mod moment;
mod nearest;
mod network;
mod sample;
pub mod sampled;

pub use matrix::Matrix;
pub use nearest::{
    QuantizedGroups, QuantizedRows, WeightType, quantize_group, quantize_groups, quantize_rows,
};
pub use network::{Affine, MatrixName, Weights};
