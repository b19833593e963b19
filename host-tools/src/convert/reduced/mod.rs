//! Reduction of a whole layer to a FIR head and a few poles that all channels share.
//!
//! A layer is one system with a single input (the convolution is the same for any) and as many
//! outputs as channels. The first `M` taps, which are spiky in trained networks, are kept as they
//! are. The rest is smooth: its channels are compressed by SVD (`compress`), the block Hankel
//! matrix of the compressed kernel is sampled (`sample`), balanced and truncated to `r` states (`balance`), the
//! truncated system's eigenvalues become the poles. These are refined (`refine`), the residues of every channel
//! follow by least squares (`residues`), and are levelled over frequency ([`minimax`]), for which poles may move (`peak`). What
//! other methods make of the same kernels: `docs/methods.md`.

mod balance;
mod compress;
mod hankel;
pub mod linalg;
pub mod minimax;
mod peak;
mod refine;
pub mod residues;
mod sample;

pub use balance::{MAX_RADIUS, clip, upper_half};

use super::error::{ConvertError, converged};
use super::measure::{KernelError, reference_squares, squared_norms};
use super::modal::Modal;
use super::rounding::round_pole;
use balance::{BEYOND, Balanced};
use compress::Compressed;
use hankel::Hankel;
use nalgebra::DMatrix;
use ndarray::{Array2, ArrayView2, s};
use num_complex::Complex64;
use residues::Basis;

/// A layer's kernel over the lags of the fit, with its channels compressed.
pub struct Window {
    kernel: Array2<f64>,
    /// Largest coefficient; everything below is divided by it.
    scale: f64,
    /// `[channels, lags]`: transposed, so that all products run along memory.
    transposed: DMatrix<f64>,
    compressed: Compressed,
    /// Squared norm of each channel's kernel.
    norms: Vec<f64>,
    /// Turns compressed outputs into such whose squared norm is the sum over channels of squared
    /// relative errors, `[rank, rank]`.
    relative: DMatrix<f64>,
}

impl Window {
    /// Compresses `kernel` `[lags, channels]` (finite, at least one of each).
    ///
    /// # Errors
    /// [`ConvertError::NoConvergence`].
    pub fn new(kernel: ArrayView2<f64>) -> Result<Self, ConvertError> {
        let largest = kernel.iter().fold(0.0, |a: f64, x| a.max(x.abs()));
        let scale = if largest > 0.0 { largest } else { 1.0 };
        let scaled = kernel.mapv(|x| x / scale);
        let (lags, channels) = kernel.dim();
        let transposed = DMatrix::from_iterator(channels, lags, scaled.iter().copied());
        let compressed = compress::compress(&transposed)?;
        let norms = squared_norms(scaled.view());
        Ok(Self {
            kernel: kernel.to_owned(),
            scale,
            relative: relative(&compressed.basis, &norms),
            compressed,
            transposed,
            norms,
        })
    }
}

/// See [`Window::relative`]: `R^T` of the QR decomposition of the basis, its rows divided by what the channels'
/// errors are relative to.
fn relative(basis: &DMatrix<f64>, norms: &[f64]) -> DMatrix<f64> {
    let mut divided = basis.clone();
    let squares = reference_squares(norms);
    for (mut row, square) in divided.row_iter_mut().zip(squares) {
        row /= square.sqrt();
    }
    divided.qr().unpack_r().transpose()
}

/// A layer's kernel behind a FIR head, balanced once, to be truncated to any order.
pub struct Reduction<'a> {
    window: &'a Window,
    taps: usize,
    max_order: usize,
    /// Compressed kernel behind the head, `[lags, rank]`.
    outputs: DMatrix<f64>,
    balanced: Balanced,
}

