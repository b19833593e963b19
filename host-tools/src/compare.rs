//! A converted model beside the network that it came from.

use crate::blob::{AnyModel, StreamError};
use crate::checkpoint::Config;
use crate::reference::evaluate::{EvaluateError, Observer, argmax, divergence, nats};
use crate::reference::mix::Mix;
use crate::reference::{Network, ReferenceError, evaluate};
use crate::stream;
use ndarray::{Array2, ArrayView2};
use serde::Serialize;
use std::f64::consts::LN_2;
use std::sync::Mutex;

/// A figure for each way of running the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct PerForm {
    /// The network's weights in f32 with the blob's recurrences in place of the Toeplitz operators.
    pub recurrence: f64,
    /// The blob, through the runtime.
    pub blob: f64,
}

/// Bits a byte (a token, for models that are not byte-level).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BitsPerByte {
    /// The network as trained, by FFT.
    pub fft: f64,
    /// Its weights in f32 with the blob's recurrences.
    pub recurrence: f64,
    /// The blob, through the runtime.
    pub blob: f64,
}

/// What a comparison measured in windows of one length.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LengthComparison {
    /// Tokens a window.
    pub length: usize,
    /// Tokens predicted.
    pub targets: usize,
    /// Mean cross entropy; nothing of bidirectional models, which do not predict the next token.
    pub bits_per_byte: Option<BitsPerByte>,
    /// Share of positions where the likeliest next token is the reference's.
    pub argmax_agreement: PerForm,
    /// Mean Kullback-Leibler divergence from the reference's distribution of tokens, in bits. Never
    /// negative, and free of luck: a change of the bits per byte may be of either sign by chance.
    pub divergence: PerForm,
    /// Largest difference of a logit from the reference's.
    pub max_logit_error: PerForm,
}

/// A model whose sizes are not those of the checkpoint: it was converted from another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the model was converted from another checkpoint: {}", .0.iter().map(SizeMismatch::to_string).collect::<Vec<_>>().join(", "))]
pub struct OtherCheckpoint(pub Vec<SizeMismatch>);

/// A size that differs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{size} {model} in the model, {checkpoint} in the checkpoint")]
pub struct SizeMismatch {
    /// What differs.
    pub size: &'static str,
    /// The model's.
    pub model: usize,
    /// The checkpoint's.
    pub checkpoint: usize,
}

/// Checks that `model` has the sizes of a conversion of a checkpoint with `config`.
///
/// # Errors
/// All sizes that differ.
pub fn check_sizes<'a>(
    config: &Config,
    model: impl Into<AnyModel<'a>>,
) -> Result<(), OtherCheckpoint> {
    let model = model.into();
    let shape = model.shape();
    let (vocabulary, frame) = match config.frame_dim() {
        Some(frame) => (0, frame),
        None => (config.vocab_size, 0),
    };
    let sizes = [
        ("layers", shape.layers, config.layers),
        ("width", shape.dim, config.dim),
        ("channels", shape.channels, config.channels()),
        ("GLU width", shape.glu_dim, config.glu_dim),
        ("vocabulary", shape.vocabulary, vocabulary),
        ("numbers of a frame", shape.frame_dim, frame),
        ("logits", shape.outputs, config.outputs()),
    ];
    let differing: Vec<_> = sizes
        .into_iter()
        .filter(|(_, model, checkpoint)| model != checkpoint)
        .map(|(size, model, checkpoint)| SizeMismatch {
            size,
            model,
            checkpoint,
        })
        .collect();
    if differing.is_empty() {
        Ok(())
    } else {
        Err(OtherCheckpoint(differing))
    }
}

/// A change of the bits per byte that no conversion within the default tolerance comes near.
const SUSPICIOUS: f64 = 0.05;

impl LengthComparison {
    /// What makes one doubt that the model came from the network, if anything does.
    pub fn doubt(&self) -> Option<String> {
        let bits = self.bits_per_byte?;
        let change = bits.blob / bits.fft - 1.0;
        (change.abs() > SUSPICIOUS).then(|| {
            format!(
                "in windows of {} the model's bits differ by {:+.1}% from the network's: was this model converted \
                 from this checkpoint? If it was, it needs more states or taps",
                self.length,
                change * 100.0
            )
        })
    }
}

/// Why a comparison gave no figures.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// The network as trained cannot be run on the text.
    #[error(transparent)]
    Network(#[from] EvaluateError<ReferenceError>),
    /// The model's recurrences contradict each other.
    #[error("the model's recurrences cannot be run: {0}")]
    Mix(#[source] ReferenceError),
    /// The network with the model's recurrences cannot be run on a window.
    #[error(
        "the network with the model's recurrences fails in the window at token {start}: {source}"
    )]
    Recurrence {
        /// First token of the window.
        start: usize,
        /// Why.
        source: ReferenceError,
    },
    /// The model does not take a window.
    #[error("the model fails in the window at token {start}: {source}")]
    Model {
        /// First token of the window.
        start: usize,
        /// Why; positions are those of the window.
        source: StreamError,
    },
}

