//! Toeplitz kernels to recurrences.

pub mod bare;
pub mod certificate;
pub mod check;
pub mod conversion;
pub mod error;
pub mod etsc;
pub mod fir;
pub mod layer;
pub mod measure;
pub mod modal;
pub mod network;
pub mod reduced;
pub mod rounding;
pub mod search;
pub mod source;
#[cfg(test)]
pub(crate) mod test_kernels;
pub mod warning;

pub use certificate::Certificate;
pub use error::{ConvertError, LayerError};
pub use layer::{LayerConversion, Method, convert_layer, convert_layers};
pub use measure::KernelError;
pub use modal::Modal;
pub use search::Search;
pub use source::KernelSource;
pub use warning::Warning;
