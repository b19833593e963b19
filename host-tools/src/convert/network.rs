//! The kernels of a trained network, as conversions read them.

use super::source::KernelSource;
use crate::checkpoint::config::Activation;
use crate::reference::Network;
use crate::reference::layer::Layer;
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

/// The kernels of all layers over lags from 0 on. RPEs whose input depends on the sequence's length are given
/// `length`: a recurrence cannot know how long its sequence will be.
pub fn trained_kernels(network: &Network<f64>, length: usize) -> Vec<TrainedKernels<'_>> {
    kernels(network, length, Side::Forward)
}

/// The kernels of all layers of a bidirectional network over lags below zero, index `i` for lag `-1 - i`. None of a
/// causal one.
pub fn backward_kernels(network: &Network<f64>, length: usize) -> Vec<TrainedKernels<'_>> {
    let mut kernels = kernels(network, length, Side::Backward);
    kernels.retain(|kernels| !kernels.operator.causal());
    kernels
}

fn kernels(network: &Network<f64>, length: usize, side: Side) -> Vec<TrainedKernels<'_>> {
    let operators = network.layers().iter().map(Layer::toeplitz);
    operators
        .map(|operator| TrainedKernels {
            operator,
            length,
            side,
        })
        .collect()
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
    fn network(causal: bool) -> Network<f64> {
        let mut checkpoint = testing::checkpoint("shakespeare-32x2");
        checkpoint.config.causal = causal;
        Network::from_checkpoint(&checkpoint).unwrap()
    }

    #[test]
    fn both_sides_are_the_operators_kernel() {
        let network = network(false);
        let sides = [trained_kernels, backward_kernels].map(|side| side(&network, 512));
        let [forward, backward] = sides;
        assert_eq!((forward.len(), backward.len()), (2, 2));
        for (i, layer) in network.layers().iter().enumerate() {
            let whole = layer.toeplitz().kernel(-9..10, 512);
            let above = forward[i].kernel(3..10);
            assert_eq!(above, whole.slice(s![12.., ..]));
            let below = backward[i].kernel(2..9);
            assert_eq!(below, whole.slice(s![..7;-1, ..]));
        }
    }

    #[test]
    fn tails_are_bounded_on_both_sides() {
        let network = network(false);
        for side in [trained_kernels, backward_kernels] {
            for kernels in side(&network, 512) {
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
        assert_eq!(backward_kernels(&network(true), 512).len(), 0);
    }
}
