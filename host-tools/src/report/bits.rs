//! Bits a byte of the network, of the published closed form, and of the model, by length.

use super::data::BitsAtLength;
use crate::blob::AnyModel;
use crate::checkpoint::Checkpoint;
use crate::compare::{CompareError, compare};
use crate::convert::layer::{Method, convert_layers};
use crate::convert::network::{operators, trained_kernels};
use crate::convert::{LayerError, Modal};
use crate::reference::evaluate::EvaluateError;
use crate::reference::mix::{FftMix, Kernels};
use crate::reference::product::Kernel;
use crate::reference::{Network, ReferenceError, evaluate};
use thiserror::Error;

/// Lengths of windows that are measured, where the text is as long.
pub const LENGTHS: [usize; 3] = [512, 2048, 8192];

/// Why there are no figures.
#[derive(Debug, Error)]
pub enum BitsError {
    /// The network cannot be run.
    #[error(transparent)]
    Network(#[from] ReferenceError),
    /// A layer has no closed form.
    #[error("the closed form: {0}")]
    ClosedForm(#[from] LayerError),
    /// The text cannot be scored.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError<ReferenceError>),
    /// The model cannot be compared on it.
    #[error(transparent)]
    Compare(#[from] CompareError),
    /// The network does not predict what comes next.
    #[error("the network is bidirectional: it has no bits a byte")]
    Bidirectional,
}

/// The [`LENGTHS`] that a text of so many tokens has, or its own where it is shorter than all.
pub fn lengths(tokens: usize) -> Vec<usize> {
    let targets = tokens.saturating_sub(1);
    let fitting: Vec<usize> = LENGTHS
        .into_iter()
        .filter(|length| *length <= targets)
        .collect();
    if fitting.is_empty() {
        vec![targets]
    } else {
        fitting
    }
}

/// Measures at all [`lengths`]. `progress` is told the share that is done; it is called from several threads.
///
/// # Errors
/// [`BitsError`].
pub fn bits_by_length(
    checkpoint: &Checkpoint,
    model: AnyModel<'_>,
    tokens: &[u32],
    progress: impl Fn(f64) + Sync,
) -> Result<Vec<BitsAtLength>, BitsError> {
    let closed = FftMix::new(closed_form(checkpoint)?);
    let network = Network::<f32>::from_checkpoint(checkpoint)?;
    let lengths = lengths(tokens.len());
    let passes = 2.0 * lengths.len() as f64;
    let told = |pass: usize| {
        let progress = &progress;
        move |done: usize| progress((pass as f64 + done as f64 / tokens.len() as f64) / passes)
    };
    let mut out = Vec::new();
    for (i, &length) in lengths.iter().enumerate() {
        let etsc = evaluate(tokens, length, network.scorer(&closed), &told(2 * i))?;
        let compared = compare(&network, model, tokens, length, told(2 * i + 1))?;
        let compared = compared.bits_per_byte.ok_or(BitsError::Bidirectional)?;
        out.push(BitsAtLength {
            length,
            fft: compared.fft,
            etsc: etsc.bits_per_token,
            recurrence: compared.recurrence,
            model: compared.blob,
        });
    }
    Ok(out)
}

/// The closed form of every layer's first lags, as many as the network was trained at.
fn closed_form(checkpoint: &Checkpoint) -> Result<Realised, BitsError> {
    let operators = operators(checkpoint)?;
    let lags = checkpoint.config.train_len;
    let layers = convert_layers(&trained_kernels(&operators, lags), &Method::Etsc { lags })?;
    Ok(Realised(
        layers
            .into_iter()
            .map(|layer| layer.modal.to_f32_safe())
            .collect(),
    ))
}

/// The kernels that recurrences realise, to be applied by FFT: stepping through hundreds of modes a channel
/// would take minutes, for the same figures.
struct Realised(Vec<Modal>);

impl Kernels<f32> for Realised {
    fn layers(&self) -> usize {
        self.0.len()
    }

    fn channels(&self) -> usize {
        self.0.first().map_or(0, Modal::channels)
    }

    fn kernel(&self, layer: usize, n: usize) -> Kernel<f32> {
        Kernel::causal(self.0[layer].kernel(0..n).mapv(|x| x as f32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_limited_by_the_text() {
        assert_eq!(lengths(65_536), LENGTHS);
        assert_eq!(lengths(2049), [512, 2048]);
        assert_eq!(lengths(2048), [512]);
        assert_eq!(lengths(100), [99]);
    }
}
