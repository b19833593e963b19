//! The kernels of a trained network, as conversions read them.

use super::source::KernelSource;
use crate::checkpoint::Checkpoint;
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
/// A tensor is missing or has another shape; there are no heads or channels; each layer has two operators, of an image.
pub fn operators(checkpoint: &Checkpoint) -> Result<Vec<Toeplitz<f64>>, ReferenceError> {
    let Checkpoint { config, tensors } = checkpoint;
    if config.toeplitz.image.is_some() {
        return Err(ReferenceError::Image);
    }
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

fn kernels<'a>(
    operators: &'a [Toeplitz<f64>],
    length: usize,
    side: Side,
) -> Vec<TrainedKernels<'a>> {
    let kernels = |operator: &'a Toeplitz<f64>| TrainedKernels {
        operator,
        length: operator.streaming_length(length),
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
        self.operator
            .gamma()
            .filter(|_| self.operator.decay_is_factor())
            .map(<[f64]>::to_vec)
    }

    fn tail_bound(&self, from: usize) -> Option<Vec<f64>> {
        // decays and bounds are of a lag's size alone
        let from = match self.side {
            Side::Forward => from,
            Side::Backward => from + 1,
        };
        self.operator.tail_bound(from, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Method;
    use super::super::layer::convert_layer;
    use super::super::search::TOLERANCE;
    use super::*;
    use crate::checkpoint::config::{Activation, RpeInput, ToeplitzKind};
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

    /// The bundled network's RPEs, smooth and read as responses at `bins` frequencies.
    fn responses(bins: Option<usize>) -> Vec<Toeplitz<f64>> {
        let mut checkpoint = testing::checkpoint("shakespeare-32x2");
        let toeplitz = &mut checkpoint.config.toeplitz;
        (toeplitz.kind, toeplitz.rpe_input) = (ToeplitzKind::Fd, RpeInput::Cosine);
        (toeplitz.decay, toeplitz.rpe_act) = (false, Activation::Silu);
        toeplitz.bins = bins;
        operators(&checkpoint).unwrap()
    }

    /// The kernel ends, so what is certified holds for ever; whatever length it was trained at, it is the same.
    #[test]
    fn responses_are_converted_like_any_kernel() {
        let layers = responses(Some(128));
        for (source, other) in trained_kernels(&layers, 64)
            .iter()
            .zip(trained_kernels(&layers, 4096))
        {
            assert_eq!(source.kernel(0..300), other.kernel(0..300));
            let converted = convert_layer(source, &Method::default()).unwrap();
            assert_eq!(converted.certificate.lags, None);
            assert!(converted.kernel_error.rms <= TOLERANCE);
            assert!(converted.modal.states_per_channel() < 64);
        }
    }

    /// At as many frequencies as a stream needs, kernels no longer meet their own beginning: at 128 positions the
    /// network's kernel is the stream's with what comes 256 lags later (and before) added.
    #[test]
    fn a_stream_has_the_kernel_of_a_fine_grid() {
        let layers = responses(None);
        for (layer, stream) in layers.iter().zip(trained_kernels(&layers, 128)) {
            let (short, fine) = (layer.kernel(0..128, 128), stream.kernel(0..1000));
            for lag in [1, 5, 100] {
                for channel in [0, 40] {
                    let later = |by: usize| fine[[by, channel]];
                    let mut folded = later(lag) + later(256 + lag) + later(512 + lag);
                    folded += later(256 - lag) + later(512 - lag);
                    let error = (short[[lag, channel]] - folded).abs();
                    let rest = 1e-6 * fine.column(channel).mapv(f64::abs).sum();
                    assert!(error <= rest, "lag {lag}: {error} of {rest}");
                }
            }
        }
    }

    #[test]
    fn a_causal_network_has_no_backward_side() {
        assert_eq!(backward_kernels(&layers(true), 512).len(), 0);
    }
}
