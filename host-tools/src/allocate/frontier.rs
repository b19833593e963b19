//! The reductions of one layer that are worth having.

use crate::blob::{self, ContractName, WriteError};
use crate::convert::error::ConvertError;
use crate::convert::layer::check;
use crate::convert::measure::KernelError;
use crate::convert::modal::Modal;
use crate::convert::reduced::{Reduction, Window};
use crate::convert::search::{MAX_ORDER, MAX_TAPS, Search};
use crate::convert::source::{KernelSource, fit_window};
use num_complex::Complex64;

/// States that most layers are content with: reductions are prepared for so many at first, which takes half the
/// time that [`MAX_ORDER`] takes.
const FEW: usize = 16;

/// Reductions with a larger relative error (root mean square over channels) are none.
const FARTHEST: f64 = 0.3;

/// A reduction of one layer.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The recurrence.
    pub modal: Modal,
    /// Its kernel error.
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
        let prepare = |order| {
            let reductions = (0..=most).map(|taps| Reduction::new(&window, taps, order));
            reductions.collect::<Result<Vec<_>, _>>()
        };
        let mut reductions = prepare(FEW)?;
        let mut choices: Vec<Choice> = Vec::new();
        let enough = Search::default();
        for states in 0..=MAX_TAPS + MAX_ORDER {
            if states == FEW + 1 && reductions.iter().any(|r| r.max_order() == FEW) {
                reductions = prepare(MAX_ORDER)?;
            }
            let Some((taps, poles, error)) = nearest(&reductions, states)? else {
                continue;
            };
            if choices
                .last()
                .is_some_and(|last| error.rms >= last.error.rms)
            {
                continue;
            }
            // one that is hardly a reduction stays only until there is a better
            choices.retain(|choice| choice.error.rms <= FARTHEST);
            let modal = reductions[taps].modal(&poles)?;
            choices.push(Choice { modal, error });
            if enough.accepts(&error) {
                break;
            }
        }
        Ok(Self { choices })
    }
}

impl Frontier {
    /// Leaves out the reductions that `contract` cannot hold as layer `layer`.
    ///
    /// # Errors
    /// It holds none: why not the nearest one.
    pub fn held_by(mut self, contract: ContractName, layer: usize) -> Result<Self, WriteError> {
        let mut refused = None;
        self.choices.retain(|choice| {
            let bytes = blob::recurrence_bytes(&choice.modal, layer, contract);
            bytes.map_err(|why| refused = Some(why)).is_ok()
        });
        match refused {
            Some(why) if self.choices.is_empty() => Err(why),
            _ => Ok(self),
        }
    }
}

/// Taps and poles of the nearest of all reductions to so many taps and states together.
fn nearest(
    reductions: &[Reduction<'_>],
    states: usize,
) -> Result<Option<(usize, Vec<Complex64>, KernelError)>, ConvertError> {
    let mut best: Option<(usize, Vec<Complex64>, KernelError)> = None;
    for (taps, reduction) in reductions.iter().enumerate() {
        let order = states.checked_sub(taps);
        let Some(order) = order.filter(|order| *order <= reduction.max_order()) else {
            continue;
        };
        let (poles, error) = match reduction.truncate(order) {
            Ok(truncated) => truncated,
            // this order's eigenvalues cannot be had; its neighbours' can
            Err(ConvertError::NoConvergence { .. }) => continue,
            Err(other) => return Err(other),
        };
        // more taps leave smaller residues, so they win a draw
        if best
            .as_ref()
            .is_none_or(|(_, _, least)| error.rms <= least.rms)
        {
            best = Some((taps, poles, error));
        }
    }
    Ok(best)
}
