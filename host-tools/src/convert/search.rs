//! The smallest reduction that is good enough.
//!
//! # The default tolerance
//! [`TOLERANCE`] bounds the root mean square over channels of the kernels' relative l2 errors, and
//! ten times as much bounds the worst channel ([`WORST`]), so that one channel cannot hide behind the
//! others. Both are taken of the kernel as f32 arithmetic realises it.
//!
//! # The search
//! The cost of a layer is its taps plus its states (each is one number of state and one
//! multiplication a channel; a state's own update is shared work). The largest number of taps comes
//! first and is kept on a draw: more taps leave a smoother kernel, smaller residues and less rounding
//! error. For each smaller number of taps only reductions that are smaller in all are tried.

use super::error::ConvertError;
use super::measure::KernelError;
use super::modal::Modal;
use super::reduced::{Reduction, Window};
use ndarray::{Array2, ArrayView2};
use std::ops::ControlFlow;

/// Default bound of the kernel error's root mean square over channels.
pub const TOLERANCE: f64 = 2e-3;

/// Bound of the worst channel's error, as a multiple of the tolerance.
pub const WORST: f64 = 10.0;

/// The most taps that a search considers.
pub const MAX_TAPS: usize = 4;

/// The most states that a search considers.
pub const MAX_ORDER: usize = 32;

/// What to look for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Search {
    /// Bound of the kernel error, see [`TOLERANCE`].
    pub tolerance: f64,
    /// Number of taps, where it is given and not searched.
    pub taps: Option<usize>,
    /// Number of states, where it is given and not searched; a kernel that has fewer gets fewer.
    /// Goes with [`MAX_TAPS`] taps where `taps` is not given.
    pub order: Option<usize>,
    /// The most states that a search considers.
    pub max_order: usize,
}

impl Default for Search {
    fn default() -> Self {
        Self {
            tolerance: TOLERANCE,
            taps: None,
            order: None,
            max_order: MAX_ORDER,
        }
    }
}

impl Search {
    /// Whether an error is within the bounds.
    pub fn accepts(&self, error: &KernelError) -> bool {
        error.rms <= self.tolerance && error.max <= WORST * self.tolerance
    }

    /// How far an error is from the bounds: 1 where it just meets them.
    fn excess(&self, error: &KernelError) -> f64 {
        (error.rms / self.tolerance).max(error.max / (WORST * self.tolerance))
    }

    /// The smallest reduction of `kernel` `[lags, channels]` (finite) within the bounds; where none
    /// is, the nearest one with the most taps. A given number of taps or states is used as it is,
    /// whatever the error.
    ///
    /// # Errors
    /// [`ConvertError::Tolerance`]; [`ConvertError::NoConvergence`] for a given order.
    pub fn run(&self, kernel: ArrayView2<f64>) -> Result<Modal, ConvertError> {
        if !(self.tolerance > 0.0 && self.tolerance.is_finite()) {
            return Err(ConvertError::Tolerance(self.tolerance));
        }
        let window = Window::new(kernel)?;
        if let Some(order) = self.order {
            let taps = self.taps.unwrap_or(MAX_TAPS);
            let reduction = Reduction::new(&window, taps, order)?;
            return reduction.modal(reduction.truncate(order)?.0);
        }
        if self.taps.is_none() && self.nothing_is_enough(kernel) {
            return Ok(Modal::from_taps(Array2::zeros((0, kernel.ncols()))));
        }
        let mut found = Found {
            search: self,
            kernel,
            window: &window,
            best: None,
            nearest: None,
        };
        let most = self.taps.unwrap_or(MAX_TAPS).min(kernel.nrows());
        let least = self.taps.map_or(0, |_| most);
        for taps in (least..=most).rev() {
            found.try_taps(taps)?;
        }
        found.into_modal()
    }

    /// Whether a kernel is zero as far as the tolerance can tell.
    fn nothing_is_enough(&self, kernel: ArrayView2<f64>) -> bool {
        let nothing = Array2::zeros(kernel.dim());
        self.accepts(&KernelError::between(nothing.view(), kernel))
    }
}

/// The state of one search.
struct Found<'a> {
    search: &'a Search,
    kernel: ArrayView2<'a, f64>,
    window: &'a Window,
    /// The smallest reduction within the bounds.
    best: Option<Modal>,
    /// Where there is none: the nearest to them, and its excess.
    nearest: Option<(f64, Modal)>,
}

impl Found<'_> {
    /// Looks for a smaller reduction than the best one with this number of taps.
    fn try_taps(&mut self, taps: usize) -> Result<(), ConvertError> {
        let limit = match &self.best {
            None => self.search.max_order,
            // Strictly smaller in all.
            Some(best) => match best.states_per_channel().checked_sub(taps + 1) {
                Some(order) => order.min(self.search.max_order),
                None => return Ok(()),
            },
        };
        let reduction = Reduction::new(self.window, taps, limit)?;
        let highest = limit.min(reduction.max_order());
        if self.best.is_some() && self.try_order(&reduction, highest)?.is_continue() {
            return Ok(()); // The largest order allowed fails, so will the smaller ones.
        }
        for order in 0..=highest {
            if self.try_order(&reduction, order)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Breaks where the reduction to `order` states is within the bounds, and keeps it.
    fn try_order(
        &mut self,
        reduction: &Reduction,
        order: usize,
    ) -> Result<ControlFlow<()>, ConvertError> {
        let (poles, error) = match reduction.truncate(order) {
            Ok(truncated) => truncated,
            // This order's eigenvalues cannot be had; its neighbours' can.
            Err(ConvertError::NoConvergence { .. }) => return Ok(ControlFlow::Continue(())),
            Err(other) => return Err(other),
        };
        let excess = self.search.excess(&error);
        if excess > 1.0 {
            if self.is_nearer(excess) {
                self.nearest = Some((excess, reduction.modal(poles)?));
            }
            return Ok(ControlFlow::Continue(()));
        }
        // Good enough in f64; f32 decides.
        let modal = reduction.modal(poles)?;
        let stepped = modal.impulse_f32(self.kernel.nrows()).mapv(f64::from);
        let error = KernelError::between(stepped.view(), self.kernel);
        if self.search.accepts(&error) {
            self.best = Some(modal);
            return Ok(ControlFlow::Break(()));
        }
        let excess = self.search.excess(&error);
        if self.is_nearer(excess) {
            self.nearest = Some((excess, modal));
        }
        Ok(ControlFlow::Continue(()))
    }

    fn is_nearer(&self, excess: f64) -> bool {
        self.best.is_none() && self.nearest.as_ref().is_none_or(|(e, _)| excess < *e)
    }

    fn into_modal(self) -> Result<Modal, ConvertError> {
        self.best
            .or(self.nearest.map(|(_, modal)| modal))
            .ok_or(ConvertError::NoConvergence {
                what: "the eigenvalue iteration at any order",
                size: self.search.max_order,
            })
    }
}