/// Compares `model` with `network` on `tokens` in windows of `length`, each from a state of rest.
/// `progress` is told how many tokens are done; it is called from several threads.
///
/// # Errors
/// The text is too short, a token is unknown, or the model does not fit the network.
pub fn compare<'a>(
    network: &Network<f32>,
    model: impl Into<AnyModel<'a>>,
    tokens: &[u32],
    length: usize,
    progress: impl Fn(usize) + Sync,
) -> Result<LengthComparison, CompareError> {
    let model = &model.into();
    let forms = Forms {
        others: Others::new(network, model)?,
        tokens,
        windows: Mutex::default(),
        progress,
    };
    let mix = network.trained_mix();
    let fft = evaluate(tokens, length, network.scorer(&mix), &forms)?;
    let mut windows = forms
        .windows
        .into_inner()
        .unwrap_or_else(|e| e.into_inner());
    // summed in the text's order, so that figures do not depend on the threads
    windows.sort_by_key(|(start, _)| *start);
    let mut total = [Deviation::default(); 2];
    for (_, window) in windows {
        total
            .iter_mut()
            .zip(window?)
            .for_each(|(total, window)| total.add(window));
    }
    let [recurrence, blob] = total;
    let targets = fft.targets as f64;
    let both = |f: fn(&Deviation) -> f64| PerForm {
        recurrence: f(&recurrence),
        blob: f(&blob),
    };
    let bits = both(|d| d.nats / LN_2);
    let agreeing = both(|d| d.agreeing as f64);
    let divergence = both(|d| d.divergence / LN_2);
    Ok(LengthComparison {
        length,
        targets: fft.targets,
        bits_per_byte: model.window().is_none().then_some(BitsPerByte {
            fft: fft.bits_per_token,
            recurrence: bits.recurrence / targets,
            blob: bits.blob / targets,
        }),
        argmax_agreement: PerForm {
            recurrence: agreeing.recurrence / targets,
            blob: agreeing.blob / targets,
        },
        divergence: PerForm {
            recurrence: divergence.recurrence / targets,
            blob: divergence.blob / targets,
        },
        max_logit_error: both(|d| d.largest),
    })
}

/// A window's first token and the deviations of the recurrence and of the blob in it.
type Window = (usize, Result<[Deviation; 2], CompareError>);

/// Scores each window that the reference has scored in the other two forms.
struct Forms<'a, P> {
    others: Others<'a>,
    tokens: &'a [u32],
    windows: Mutex<Vec<Window>>,
    progress: P,
}

impl<P: Fn(usize) + Sync> Observer for Forms<'_, P> {
    fn window(&self, start: usize, logits: ArrayView2<f32>) {
        let deviations = self.deviations(start, logits);
        self.windows
            .lock()
            .unwrap_or_else(|e| e.into_inner())
            .push((start, deviations));
    }

    fn progress(&self, tokens_done: usize) {
        (self.progress)(tokens_done);
    }
}

impl<P> Forms<'_, P> {
    fn deviations(
        &self,
        start: usize,
        reference: ArrayView2<f32>,
    ) -> Result<[Deviation; 2], CompareError> {
        let inputs = &self.tokens[start..][..reference.nrows()];
        let targets = &self.tokens[start + 1..][..reference.nrows()];
        let others = self.others.logits(start, inputs)?;
        Ok(others.map(|logits| {
            let targets = targets.iter().copied().enumerate();
            Deviation::of(logits.view(), reference, targets)
        }))
    }
}

/// The two forms beside the network as trained.
pub(crate) struct Others<'a> {
    network: &'a Network<f32>,
    model: &'a AnyModel<'a>,
    recurrence: Box<dyn Mix<f32>>,
}

impl<'a> Others<'a> {
    /// Those of `network` with the recurrences of `model`, and of `model`.
    pub fn new(network: &'a Network<f32>, model: &'a AnyModel<'a>) -> Result<Self, CompareError> {
        Ok(Self {
            network,
            model,
            recurrence: stream::mix(model).map_err(CompareError::Mix)?,
        })
    }

    /// The logits `[n, vocabulary]` of the recurrence and of the blob in a window that begins at token `start`.
    pub fn logits(&self, start: usize, inputs: &[u32]) -> Result<[Array2<f32>; 2], CompareError> {
        let recurrence = self.network.forward(inputs, &*self.recurrence);
        let blob = stream::logits(self.model, inputs);
        Ok([
            recurrence.map_err(|source| CompareError::Recurrence { start, source })?,
            blob.map_err(|source| CompareError::Model { start, source })?,
        ])
    }
}

/// How logits differ from the reference's, over some positions.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Deviation {
    /// Cross entropy of the targets, summed.
    pub nats: f64,
    /// Kullback-Leibler divergence from the reference in nats, summed.
    pub divergence: f64,
    /// Positions with the reference's likeliest token.
    pub agreeing: usize,
    /// Positions whose likeliest token is the target.
    pub right: usize,
    /// Largest difference of a logit.
    pub largest: f64,
}

impl Deviation {
    /// At the positions of `targets`, which are pairs of a position and its token.
    pub fn of(
        logits: ArrayView2<f32>,
        reference: ArrayView2<f32>,
        targets: impl IntoIterator<Item = (usize, u32)>,
    ) -> Self {
        let mut out = Self::default();
        for (position, target) in targets {
            let (row, expected) = (logits.row(position), reference.row(position));
            let logit = row
                .get(target as usize)
                .copied()
                .unwrap_or(f32::NEG_INFINITY);
            let largest = row
                .iter()
                .zip(expected)
                .map(|(a, b)| f64::from((a - b).abs()));
            let likeliest = argmax(row);
            out.add(Self {
                nats: nats(row, logit),
                divergence: divergence(expected, row),
                agreeing: usize::from(likeliest == argmax(expected)),
                right: usize::from(likeliest == target),
                largest: largest.fold(0.0, f64::max),
            });
        }
        out
    }

    /// Over these positions and those of `other`.
    pub fn add(&mut self, other: Self) {
        self.nats += other.nats;
        self.divergence += other.divergence;
        self.agreeing += other.agreeing;
        self.right += other.right;
        self.largest = self.largest.max(other.largest);
    }
}
