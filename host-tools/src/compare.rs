//! A converted model beside the network that it came from.

use crate::blob::AnyModel;
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
) -> Result<LengthComparison, EvaluateError<ReferenceError>> {
    let model = &model.into();
    let failed = |source| EvaluateError::Score { start: 0, source };
    let forms = Forms {
        network,
        model,
        tokens,
        recurrence: stream::mix(model).map_err(failed)?,
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
        let window = window.map_err(failed)?;
        total
            .iter_mut()
            .zip(window)
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
type Window = (usize, Result<[Deviation; 2], ReferenceError>);

/// Scores each window that the reference has scored in the other two forms.
struct Forms<'a, P> {
    network: &'a Network<f32>,
    model: &'a AnyModel<'a>,
    tokens: &'a [u32],
    recurrence: Box<dyn Mix<f32>>,
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
    ) -> Result<[Deviation; 2], ReferenceError> {
        let inputs = &self.tokens[start..][..reference.nrows()];
        let targets = &self.tokens[start + 1..][..reference.nrows()];
        let recurrence = self.network.forward(inputs, &*self.recurrence)?;
        let blob = stream::logits(self.model, inputs).map_err(|_| self.unknown_token(start))?;
        Ok([recurrence, blob]
            .map(|logits: Array2<f32>| Deviation::of(logits.view(), reference, targets)))
    }

    /// A token that the network knows and the model does not.
    fn unknown_token(&self, start: usize) -> ReferenceError {
        let vocab = self.model.vocab_size();
        let unknown = self.tokens[start..]
            .iter()
            .position(|t| *t as usize >= vocab)
            .unwrap_or(0);
        ReferenceError::Token {
            token: self.tokens[start + unknown],
            position: start + unknown,
            vocab,
        }
    }
}

/// How logits differ from the reference's, over some positions.
#[derive(Clone, Copy, Debug, Default)]
struct Deviation {
    nats: f64,
    divergence: f64,
    agreeing: usize,
    largest: f64,
}

impl Deviation {
    fn of(logits: ArrayView2<f32>, reference: ArrayView2<f32>, targets: &[u32]) -> Self {
        let mut out = Self::default();
        for ((row, expected), target) in
            logits.rows().into_iter().zip(reference.rows()).zip(targets)
        {
            let target = row
                .get(*target as usize)
                .copied()
                .unwrap_or(f32::NEG_INFINITY);
            let largest = row
                .iter()
                .zip(expected)
                .map(|(a, b)| f64::from((a - b).abs()));
            out.add(Self {
                nats: nats(row, target),
                divergence: divergence(expected, row),
                agreeing: usize::from(argmax(row) == argmax(expected)),
                largest: largest.fold(0.0, f64::max),
            });
        }
        out
    }

    fn add(&mut self, other: Self) {
        self.nats += other.nats;
        self.divergence += other.divergence;
        self.agreeing += other.agreeing;
        self.largest = self.largest.max(other.largest);
    }
}
