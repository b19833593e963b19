//! The kernels of a trained network, as conversions read them.

use super::source::KernelSource;
use crate::checkpoint::Checkpoint;
use crate::checkpoint::config::Activation;
use crate::reference::ReferenceError;
use crate::reference::toeplitz::Toeplitz;
use ndarray::{Array2, s};
use std::ops::Range;

/// One layer's kernels over the lags of one side, evaluated from its RPE in f64.
#[derive(Clone, Copy, Debug)]
pub struct TrainedKernels<'a> {
    operator: &'a Toeplitz<f64>,
    length: usize,
    side: Side,
}

/// Of the lags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// From 0 on.
    Forward,
    /// Below zero: index `i` is lag `-1 - i`.
    Backward,
}

/// The operators of all layers of a checkpoint, in f64: of a large network a small part.
///
/// # Errors
/// A tensor is missing or has another shape; there are no heads or channels.
pub fn operators(checkpoint: &Checkpoint) -> Result<Vec<Toeplitz<f64>>, ReferenceError> {
    let Checkpoint { config, tensors } = checkpoint;
    let (heads, channels) = (config.num_heads, config.channels());
    if heads == 0 {
        return Err(ReferenceError::Zero { what: "num_heads" });
    }
    let operator = |layer| {
        let prefix = format!("layers.{layer}.token_mixer.toep.");
        Toeplitz::from_tensors(
            &config.toeplitz,
            heads,
            channels / heads,
            config.causal,
            config.bias,
            tensors,
            &prefix,
        )
    };
    (0..config.layers).map(operator).collect()
}

/// The kernels of all layers over lags from 0 on. RPEs whose input depends on the sequence's length are given
/// `length`: a recurrence cannot know how long its sequence will be.
pub fn trained_kernels(operators: &[Toeplitz<f64>], length: usize) -> Vec<TrainedKernels<'_>> {
    kernels(operators, length, Side::Forward)
}

/// The kernels of all layers of a bidirectional network over lags below zero, index `i` for lag `-1 - i`. None of a
/// causal one.
pub fn backward_kernels(operators: &[Toeplitz<f64>], length: usize) -> Vec<TrainedKernels<'_>> {
    let mut kernels = kernels(operators, length, Side::Backward);
    kernels.retain(|kernels| !kernels.operator.causal());
    kernels
}

fn kernels(operators: &[Toeplitz<f64>], length: usize, side: Side) -> Vec<TrainedKernels<'_>> {
    let kernels = |operator| TrainedKernels {
        operator,
        length,
        side,
    };
    operators.iter().map(kernels).collect()
}

impl KernelSource for TrainedKernels<'_> {
    fn channels(&self) -> usize {
        self.operator.channels()
    }

    fn kernel(&self, lags: Range<usize>) -> Array2<f64> {
        let (start, end) = (lags.start as i64, lags.end as i64);
        match self.side {
            Side::Forward => self.operator.kernel(start..end, self.length),
            Side::Backward => {
                let kernel = self.operator.kernel(-end..-start, self.length);
                let outwards = kernel.slice(s![..;-1, ..]);
                outwards.as_standard_layout().into_owned()
            }
        }
    }

    fn decay(&self) -> Option<Vec<f64>> {
        let separable = self.operator.activation() == Activation::None;
        self.operator
            .gamma()
            .filter(|_| separable)
            .map(<[f64]>::to_vec)
    }

    fn tail_bound(&self, from: usize) -> Option<Vec<f64>> {
        // decays and bounds are of a lag's size alone
        self.operator.tail_bound(match self.side {
            Side::Forward => from,
            Side::Backward => from + 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::testing;

    /// The bundled network, whose RPE goes on below zero, as a bidirectional one.
    fn layers(causal: bool) -> Vec<Toeplitz<f64>> {
        let mut checkpoint = testing::checkpoint("shakespeare-32x2");
        checkpoint.config.causal = causal;
        operators(&checkpoint).unwrap()
    }

    #[test]
    fn both_sides_are_the_operators_kernel() {
        let layers = layers(false);
        let sides = [trained_kernels, backward_kernels].map(|side| side(&layers, 512));
        let [forward, backward] = sides;
        assert_eq!((forward.len(), backward.len()), (2, 2));
        for (i, layer) in layers.iter().enumerate() {
            let whole = layer.kernel(-9..10, 512);
            let above = forward[i].kernel(3..10);
            assert_eq!(above, whole.slice(s![12.., ..]));
            let below = backward[i].kernel(2..9);
            assert_eq!(below, whole.slice(s![..7;-1, ..]));
        }
    }

    #[test]
    fn tails_are_bounded_on_both_sides() {
        let layers = layers(false);
        for side in [trained_kernels, backward_kernels] {
            for kernels in side(&layers, 512) {
                let bounds = kernels.tail_bound(50).unwrap();
                let tail = kernels.kernel(50..3000);
                for (bound, column) in bounds.iter().zip(tail.columns()) {
                    assert!(column.iter().map(|x| x.abs()).sum::<f64>() <= *bound);
                }
            }
        }
    }

    #[test]
    fn a_causal_network_has_no_backward_side() {
        assert_eq!(backward_kernels(&layers(true), 512).len(), 0);
    }
}
