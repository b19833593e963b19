//! Masked language models: how well tokens are told that are hidden from a network, by the network as trained and by
//! the model that was made of it.
//!
//! Tokens are hidden as in the trainer's evaluations ([`Masking`]): windows start at 0, n, 2n, ... and know nothing
//! of each other, the last one is shorter, and the same seed hides the same tokens.

use crate::blob::AnyModel;
use crate::compare::{CompareError, Deviation, Others, PerForm};
use crate::reference::evaluate::EvaluateError;
use crate::reference::mix::Mix;
use crate::reference::{Network, ReferenceError};
use rayon::prelude::*;
use serde::Serialize;
use std::f64::consts::LN_2;
use std::sync::atomic::{AtomicUsize, Ordering};
use toeplite_clips::Masking;

/// Why a masked language model gave no figures.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MaskedError {
    /// A form of it cannot be run.
    #[error(transparent)]
    Compare(#[from] CompareError),
    /// The text has a token that the network does not know.
    #[error(transparent)]
    Token(ReferenceError),
    /// A mask that the network does not know.
    #[error("the mask {token} is no token of the network: it has {vocabulary}, from 0 to {}", vocabulary.saturating_sub(1))]
    Mask {
        /// The mask.
        token: u32,
        /// Tokens of the network.
        vocabulary: usize,
    },
    /// Nothing to tell.
    #[error(
        "of the text's {tokens} tokens none is hidden at a probability of {probability}: give a longer text, or hide more"
    )]
    NoneHidden {
        /// Tokens of the text.
        tokens: usize,
        /// Share of tokens to hide.
        probability: f64,
    },
}

/// A figure of every form of a network.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Each {
    /// The network as trained, by FFT.
    pub fft: f64,
    /// Its weights in f32 with the blob's recurrences.
    pub recurrence: f64,
    /// The blob, through the runtime.
    pub blob: f64,
}

/// How well hidden tokens are told in windows of one length.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MaskedComparison {
    /// Tokens a window.
    pub length: usize,
    /// Tokens that were hidden; all figures are of them alone.
    pub targets: usize,
    /// Mean cross entropy, in nats.
    pub nats: Each,
    /// Share of them that are the likeliest token at their place.
    pub accuracy: Each,
    /// Share of places whose likeliest token is the reference's.
    pub argmax_agreement: PerForm,
    /// Mean Kullback-Leibler divergence from the reference's distribution of tokens, in bits.
    pub divergence: PerForm,
    /// Largest difference of a logit from the reference's.
    pub max_logit_error: PerForm,
}

/// A change of the cross entropy that no conversion within the default tolerance comes near.
const SUSPICIOUS: f64 = 0.05;

/// Fewest hidden tokens that say something about it.
const ENOUGH: usize = 100;

impl MaskedComparison {
    /// What makes one doubt that the model came from the network, if anything does.
    pub fn doubt(&self) -> Option<String> {
        let change = self.nats.blob / self.nats.fft - 1.0;
        (self.targets >= ENOUGH && change.abs() > SUSPICIOUS).then(|| {
            format!(
                "in windows of {} the model's nats differ by {:+.1}% from the network's: was this model converted from \
                 this checkpoint? If it was, it needs more states or taps, or weights of more bits",
                self.length,
                100.0 * change
            )
        })
    }
}