impl<'a> Reduction<'a> {
    /// Prepares `window` with `taps` lags kept as they are, all of them where it has fewer, for
    /// orders up to `max_order`.
    ///
    /// # Errors
    /// [`ConvertError::NoConvergence`].
    pub fn new(window: &'a Window, taps: usize, max_order: usize) -> Result<Self, ConvertError> {
        let taps = taps.min(window.kernel.nrows());
        let all = &window.compressed.outputs;
        let outputs = all.rows(taps, all.nrows() - taps).into_owned();
        Ok(Self {
            window,
            taps,
            max_order,
            // What is dropped bounds the error.
            balanced: Balanced::new(&outputs, max_order + BEYOND)?,
            outputs,
        })
    }

    /// The compressed kernel behind the taps, `[lags, outputs]`, as a share of the kernel's largest coefficient.
    pub fn outputs(&self) -> &DMatrix<f64> {
        &self.outputs
    }

    /// The largest order that the kernel supports: up to there, further states are not noise.
    pub fn max_order(&self) -> usize {
        self.balanced.max_order().min(self.max_order)
    }

    /// The largest order at which f32 can tell the last state from none.
    pub fn resolved(&self) -> usize {
        let values = &self.balanced.values;
        let least = values.first().map_or(0.0, |largest| largest * RESOLVED);
        let alive = values.iter().take_while(|value| **value > least);
        alive.count().min(self.max_order())
    }

