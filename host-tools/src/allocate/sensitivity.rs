//! What a change of the network does to its predictions, measured on a text; of a classifier, on clips.
//!
//! The divergence grows with the square of a small kernel error, and the changes of different layers add up
//! as if they were independent. Measured on the reductions of 13 layers of two networks: divergence over
//! squared error stays within a factor of two of its median over a layer's reductions, errors from .2 to
//! .002, and differs between layers and networks by a factor of 80. So a layer is probed once, and
//! others of its reductions only when they are about to be chosen.

use crate::checkpoint::config::Pooling;
use crate::convert::modal::Modal;
use crate::quantize::MatrixName;
use crate::quantize::calibrate::Sample;
use crate::reference::evaluate::{divergence, entropy};
use crate::reference::mix::{FftMix, Given, Mix, Padded, Trained};
use crate::reference::network::pooled;
use crate::reference::{AsTrained, Input, Linear, Maps, Network, Place, ReferenceError};
use ndarray::{Array2, ArrayView2, Axis, s};
use rayon::prelude::*;
use std::convert::Infallible;
use std::f64::consts::LN_2;
use std::ops::Range;

/// Most positions whose predictions are compared: a large vocabulary's head costs more than a layer.
const POSITIONS: usize = 256;

/// A network's own predictions on a text or on clips, with what each layer was given.
pub struct Sensitivity<'a> {
    network: &'a Network<f32>,
    trained: Padded<FftMix<f32, Trained<'a, f32>>>,
    windows: Vec<Window>,
    /// Positions that sequences are padded to: clips have as many lengths as there are clips, for each of which
    /// spectra would be kept.
    padded: usize,
}

/// A window of the text, or a clip.
struct Window {
    read: Read,
    /// What each layer is given, `[n, dim]`.
    inputs: Vec<Array2<f32>>,
    /// Positions that are compared; of a clip one stands for all.
    positions: Vec<usize>,
    /// The trained network's logits there, or of the clip.
    logits: Array2<f32>,
}

/// What the network read.
enum Read {
    Tokens(Vec<u32>),
    /// `[n, frame_dim]`.
    Frames(Array2<f32>),
}

impl From<Input<'_>> for Read {
    fn from(input: Input<'_>) -> Self {
        match input {
            Input::Tokens(tokens) => Self::Tokens(tokens.into()),
            Input::Frames(frames) => Self::Frames(frames.to_owned()),
        }
    }
}

