//! The kernels of a trained network, as conversions read them.

use super::source::KernelSource;
use crate::checkpoint::config::Activation;
use crate::reference::Network;
use crate::reference::layer::Layer;
use crate::reference::toeplitz::Toeplitz;
use ndarray::Array2;
use std::ops::Range;

/// One layer's causal kernels, evaluated from its RPE in f64.
#[derive(Clone, Copy, Debug)]
pub struct TrainedKernels<'a> {
    operator: &'a Toeplitz<f64>,
    train_len: usize,
}

/// The kernels of all layers. RPEs whose input depends on the sequence's length are given
/// `train_len`: a recurrence cannot know how long its sequence will be.
pub fn trained_kernels(network: &Network<f64>, train_len: usize) -> Vec<TrainedKernels<'_>> {
    let operators = network.layers().iter().map(Layer::toeplitz);
    operators
        .map(|operator| TrainedKernels {
            operator,
            train_len,
        })
        .collect()
}

impl KernelSource for TrainedKernels<'_> {
    fn channels(&self) -> usize {
        self.operator.channels()
    }

    fn kernel(&self, lags: Range<usize>) -> Array2<f64> {
        self.operator
            .kernel(lags.start as i64..lags.end as i64, self.train_len)
    }

    fn decay(&self) -> Option<Vec<f64>> {
        let separable = self.operator.activation() == Activation::None;
        self.operator
            .gamma()
            .filter(|_| separable)
            .map(<[f64]>::to_vec)
    }

    fn tail_bound(&self, from: usize) -> Option<Vec<f64>> {
        self.operator.tail_bound(from)
    }
}