    /// Hankel singular values of the compressed tail, largest first, a few more than the order
    /// prepared for, as far as sampling tells them.
    /// Twice the sum of those dropped bounds the truncation's error at any frequency.
    pub fn hankel_values(&self) -> impl Iterator<Item = f64> + '_ {
        self.balanced.values.iter().map(|s| s * self.window.scale)
    }

    /// Balanced poles at `order` states, rounded as they are stored before residues are fitted to them:
    /// those make good for it.
    fn poles(&self, order: usize) -> Result<Vec<Complex64>, ConvertError> {
        let poles = self.balanced.poles(order.min(self.max_order()))?;
        Ok(poles.into_iter().map(round_pole).collect())
    }

    /// Poles that are optimal in the Hankel norm, rounded; balanced ones where there are none.
    fn optimal_poles(&self, order: usize) -> Result<Vec<Complex64>, ConvertError> {
        match self.balanced.optimal_poles(order)? {
            Some(poles) => Ok(poles.into_iter().map(round_pole).collect()),
            None => self.poles(order),
        }
    }

    /// Poles at `order` states, rounded to f32, and the kernel error that the best residues reach with them.
    ///
    /// # Errors
    /// [`ConvertError::NoConvergence`].
    pub fn truncate(&self, order: usize) -> Result<(Vec<Complex64>, KernelError), ConvertError> {
        let poles = self.poles(order)?;
        let error = self.error(&poles)?;
        Ok((poles, error))
    }

    /// `poles` moved to where the mean over channels of squared relative errors is smallest, rounded, see
    /// [`refine`], and the kernel error that the best residues reach with them.
    ///
    /// # Errors
    /// [`ConvertError::NoConvergence`].
    pub fn refine(
        &self,
        poles: &[Complex64],
    ) -> Result<(Vec<Complex64>, KernelError), ConvertError> {
        let relative = &self.outputs * &self.window.relative;
        let poles: Vec<Complex64> = refine::refine(poles, &relative)?
            .into_iter()
            .map(round_pole)
            .collect();
        let error = self.error(&poles)?;
        Ok((poles, error))
    }

    /// What [`refine`](Self::refine) makes of the poles of [`truncate`](Self::truncate); they themselves where it does not
    /// converge, or would take long: of more than [`MOST_REFINED`] states.
    ///
    /// # Errors
    /// None that an iteration gives up with.
    pub fn refined(
        &self,
        truncated: (Vec<Complex64>, KernelError),
    ) -> Result<(Vec<Complex64>, KernelError), ConvertError> {
        if order(&truncated.0) > MOST_REFINED {
            return Ok(truncated);
        }
        Ok(converged(self.refine(&truncated.0))?.unwrap_or(truncated))
    }

    /// The kernel error that the best residues reach with `poles`.
    fn error(&self, poles: &[Complex64]) -> Result<KernelError, ConvertError> {
        let residual = Basis::new(poles, self.outputs.nrows())?.residual(&self.outputs);
        let gram = residual.transpose() * &residual;
        let compressed = &self.window.compressed;
        let spread = &compressed.basis * gram;
        let squares: Vec<f64> = (0..compressed.basis.nrows())
            .map(|c| {
                let fitted = spread.row(c).dot(&compressed.basis.row(c));
                fitted.max(0.0) + compressed.lost[c]
            })
            .collect();
        Ok(KernelError::from_squares(&squares, &self.window.norms))
    }

    /// What no recurrence of `order` states behind so many taps can beat: its error's largest
    /// Euclidean norm over channels at any frequency is at least the next Hankel singular value
    /// (Adamyan, Arov, Krein 1971; with any taps whatever, by Nehari 1957).
    ///
    /// It is that of the finite Hankel matrix of all lags, projected on the combinations of channels
    /// and on powers of poles: each can only lower it, so what is returned is a bound. Nothing where the kernel
    /// has no further state: rounding decides then.
    ///
    /// # Errors
    /// [`ConvertError::NoConvergence`].
    pub fn lower_bound(&self, order: usize) -> Result<Option<f64>, ConvertError> {
        if self.outputs.is_empty() {
            return Ok(Some(0.0));
        }
        let hankel = Hankel::new(&self.outputs);
        let wider = (order + BEYOND).min(self.balanced.values.len());
        let powers = Basis::new(&self.balanced.poles(wider)?, hankel.columns())?;
        let (values, _) = linalg::right_svd(hankel.product(powers.span()))?;
        Ok(values.get(order).map(|s| s * self.window.scale))
    }

    /// The modal form with `poles` and every channel's least squares residues.
    ///
    /// # Errors
    /// [`ConvertError::NoConvergence`].
    pub fn modal(&self, poles: &[Complex64]) -> Result<Modal, ConvertError> {
        let basis = Basis::new(poles, self.outputs.nrows())?;
        let coefficients = self.least_squares(&basis);
        Ok(self.form(poles, coefficients))
    }

    /// The modal form with `poles` and residues that lower the error's peak over frequency, see
    /// [`minimax`]. Where that is not enough, balanced poles, and those that are optimal in the Hankel
    /// norm, are tried too.
    ///
    /// # Errors
    /// [`ConvertError::NoConvergence`].
    pub fn levelled(&self, poles: &[Complex64]) -> Result<Levelled, ConvertError> {
        let order = order(poles);
        let bound = self.balanced.values.get(order).copied().unwrap_or(0.0);
        let (before, mut best) = self.level(poles, bound)?;
        let least = best.mean;
        for other in [Self::poles, Self::optimal_poles] {
            if best.peak <= minimax::GOAL * bound {
                break;
            }
            let Some(poles) = converged(other(self, order))? else {
                continue;
            };
            let Some((_, other)) = converged(self.level(&poles, bound))? else {
                continue;
            };
            let most = if best.peak > minimax::TWICE * bound {
                minimax::MEAN_FOR_TWICE
            } else {
                minimax::MEAN_OF_OTHERS
            };
            if other.peak < NEARER * best.peak && other.mean <= most * best.mean {
                best = other;
            }
        }
        if best.peak > minimax::TWICE * bound && bound > ROUNDED * best.peak {
            let moved = peak::refine(poles, &self.outputs, bound)?;
            let moved: Vec<Complex64> = moved.into_iter().map(round_pole).collect();
            let other = converged(self.level(&moved, bound))?.map(|(_, other)| other);
            let nearer = |other: &Candidate| {
                other.peak < NEARER * best.peak && other.mean <= MEAN_OF_MOVED * least
            };
            best = other.filter(nearer).unwrap_or(best);
        }
        // Where a recurrence of that order would be exact but for rounding, nothing is far from it.
        let near = |peak: f64| peak <= minimax::TWICE * bound || bound <= ROUNDED * peak;
        Ok(Levelled {
            modal: best.modal,
            was_near: near(before),
            is_near: near(best.peak),
        })
    }

    /// Least squares coefficients of the outputs, `[order, outputs]`, as columns of [`residues::power_columns`].
    ///
    /// # Errors
    /// [`ConvertError::NoConvergence`].
    pub fn residues(&self, poles: &[Complex64]) -> Result<DMatrix<f64>, ConvertError> {
        let basis = Basis::new(poles, self.outputs.nrows())?;
        Ok(basis.fit(&self.outputs.transpose().as_view()))
    }

    /// The peak of least squares residues of `poles`, and what levelling makes of them.
    fn level(&self, poles: &[Complex64], bound: f64) -> Result<(f64, Candidate), ConvertError> {
        let basis = Basis::new(poles, self.outputs.nrows())?;
        let refined = minimax::refine(&basis, &self.outputs, bound);
        let change = basis.coefficients(&refined.change) * self.window.compressed.basis.transpose();
        let coefficients = self.least_squares(&basis) + change;
        let candidate = Candidate {
            modal: self.form(poles, coefficients),
            peak: refined.after,
            mean: refined.mean,
        };
        Ok((refined.before, candidate))
    }

    /// Least squares coefficients of all channels, `[order, channels]`.
    fn least_squares(&self, basis: &Basis) -> DMatrix<f64> {
        let tail = self
            .window
            .transposed
            .columns(self.taps, self.outputs.nrows());
        basis.fit(&tail)
    }

    fn form(&self, poles: &[Complex64], coefficients: DMatrix<f64>) -> Modal {
        let coefficients = coefficients * self.window.scale;
        let rows = residues::residues(poles, &coefficients);
        let size = (poles.len(), coefficients.ncols());
        Modal {
            taps: self.window.kernel.slice(s![..self.taps, ..]).to_owned(),
            residues: Array2::from_shape_fn(size, |(k, c)| rows[k][c]),
            poles: poles.to_vec(),
            channel_decay: None,
        }
    }
}