impl<'a> Sensitivity<'a> {
    /// Runs `network` on `sample`.
    ///
    /// # Errors
    /// The sample is empty, or not what the network reads.
    pub fn new(network: &'a Network<f32>, sample: &Sample) -> Result<Self, ReferenceError> {
        let windows: Vec<Input<'_>> = sample.sequences().collect();
        let longest = windows.iter().map(Input::len).max().unwrap_or(0);
        // a classifier has one prediction a clip
        let (each, padded) = match network.pooling() {
            Some(_) => (1, longest),
            None => (POSITIONS.div_ceil(windows.len().max(1)), 0),
        };
        let trained = Padded::new(network.trained_mix(), padded);
        let run = |sequence: &Input<'_>| {
            let mut inputs = Vec::with_capacity(network.layers().len());
            let mut x = network.enter(*sequence)?;
            for (i, layer) in network.layers().iter().enumerate() {
                inputs.push(x.clone());
                x = layer.forward(x, |v| trained.mix(i, v));
            }
            let count = each.min(sequence.len());
            // evenly spread, the last position among them
            let positions = (1..=count).map(|i| i * sequence.len() / count - 1);
            let positions: Vec<usize> = positions.collect();
            Ok(Window {
                read: (*sequence).into(),
                logits: network.head().forward(&before_head(network, x, &positions)),
                inputs,
                positions,
            })
        };
        let windows = windows.par_iter().map(run);
        let windows = windows.collect::<Result<Vec<_>, ReferenceError>>()?;
        match windows.is_empty() {
            true => Err(ReferenceError::EmptySequence),
            false => Ok(Self {
                network,
                trained,
                windows,
                padded,
            }),
        }
    }

    /// Mean entropy of the trained network's predictions, in bits a token or a clip: what it expects its own loss
    /// to be.
    pub fn entropy(&self) -> f64 {
        self.mean(|window| window.logits.rows().into_iter().map(entropy).sum())
    }

    /// The divergence, in bits a token, of the predictions with `layer`'s operator replaced.
    ///
    /// # Errors
    /// `modal` has other channels than the network.
    pub fn of_layer(&self, layer: usize, modal: &Modal) -> Result<f64, ReferenceError> {
        self.replaced(layer..layer + 1, &[modal])
    }

    /// The same with all layers' operators replaced.
    ///
    /// # Errors
    /// There is not one recurrence a layer, of the network's channels.
    pub fn of_all(&self, layers: &[&Modal]) -> Result<f64, ReferenceError> {
        self.replaced(0..layers.len(), layers)
    }

    fn replaced(&self, which: Range<usize>, modals: &[&Modal]) -> Result<f64, ReferenceError> {
        let longest = self.windows.iter().map(|w| w.inputs[0].nrows()).max();
        let lags = longest.unwrap_or(0);
        let kernels: Vec<_> = modals
            .par_iter()
            .map(|modal| modal.to_f32_safe().kernel(0..lags))
            .collect();
        let replaced = Replaced {
            trained: &self.trained,
            given: FftMix::new(Given::new(&kernels)?),
            which: which.clone(),
        };
        let replaced = Padded::new(replaced, self.padded);
        let head = self.network.head();
        let changed = |window: &Window| {
            let x = window.inputs[which.start].clone();
            let x = self.run(window, which.start, x, &replaced, &mut AsTrained);
            head.forward(&x)
        };
        Ok(self.mean(|window| window.diverged(changed(window).view())))
    }

    /// The divergence, in bits a token, of the predictions with `values` in place of a matrix.
    /// Activations stay as they are.
    ///
    /// # Panics
    /// The matrix has another shape.
    pub fn of_matrix(&self, name: MatrixName, values: ArrayView2<'_, f32>) -> f64 {
        let network = self.network;
        let in_layer = |layer: usize, maps: Replacement<'_>, head: &Linear<f32>| {
            self.mean(|window| {
                let x = window.inputs[layer].clone();
                let mut maps = maps;
                let x = self.run(window, layer, x, &self.trained, &mut maps);
                window.diverged(head.forward(&x).view())
            })
        };
        match name {
            MatrixName::Layer(layer, place) => {
                let at = Some(place);
                in_layer(layer, Replacement { at, values }, network.head())
            }
            MatrixName::Head => {
                let head = network.head().with_weights(values);
                let last = network.layers().len() - 1;
                in_layer(last, Replacement { at: None, values }, &head)
            }
            MatrixName::Embedding => {
                let tied = network.is_tied();
                let head = tied.then(|| network.head().with_weights(values));
                let head = head.as_ref().unwrap_or(network.head());
                let map = network.frames().map(|map| map.with_weights(values));
                self.mean(|window| {
                    let x = match (&window.read, &map) {
                        (Read::Frames(frames), Some(map)) => map.forward(frames),
                        (Read::Tokens(tokens), _) => {
                            let rows: Vec<usize> = tokens.iter().map(|t| *t as usize).collect();
                            values.select(Axis(0), &rows) * network.embed_scale()
                        }
                        (Read::Frames(_), None) => unreachable!("the network has read frames"),
                    };
                    let x = self.run(window, 0, x, &self.trained, &mut AsTrained);
                    window.diverged(head.forward(&x).view())
                })
            }
        }
    }

    /// What the head is given at a window's positions, if layer `from` is given `x`, with `mix` from there
    /// on and `maps` in that layer alone.
    fn run(
        &self,
        window: &Window,
        from: usize,
        x: Array2<f32>,
        mix: &dyn Mix<f32>,
        maps: &mut impl Maps<f32, Error = Infallible>,
    ) -> Array2<f32> {
        let layers = self.network.layers();
        let Ok(mut x) = layers[from].forward_with(x, |v| mix.mix(from, v), maps);
        for (i, layer) in layers.iter().enumerate().skip(from + 1) {
            x = layer.forward(x, |v| mix.mix(i, v));
        }
        before_head(self.network, x, &window.positions)
    }

    /// The mean over positions, in bits, of what windows give in nats, summed over theirs. Summed in the
    /// text's order, so that it does not depend on the threads.
    fn mean(&self, nats: impl Fn(&Window) -> f64 + Sync) -> f64 {
        let nats: Vec<f64> = self.windows.par_iter().map(&nats).collect();
        let positions: usize = self.windows.iter().map(|w| w.positions.len()).sum();
        nats.iter().sum::<f64>() / positions as f64 / LN_2
    }
}

impl Window {
    /// Divergence of `logits`, in nats, summed over the positions.
    fn diverged(&self, logits: ArrayView2<f32>) -> f64 {
        let rows = self.logits.rows().into_iter().zip(logits.rows());
        rows.map(|(trained, found)| divergence(trained, found))
            .sum()
    }
}

/// What the head is given of the last layer's output: at `positions`, or of a clip the vector that stands for it.
fn before_head(network: &Network<f32>, mut x: Array2<f32>, positions: &[usize]) -> Array2<f32> {
    if network.pooling() != Some(Pooling::Mean) {
        // the last position is among those that are compared
        let mut x = x.select(Axis(0), positions);
        network.final_norm().apply(&mut x);
        return x;
    }
    network.final_norm().apply(&mut x);
    pooled(x.view(), Pooling::Mean).insert_axis(Axis(0))
}

/// Computes the maps at a place with other weights, those of all maps one below the other.
#[derive(Clone, Copy)]
struct Replacement<'a> {
    at: Option<Place>,
    values: ArrayView2<'a, f32>,
}

impl Maps<f32> for Replacement<'_> {
    type Error = Infallible;

    fn apply<const N: usize>(
        &mut self,
        place: Place,
        maps: [&Linear<f32>; N],
        x: &Array2<f32>,
    ) -> Result<[Array2<f32>; N], Infallible> {
        if self.at != Some(place) {
            return AsTrained.apply(place, maps, x);
        }
        let mut start = 0;
        Ok(maps.map(|map| {
            let rows = start..start + map.weights().nrows();
            start = rows.end;
            map.with_weights(self.values.slice(s![rows, ..])).forward(x)
        }))
    }
}

/// The trained mixing with some layers' operators replaced.
struct Replaced<'a> {
    trained: &'a dyn Mix<f32>,
    /// Of the layers `which`, from the first of them on.
    given: FftMix<f32, Given<f32>>,
    which: Range<usize>,
}

impl Mix<f32> for Replaced<'_> {
    fn layers(&self) -> usize {
        self.trained.layers()
    }

    fn channels(&self) -> usize {
        self.trained.channels()
    }

    fn mix(&self, layer: usize, v: ArrayView2<f32>) -> Array2<f32> {
        match self.which.contains(&layer) {
            true => self.given.mix(layer - self.which.start, v),
            false => self.trained.mix(layer, v),
        }
    }
}
