//! The smallest reduction that is good enough.
//!
//! # The default tolerance
//! [`TOLERANCE`] bounds the root mean square over channels of the kernels' relative l2 errors, and
//! ten times as much bounds the worst channel ([`WORST`]), so that one channel cannot hide behind the
//! others. Both are taken of the kernel as f32 arithmetic realises it.
//!
//! Measured: change of bits/byte against the FFT network at 512 / 2048 / 8192 tokens, on 65,536 bytes
//! of unseen text, and the largest taps + states of a layer (9 layers; 2 layers; 3 layers, the last
//! with a deep RPE, 64 wide with 6 hidden layers, and gamma .999 where the others have .99):
//!
//! | tolerance | shakespeare-64x9 | shakespeare-32x2 | deep RPE, gamma .999 |
//! | --- | --- | --- | --- |
//! | 5e-3 | +.000 / +.001 / +.000 %, 2 + 18 | +.003 / +.003 / +.004 %, 4 + 7 | +.003 / +.004 / +.004 %, 4 + 8 |
//! | 3e-3 | +.001 / +.001 / +.001 %, 4 + 17 | +.005 / +.006 / +.007 %, 4 + 8 | -.000 / +.000 / +.001 %, 4 + 10 |
//! | **2e-3** | +.001 / +.001 / +.001 %, 4 + 20 | +.002 / +.003 / +.003 %, 4 + 9 | -.001 / -.000 / +.001 %, 3 + 11 |
//!
//! Even 5e-3 would leave a margin to .05 %. But how a kernel error turns into bits/byte differs
//! between networks by more than a factor of ten (one with gamma .999 changed by .02 % at 4 taps + 8
//! states), and the last step costs one to three states. Layers that need more than 12 states exist
//! (one of the nine: units of its RPE switch at dozens of lags); they get them, up to [`MAX_ORDER`].
//!
//! # The search
//! The cost of a layer is its taps plus its states (each is one number of state and one
//! multiplication a channel; a state's own update is shared work). The largest number of taps comes
//! first and is kept on a draw: more taps leave a smoother kernel, smaller residues and less rounding
//! error. For each smaller number of taps only reductions that are smaller in all are tried.

use super::error::{ConvertError, converged};
use super::measure::KernelError;
use super::modal::Modal;
use super::reduced::{MOST_REFINED, Reduction, Window, clip};
use super::rounding::FLUSH;
use ndarray::{Array2, ArrayView2};
use num_complex::Complex64;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::ControlFlow;

/// Default bound of the kernel error's root mean square over channels.
pub const TOLERANCE: f64 = 2e-3;

/// Bound of the worst channel's error, as a multiple of the tolerance.
pub const WORST: f64 = 10.0;

/// The most taps that a search considers.
pub const MAX_TAPS: usize = 4;

/// The most states that a search considers.
pub const MAX_ORDER: usize = 32;

/// How far from the bounds balanced poles may leave an order that refined ones are tried for.
const REFINABLE: f64 = 1.5;

/// States that may be added to level the error over frequency.
const ROOM: usize = 2;

/// The most states that are looked for where more are asked for: they take time with the cube of their number.
pub const MOST_STATES: usize = 256;

/// From a given order down, each that is tried is lower by one, or by a part of so many.
const FEWER: usize = 8;

/// Share of an error in f32 below which the error in f64 of fewer states has to be for them to be tried.
const WORTH: f64 = 0.9;

/// Factor by which levelling, and rounding to f32 after it, may raise the error of a given order.
const LEVELLED: f64 = 4.5;

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