/// A modal form, and how far it is from the kernel.
struct Candidate {
    modal: Modal,
    /// Largest error over frequencies.
    peak: f64,
    /// The l2 error.
    mean: f64,
}

/// States of a set of poles.
fn order(poles: &[Complex64]) -> usize {
    poles.iter().map(residues::states).sum()
}

/// States beyond which poles are not refined: a step takes time with the cube of their number.
pub const MOST_REFINED: usize = 64;

/// Share of the largest Hankel singular value that residues in f32 round away.
const RESOLVED: f64 = f32::EPSILON as f64 / 16.0;

/// Other poles are taken for a peak lower by this factor.
const NEARER: f64 = 0.9;

/// Factor by which poles that are moved for the peak may raise the mean error.
const MEAN_OF_MOVED: f64 = 4.0;

/// Share of a peak that f32 cannot tell from nothing.
const ROUNDED: f64 = f32::EPSILON as f64;

/// What levelling gives.
pub struct Levelled {
    /// With levelled residues; with least squares residues where they are level enough.
    pub modal: Modal,
    /// Whether least squares residues have a peak of at most [`minimax::TWICE`] the bound.
    pub was_near: bool,
    /// Whether these do.
    pub is_near: bool,
}

/// Reduces `kernel` `[lags, channels]` (finite) to `taps` taps and at most `order` states.
///
/// # Errors
/// [`ConvertError::NoConvergence`].
pub fn reduce(kernel: ArrayView2<f64>, taps: usize, order: usize) -> Result<Modal, ConvertError> {
    let window = Window::new(kernel)?;
    let reduction = Reduction::new(&window, taps, order)?;
    reduction.modal(&reduction.truncate(order)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A system of one or two real poles and one or two pairs, well apart from each other.
    fn system() -> impl Strategy<Value = Modal> {
        let pole = |low: f64, high: f64| (0.6f64..0.95, low..high);
        let poles = (
            prop::option::of(-0.9f64..-0.5),
            0.3f64..0.95,
            pole(0.4, 0.8),
            prop::option::of(pole(1.4, 2.4)),
        );
        (poles, 1usize..4, prop::collection::vec(0.3f64..1.0, 24)).prop_map(
            |((left, right, first, second), channels, sizes)| {
                let real = left
                    .into_iter()
                    .chain([right])
                    .map(|x| Complex64::new(x, 0.0));
                let pairs = [first].into_iter().chain(second);
                let poles: Vec<Complex64> = real
                    .chain(pairs.map(|(r, turn)| Complex64::from_polar(r, turn)))
                    .collect();
                let residues = Array2::from_shape_fn((poles.len(), channels), |(k, c)| {
                    let im = if poles[k].im == 0.0 {
                        0.0
                    } else {
                        sizes[4 * c + k + 8]
                    };
                    Complex64::new(sizes[4 * c + k], im)
                });
                Modal {
                    taps: Array2::from_elem((2, channels), 5.0),
                    poles,
                    residues,
                    channel_decay: None,
                }
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn a_known_system_is_recovered(truth in system()) {
            let kernel = truth.kernel(0..300);
            let found = reduce(kernel.view(), 2, truth.order()).unwrap();
            prop_assert_eq!(found.order(), truth.order());
            for (k, pole) in truth.poles.iter().enumerate() {
                let distance = |z: &Complex64| (z - pole).norm();
                let nearest = (0..found.poles.len())
                    .min_by(|a, b| distance(&found.poles[*a]).total_cmp(&distance(&found.poles[*b])))
                    .unwrap();
                prop_assert!(distance(&found.poles[nearest]) < 1e-7);
                for c in 0..truth.channels() {
                    let off = found.residues[[nearest, c]] - truth.residues[[k, c]];
                    prop_assert!(off.norm() < 1e-4, "{off}");
                }
            }
            let deviation = found.kernel(0..400) - truth.kernel(0..400);
            prop_assert!(deviation.iter().all(|d| d.abs() < 1e-6));
            // More states than the system has are not made up.
            prop_assert!(reduce(kernel.view(), 2, 20).unwrap().radius() < 1.0);
        }
    }

    #[test]
    fn the_error_foretold_is_the_error_made() {
        let kernel = Array2::from_shape_fn((900, 5), |(i, c)| {
            let x = i as f64;
            0.99f64.powf(x) / (1.0 + x / (3.0 + c as f64)) + 0.2 * (-x / 40.0).exp()
        });
        let window = Window::new(kernel.view()).unwrap();
        for (taps, order) in [(0, 3), (2, 4), (4, 6)] {
            let reduction = Reduction::new(&window, taps, order).unwrap();
            let (poles, foretold) = reduction.truncate(order).unwrap();
            let form = reduction.modal(&poles).unwrap();
            let made = KernelError::between(form.kernel(0..900).view(), kernel.view());
            assert!(
                (made.rms / foretold.rms - 1.0).abs() < 1e-3,
                "{made:?} {foretold:?}"
            );
            assert!((made.max / foretold.max - 1.0).abs() < 1e-3);
            assert_eq!((form.fir_len(), form.order()), (taps, order));
            assert!(reduction.hankel_values().all(|s| s > 0.0));
            let (sampled, bound) = (
                reduction.hankel_values().nth(order).unwrap(),
                reduction.lower_bound(order).unwrap().unwrap(),
            );
            assert!((sampled / bound - 1.0).abs() < 0.03, "{sampled} {bound}");
        }
    }
}