/// Compares `model` with `network` on tokens of `text` that are hidden from both, in windows of `length`. `progress`
/// is told how many tokens are done; it is called from several threads.
///
/// # Errors
/// The text or the mask has an unknown token, nothing is hidden, or the model does not fit the network.
pub fn compare_masked<'a>(
    network: &Network<f32>,
    model: impl Into<AnyModel<'a>>,
    text: &[u32],
    masking: &Masking,
    length: usize,
    progress: impl Fn(usize) + Sync,
) -> Result<MaskedComparison, MaskedError> {
    check(network.vocab(), text, masking)?;
    if length == 0 {
        return Err(CompareError::Network(EvaluateError::ZeroWindow).into());
    }
    let model = &model.into();
    let forms = Forms {
        others: Others::new(network, model)?,
        network,
        trained: &network.trained_mix(),
        masking,
    };
    let done = AtomicUsize::new(0);
    let run = |(i, window): (usize, &[u32])| {
        let deviations = forms.deviations(i * length, window)?;
        progress(done.fetch_add(window.len(), Ordering::Relaxed) + window.len());
        Ok(deviations)
    };
    let windows = text.par_chunks(length).enumerate().with_max_len(1);
    let windows: Vec<Window> = windows.map(run).collect::<Result<_, CompareError>>()?;
    // in the text's order, so that figures do not depend on the threads
    let mut total = Window::default();
    windows.into_iter().for_each(|window| total.add(window));
    let (tokens, probability) = (text.len(), masking.probability);
    total.comparison(length).ok_or(MaskedError::NoneHidden {
        tokens,
        probability,
    })
}

/// A hidden token is not looked up by the network: unknown ones would go unnoticed.
fn check(vocab: usize, text: &[u32], masking: &Masking) -> Result<(), MaskedError> {
    let unknown = |token: u32| token as usize >= vocab;
    if unknown(masking.token) {
        return Err(MaskedError::Mask {
            token: masking.token,
            vocabulary: vocab,
        });
    }
    match text.iter().position(|token| unknown(*token)) {
        None => Ok(()),
        Some(position) => Err(MaskedError::Token(ReferenceError::Token {
            token: text[position],
            position,
            vocab,
        })),
    }
}

/// The network as trained and the other two forms, and what is hidden from them.
struct Forms<'a> {
    others: Others<'a>,
    network: &'a Network<f32>,
    trained: &'a dyn Mix<f32>,
    masking: &'a Masking,
}

impl Forms<'_> {
    fn deviations(&self, start: usize, window: &[u32]) -> Result<Window, CompareError> {
        let mut inputs = window.to_vec();
        let noise = self.masking.evaluation_noise(start);
        let targets = self.masking.hide(&mut inputs, self.network.vocab(), noise);
        let places = targets.into_iter().enumerate();
        let hidden: Vec<_> = places
            .filter_map(|(i, target)| Some((i, target?)))
            .collect();
        if hidden.is_empty() {
            return Ok(Window::default());
        }
        let failed = |source| EvaluateError::Score { start, source };
        let fft = self.network.forward(&inputs, self.trained);
        let fft = fft.map_err(failed)?;
        let [recurrence, blob] = self.others.logits(start, &inputs)?;
        let of = |logits: &ndarray::Array2<f32>| {
            Deviation::of(logits.view(), fft.view(), hidden.iter().copied())
        };
        Ok(Window {
            hidden: hidden.len(),
            forms: [of(&fft), of(&recurrence), of(&blob)],
        })
    }
}

/// Sums over the hidden tokens of windows.
#[derive(Default)]
struct Window {
    hidden: usize,
    /// Of the network as trained, of the recurrence, of the blob.
    forms: [Deviation; 3],
}

impl Window {
    fn add(&mut self, other: Self) {
        self.hidden += other.hidden;
        let forms = self.forms.iter_mut().zip(other.forms);
        forms.for_each(|(form, other)| form.add(other));
    }

    /// Means; nothing if nothing was hidden.
    fn comparison(&self, length: usize) -> Option<MaskedComparison> {
        let count = self.hidden as f64;
        let each = |f: fn(&Deviation) -> f64| {
            let [fft, recurrence, blob] = self.forms.each_ref().map(|form| f(form) / count);
            Each {
                fft,
                recurrence,
                blob,
            }
        };
        let others = |each: Each| PerForm {
            recurrence: each.recurrence,
            blob: each.blob,
        };
        let [_, recurrence, blob] = self.forms.each_ref().map(|form| form.largest);
        (self.hidden > 0).then(|| MaskedComparison {
            length,
            targets: self.hidden,
            nats: each(|d| d.nats),
            accuracy: each(|d| d.right as f64),
            argmax_agreement: others(each(|d| d.agreeing as f64)),
            divergence: others(each(|d| d.divergence / LN_2)),
            max_logit_error: PerForm { recurrence, blob },
        })
    }
}