/// Distances that poles are moved apart to, as shares of their distance from the unit circle.
const SHARES: [f64; 5] = [0.02, 0.05, 0.1, 0.2, 0.4];

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
    /// is, the nearest one. A given number of taps or states is used as it is, whatever the error.
    ///
    /// `truth` is what the f32 kernel is judged by: `kernel` itself, or more lags of it, so that
    /// extrapolation counts.
    ///
    /// # Errors
    /// [`ConvertError::Tolerance`]; [`ConvertError::NoConvergence`] for a given order.
    pub fn run(
        &self,
        kernel: ArrayView2<f64>,
        truth: ArrayView2<f64>,
    ) -> Result<Reduced, ConvertError> {
        if !(self.tolerance > 0.0 && self.tolerance.is_finite()) {
            return Err(ConvertError::Tolerance(self.tolerance));
        }
        let window = Window::new(kernel)?;
        if let Some(order) = self.order {
            let taps = self.taps.unwrap_or(MAX_TAPS);
            let order = order.min(MOST_STATES);
            let reduction = prepared(&window, taps, order)?;
            let modal = given(&reduction, order, truth)?;
            return Reduced::new(modal, &reduction);
        }
        if self.taps.is_none() && self.nothing_is_enough(kernel) {
            let modal = Modal::from_taps(Array2::zeros((0, kernel.ncols())));
            return Reduced::new(modal, &Reduction::new(&window, 0, 0)?);
        }
        let mut found = Found {
            search: self,
            truth,
            window: &window,
            best: None,
            reduction: None,
            best_is_near: false,
            rejected: Vec::new(),
        };
        let most = self.taps.unwrap_or(MAX_TAPS).min(kernel.nrows());
        let least = self.taps.map_or(0, |_| most);
        for taps in (least..=most).rev() {
            found.try_taps(taps)?;
        }
        found.into_best()
    }

    /// Whether a kernel is zero as far as the tolerance can tell, or a model.
    fn nothing_is_enough(&self, kernel: ArrayView2<f64>) -> bool {
        if kernel.iter().all(|x| x.abs() < FLUSH) {
            return true;
        }
        let nothing = Array2::zeros(kernel.dim());
        self.accepts(&KernelError::between(nothing.view(), kernel))
    }
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Reduced {
    /// The recurrence in f64.
    pub modal: Modal,
    /// What no recurrence with as many taps and states can beat, see
    /// [`Reduction::lower_bound`](super::reduced::Reduction::lower_bound); nothing where it could not be computed.
    pub lower_bound: Option<f64>,
}

impl Reduced {
    fn new(modal: Modal, reduction: &Reduction) -> Result<Self, ConvertError> {
        Ok(Self {
            lower_bound: converged(reduction.lower_bound(modal.order()))?.flatten(),
            modal,
        })
    }
}

/// `window` behind `taps` taps, prepared for `order` states or, which is far less work, for all that it has.
fn prepared(window: &Window, taps: usize, order: usize) -> Result<Reduction<'_>, ConvertError> {
    let mut states = order.min(MOST_REFINED);
    loop {
        let reduction = Reduction::new(window, taps, states)?;
        if states == order || reduction.resolved() < states {
            return Ok(reduction);
        }
        states = order.min(2 * states);
    }
}

/// The reduction to `order` states; to fewer where f32 cannot tell the last ones apart, as where
/// poles all but coincide, and more states would only add rounding errors.
fn given(
    reduction: &Reduction,
    order: usize,
    truth: ArrayView2<f64>,
) -> Result<Modal, ConvertError> {
    let mut best: Option<(f64, Vec<Complex64>, Modal)> = None;
    let mut next = Some(order.min(reduction.resolved()));
    while let Some(order) = next {
        next = order.checked_sub(1 + order / FEWER);
        let Some(truncated) = converged(reduction.truncate(order))? else {
            continue;
        };
        // In f64 errors rise with every state less: here they are near that of more states in f32.
        if (best.as_ref()).is_some_and(|best| truncated.1.rms >= WORTH * best.0) {
            break;
        }
        let ways = apart(&truncated.0);
        let (poles, _) = reduction.refined(truncated)?;
        let mut consider = |poles: Vec<Complex64>| {
            let Some(modal) = converged(reduction.modal(&poles))? else {
                return Ok(());
            };
            let found = error_in_f32(&modal, truth).rms;
            if best.as_ref().is_none_or(|best| found < best.0) {
                best = Some((found, poles, modal));
            }
            Ok::<_, ConvertError>(())
        };
        consider(poles)?;
        for poles in ways {
            consider(poles)?;
        }
    }
    let (error, poles, modal) = best.ok_or(ConvertError::NoConvergence {
        what: "the reduction",
        size: order,
    })?;
    if modal.order() > MOST_REFINED {
        return Ok(modal);
    }
    let levelled = converged(reduction.levelled(&poles))?.map(|levelled| levelled.modal);
    let near = |levelled: &Modal| error_in_f32(levelled, truth).rms <= LEVELLED * error;
    Ok(levelled.filter(near).unwrap_or(modal))
}

