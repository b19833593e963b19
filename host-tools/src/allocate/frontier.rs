//! The reductions of one layer that are worth having.

use crate::convert::error::ConvertError;
use crate::convert::layer::check;
use crate::convert::measure::KernelError;
use crate::convert::modal::Modal;
use crate::convert::reduced::{Reduction, Window};
use crate::convert::search::{MAX_ORDER, MAX_TAPS, Search, error_in_f32};
use crate::convert::source::{KernelSource, fit_window};
use ndarray::ArrayView2;

/// Reductions with a larger relative error (root mean square over channels) are none.
const FARTHEST: f64 = 0.3;

/// A reduction of one layer.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The recurrence.
    pub modal: Modal,
    /// Its kernel error in f32.
    pub error: KernelError,
}

impl Choice {
    /// Taps and states, a channel.
    pub fn states(&self) -> usize {
        self.modal.states_per_channel()
    }
}

/// The reductions of a layer of which none is both smaller and nearer than another: smallest first.
#[derive(Clone, Debug)]
pub struct Frontier {
    /// At least one; the last is within the tolerance of [`Search::default`] if any is.
    pub choices: Vec<Choice>,
}

impl Frontier {
    /// Of `source`.
    ///
    /// # Errors
    /// As a conversion of the layer.
    pub fn new(source: &(impl KernelSource + ?Sized)) -> Result<Self, ConvertError> {
        let kernel = fit_window(source);
        check(kernel.view())?;
        let window = Window::new(kernel.view())?;
        let most = MAX_TAPS.min(kernel.nrows());
        let reductions = (0..=most).map(|taps| Reduction::new(&window, taps, MAX_ORDER));
        let reductions = reductions.collect::<Result<Vec<_>, _>>()?;
        let mut found = Self {
            choices: Vec::new(),
        };
        let enough = Search::default();
        for states in 0..=MAX_TAPS + MAX_ORDER {
            let Some(nearest) = nearest(&reductions, states)? else {
                continue;
            };
            found.consider(nearest, kernel.view());
            let last = found.choices.last();
            if last.is_some_and(|choice| enough.accepts(&choice.error)) {
                break;
            }
        }
        Ok(found)
    }

    /// Keeps a reduction if it is nearer than all smaller ones.
    fn consider(&mut self, modal: Modal, kernel: ArrayView2<f64>) {
        let error = error_in_f32(&modal, kernel);
        let last = self.choices.last();
        if last.is_none_or(|last| error.rms < last.error.rms) {
            // one that is hardly a reduction stays only until there is a better
            self.choices.retain(|choice| choice.error.rms <= FARTHEST);
            self.choices.push(Choice { modal, error });
        }
    }
}

/// The nearest of all reductions to so many taps and states together.
fn nearest(reductions: &[Reduction<'_>], states: usize) -> Result<Option<Modal>, ConvertError> {
    let mut best: Option<(f64, &Reduction<'_>, Vec<_>)> = None;
    for (taps, reduction) in reductions.iter().enumerate() {
        let Some(order) = states.checked_sub(taps) else {
            break;
        };
        if order > reduction.max_order() {
            continue;
        }
        let (poles, error) = match reduction.truncate(order) {
            Ok(truncated) => truncated,
            // this order's eigenvalues cannot be had; its neighbours' can
            Err(ConvertError::NoConvergence { .. }) => continue,
            Err(other) => return Err(other),
        };
        // more taps leave smaller residues, so they win a draw
        if best.as_ref().is_none_or(|(least, ..)| error.rms <= *least) {
            best = Some((error.rms, reduction, poles));
        }
    }
    best.map(|(_, reduction, poles)| reduction.modal(&poles))
        .transpose()
}