/// `poles` with those that all but coincide moved apart, less and less near: nothing where there are none.
///
/// A kernel that grows before it falls, as `i p^i` does, has a pole twice. Two poles beside each other come as near to that as
/// one likes, with residues that cancel: in f32 the more of them is lost the closer they are, so that there is a best
/// distance, which depends on the kernel.
fn apart(poles: &[Complex64]) -> Vec<Vec<Complex64>> {
    if moved_apart(poles, SHARES[0]) == poles {
        return Vec::new();
    }
    let ways = SHARES.iter().map(|share| moved_apart(poles, *share));
    ways.collect()
}

/// `poles`, any two of one kind at least at `share` of their distance from the unit circle, as far as pairs go.
fn moved_apart(poles: &[Complex64], share: f64) -> Vec<Complex64> {
    let mut moved = poles.to_vec();
    for j in 1..moved.len() {
        for i in 0..j {
            let (a, b) = (moved[i], moved[j]);
            let middle = 0.5 * (a + b);
            let least = share * (1.0 - middle.norm());
            let between = a - b;
            if (a.im == 0.0) != (b.im == 0.0) || between.norm() >= least {
                continue;
            }
            // along the real axis, so that a pole above it stays there
            let direction = if between.re < 0.0 { -1.0 } else { 1.0 };
            moved[i] = clip(middle + 0.5 * least * direction);
            moved[j] = clip(middle - 0.5 * least * direction);
        }
    }
    moved
}

/// The state of one search.
struct Found<'a> {
    search: &'a Search,
    truth: ArrayView2<'a, f64>,
    window: &'a Window,
    /// The smallest reduction within the bounds, and what it is the truncation of.
    best: Option<Modal>,
    reduction: Option<Reduction<'a>>,
    /// Whether its error's peak is near the best possible.
    best_is_near: bool,
    /// Excess in f64, taps and poles of those that are not.
    rejected: Vec<(f64, usize, Vec<Complex64>)>,
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
        let Some(reduction) = converged(Reduction::new(self.window, taps, limit))? else {
            return Ok(());
        };
        let highest = limit.min(reduction.max_order());
        if self.best.is_some() && self.try_order(&reduction, taps, highest)?.is_continue() {
            return Ok(()); // The largest order allowed fails, so will the smaller ones.
        }
        for order in 0..=highest {
            if self.try_order(&reduction, taps, order)?.is_break() {
                self.reduction = Some(reduction);
                break;
            }
        }
        Ok(())
    }

    /// Breaks where the reduction to `order` states is within the bounds, and keeps it.
    fn try_order(
        &mut self,
        reduction: &Reduction,
        taps: usize,
        order: usize,
    ) -> Result<ControlFlow<()>, ConvertError> {
        // This order's eigenvalues cannot be had; its neighbours' can.
        let Some((mut poles, mut error)) = converged(reduction.truncate(order))? else {
            return Ok(ControlFlow::Continue(()));
        };
        let mut excess = self.search.excess(&error);
        let (as_truncated, mut found) = (poles.clone(), None);
        if excess <= REFINABLE {
            (poles, error) = reduction.refined((poles, error))?;
            excess = self.search.excess(&error);
            // Good enough in f64; f32 decides.
            if excess <= 1.0 {
                found = self.with_poles(reduction, &poles)?;
            }
        }
        if found.is_none() {
            found = self.apart(reduction, &as_truncated)?;
        }
        if let Some((poles, modal)) = found {
            let (modal, near) = self.level(reduction, &poles, modal)?;
            // A smaller one is not worth losing a peak near the best possible.
            if near || !self.best_is_near {
                (self.best, self.best_is_near) = (Some(modal), near);
                return Ok(ControlFlow::Break(()));
            }
        }
        self.rejected.push((excess, taps, poles));
        Ok(ControlFlow::Continue(()))
    }

    /// The reduction with these poles, if it is within the bounds.
    fn with_poles(
        &self,
        reduction: &Reduction,
        poles: &[Complex64],
    ) -> Result<Option<(Vec<Complex64>, Modal)>, ConvertError> {
        let modal = converged(reduction.modal(poles))?;
        let accepted = |modal: &Modal| self.search.accepts(&self.error_in_f32(modal));
        Ok(modal.filter(accepted).map(|modal| (poles.to_vec(), modal)))
    }

    /// The first reduction within the bounds whose poles are `poles`, those of them that all but coincide moved
    /// [`apart`].
    fn apart(
        &self,
        reduction: &Reduction,
        poles: &[Complex64],
    ) -> Result<Option<(Vec<Complex64>, Modal)>, ConvertError> {
        let mut tried = apart(poles)
            .into_iter()
            .map(|poles| self.with_poles(reduction, &poles));
        tried.find_map(Result::transpose).transpose()
    }

    /// `modal`, with `poles` and least squares residues within the bounds, levelled over
    /// frequency if that stays within them too. Where its peak is far from the best possible, a
    /// state or two more may leave room for that. And whether it is near in the end.
    fn level(
        &self,
        reduction: &Reduction,
        poles: &[Complex64],
        modal: Modal,
    ) -> Result<(Modal, bool), ConvertError> {
        let order = modal.order();
        let most = reduction.max_order().min(order + ROOM);
        let mut best = modal;
        let Some(mut levelled) = converged(reduction.levelled(poles))? else {
            return Ok((best, false));
        };
        let mut more = order + 1;
        loop {
            let accepted = self.search.accepts(&self.error_in_f32(&levelled.modal));
            let near = if accepted {
                levelled.is_near
            } else {
                levelled.was_near
            };
            // States that do not bring it near are not added.
            if accepted && (near || more == order + 1) {
                best = levelled.modal;
            }
            if near || more > most {
                return Ok((best, near));
            }
            let Some(truncated) = converged(reduction.truncate(more))? else {
                return Ok((best, near));
            };
            let (poles, _) = reduction.refined(truncated)?;
            let Some(next) = converged(reduction.levelled(&poles))? else {
                return Ok((best, near));
            };
            levelled = next;
            more += 1;
        }
    }

    fn error_in_f32(&self, modal: &Modal) -> KernelError {
        error_in_f32(modal, self.truth)
    }

    fn into_best(mut self) -> Result<Reduced, ConvertError> {
        match (self.best.take(), self.reduction.take()) {
            (Some(best), Some(reduction)) => Reduced::new(best, &reduction),
            _ => self.nearest(),
        }
    }

    /// The rejected reduction whose kernel is nearest in f32. The error in f64 is a lower bound of
    /// that in f32, so the search ends at the first that cannot be nearer than the nearest so far.
    fn nearest(mut self) -> Result<Reduced, ConvertError> {
        self.rejected.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut reductions: BTreeMap<usize, Reduction> = BTreeMap::new();
        let mut nearest: Option<(f64, Reduced)> = None;
        for (lower_bound, taps, poles) in &self.rejected {
            if nearest.as_ref().is_some_and(|(e, _)| lower_bound >= e) {
                break;
            }
            let reduction = match reductions.entry(*taps) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => {
                    let most = self.search.max_order;
                    match converged(Reduction::new(self.window, *taps, most))? {
                        Some(reduction) => entry.insert(reduction),
                        None => continue,
                    }
                }
            };
            let Some(modal) = converged(reduction.modal(poles))? else {
                continue;
            };
            let excess = self.search.excess(&self.error_in_f32(&modal));
            if nearest.as_ref().is_none_or(|(e, _)| excess < *e) {
                nearest = Some((excess, Reduced::new(modal, reduction)?));
            }
        }
        nearest
            .map(|(_, nearest)| nearest)
            .ok_or(ConvertError::NoConvergence {
                what: "the eigenvalue iteration at any order",
                size: self.search.max_order,
            })
    }
}

/// Error against `truth` of the kernel as f32 arithmetic realises it.
pub fn error_in_f32(modal: &Modal, truth: ArrayView2<f64>) -> KernelError {
    let stepped = modal.impulse_f32(truth.nrows()).mapv(f64::from);
    KernelError::between(stepped.view(), truth)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::reduced::linalg::failing;
    use crate::convert::test_kernels::bundled;
    use crate::convert::{KernelSource, Method, convert_layer};

    fn with_order(source: &impl KernelSource, order: usize) -> (usize, f64) {
        let search = Search {
            order: Some(order),
            ..Search::default()
        };
        let found = convert_layer(source, &Method::Reduced(search)).unwrap();
        (found.modal.order(), found.kernel_error.rms)
    }

    /// Whichever decomposition gives up, there is a conversion; but for that of the window, and of the one reduction
    /// that is asked for, there is nothing to go on with.
    #[test]
    fn an_iteration_that_gives_up_is_done_without() {
        let kernel = Array2::from_shape_fn((300, 2), |(i, c)| {
            let x = i as f64;
            0.98f64.powf(x) / (1.0 + x / (3.0 + c as f64))
        });
        let given = Search {
            taps: Some(2),
            order: Some(4),
            ..Search::default()
        };
        let hopeless = Search {
            tolerance: 1e-12,
            max_order: 3,
            ..Search::default()
        };
        for (search, needed, good) in [
            (Search::default(), 1, 2e-3),
            (given, 2, 0.1),
            (hopeless, 1, 0.1),
        ] {
            for failing in [0, 1, 2, 4, 9, 17, 40, 90].map(|later| needed + later) {
                failing::after(failing);
                let found = search.run(kernel.view(), kernel.view());
                let failed = failing::has();
                failing::after(usize::MAX);
                let error = error_in_f32(&found.unwrap().modal, kernel.view());
                assert!(error.rms <= good, "{failing}: {error:?}");
                if !failed {
                    break;
                }
            }
        }
    }

    /// A kernel that grows, oscillating, before it falls: twice the same pair of poles, which f32 cannot hold.
    #[test]
    fn poles_that_coincide_are_moved_apart() {
        let kernel = Array2::from_shape_fn((2500, 2), |(i, c)| {
            let x = i as f64;
            x * 0.99f64.powf(x) * (0.3 * x + c as f64).cos()
        });
        let found = Search::default().run(kernel.view(), kernel.view()).unwrap();
        let error = error_in_f32(&found.modal, kernel.view());
        assert!(Search::default().accepts(&error), "{error:?}");
        assert!(found.modal.states_per_channel() <= 6);
        let (order, error) = with_order(&kernel, 4);
        assert!(order == 4 && error < 5e-3, "{order} {error}");
    }

    /// However many states are asked for, what comes out is no worse than with fewer, and soon there.
    #[test]
    fn hundreds_of_states_are_no_worse_than_dozens() {
        let algebraic = Array2::from_shape_fn((4096, 1), |(i, _)| 1.0 / (1.0 + i as f64));
        let (order, error) = with_order(&algebraic, 300);
        assert!(order <= 32, "{order}");
        for fewer in [12, 16, 24, 32] {
            let rounding = f64::from(f32::EPSILON);
            let fewer = with_order(&algebraic, fewer).1;
            assert!(error <= 1.1 * fewer + rounding, "{error} {fewer}");
        }
        let layer = &bundled("shakespeare-32x2")[1];
        let (_, error) = with_order(layer, 300);
        for fewer in [8, 16, 32, 64] {
            assert!(error <= 1.1 * with_order(layer, fewer).1, "{fewer}");
        }
        // as many as there are
        let noise = Array2::from_shape_fn((700, 1), |(i, _)| ((i * i * 7) as f64).sin());
        assert_eq!(with_order(&noise, 1000).0, MOST_STATES);
    }

    /// Kernels that fall slowly and are alive at the end of the window.
    #[test]
    fn slow_kernels_reach_twice_the_lower_bound() {
        let falls: [fn(f64) -> f64; 2] = [|i| 1.0 / (1.0 + i), |i| (1.0 + i).powf(-0.7)];
        for kernel in falls {
            let table = Array2::from_shape_fn((4096, 1), |(i, _)| kernel(i as f64));
            for order in [4, 6, 8] {
                let search = Search {
                    order: Some(order),
                    ..Search::default()
                };
                let found = convert_layer(&table, &Method::Reduced(search)).unwrap();
                let ratio = found.ratio().unwrap();
                assert!((1.0..=2.0).contains(&ratio), "{order}: {ratio}");
            }
        }
    }
}
