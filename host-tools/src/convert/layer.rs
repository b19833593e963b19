//! Conversion of layers: a method, a kernel source, and a recurrence with its error as the result.

use super::error::{ConvertError, LayerError};
use super::etsc;
use super::fir::fir;
use super::measure::KernelError;
use super::modal::Modal;
use super::search::Search;
use super::source::{KernelSource, MAX_WINDOW, fit_window, lags_up_to, measure_window};
use super::warning::Warning;
use ndarray::{Array2, ArrayView2, Axis, s};
use rayon::prelude::*;
use std::ops::Range;

/// Kernel coefficients and residues beyond this would overflow f32 when they are summed.
const LARGEST: f64 = 1e30;

/// Multiplications that a simulation of the closed form may cost; beyond, channels are sampled.
const SIMULATION: usize = 1 << 27;

/// Decays below this are not divided out of a kernel: what is left of it there is no number.
const SEPARABLE: f64 = 1e-250;

/// How kernels become recurrences.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// A FIR head and poles that all channels share, see [`reduced`](super::reduced).
    Reduced(Search),
    /// The closed form of the first `lags` lags, see [`etsc`](super::etsc).
    Etsc {
        /// Lags that come out right; the network's training length.
        lags: usize,
    },
    /// The first `taps` taps in a ring buffer.
    Fir {
        /// Taps kept.
        taps: usize,
    },
}

impl Default for Method {
    fn default() -> Self {
        Self::Reduced(Search::default())
    }
}

impl Method {
    /// Its name on the command line and in reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Reduced(_) => "reduced",
            Self::Etsc { .. } => "etsc",
            Self::Fir { .. } => "fir",
        }
    }
}

/// One layer's recurrence.
#[derive(Clone, Debug)]
pub struct LayerConversion {
    /// The recurrence in f64; round it with [`Modal::to_f32_safe`] for a device.
    pub modal: Modal,
    /// How it was found.
    pub method: Method,
    /// Error of the kernel as f32 arithmetic realises it ([`Modal::impulse_f32`]), over the first
    /// `measured_lags` lags.
    pub kernel_error: KernelError,
    /// Lags that `kernel_error` is about: for the closed form those that it promises, else until
    /// the kernel has died out (at most twice [`MAX_WINDOW`]).
    pub measured_lags: usize,
    /// What the user should know.
    pub warnings: Vec<Warning>,
}

/// Converts layers side by side.
///
/// # Errors
/// The first layer's error, with its index.
pub fn convert_layers<S: KernelSource>(
    layers: &[S],
    method: &Method,
) -> Result<Vec<LayerConversion>, LayerError> {
    layers
        .par_iter()
        .enumerate()
        .map(|(index, layer)| {
            convert_layer(layer, method).map_err(|source| LayerError {
                layer: index,
                source,
            })
        })
        .collect()
}

/// Converts one layer.
///
/// # Errors
/// See [`ConvertError`].
pub fn convert_layer(
    source: &(impl KernelSource + ?Sized),
    method: &Method,
) -> Result<LayerConversion, ConvertError> {
    let conversion = match method {
        Method::Reduced(search) => convert_reduced(source, search)?,
        Method::Etsc { lags } => convert_etsc(source, *lags)?,
        Method::Fir { taps } => convert_fir(source, *taps)?,
    };
    conversion.modal.validate()?;
    Ok(conversion)
}

fn convert_reduced(
    source: &(impl KernelSource + ?Sized),
    search: &Search,
) -> Result<LayerConversion, ConvertError> {
    let window = fit_window(source);
    check(window.view())?;
    let modal = search.run(window.view())?;
    let largest = largest_size(modal.residues.iter().map(|r| r.norm()));
    if largest > LARGEST {
        return Err(ConvertError::TooLarge {
            what: "residues",
            largest,
        });
    }
    let truth = measure_window(source, window.view());
    check(truth.view())?;
    let kernel_error = error_in_f32(&modal, truth.view());
    let mut warnings = Vec::new();
    if search.order.is_none() && !search.accepts(&kernel_error) {
        warnings.push(Warning::ToleranceNotReached {
            tolerance: search.tolerance,
            reached: kernel_error.rms,
            worst: kernel_error.max,
        });
    }
    warnings.extend(alive_at_end(window.view()));
    Ok(LayerConversion {
        modal,
        method: Method::Reduced(*search),
        kernel_error,
        measured_lags: truth.nrows(),
        warnings,
    })
}

/// A kernel above a thousandth of its peak at the end of the fit.
fn alive_at_end(window: ArrayView2<f64>) -> Option<Warning> {
    let peak = largest_size(window.iter().copied());
    let last = window.nrows().checked_sub(1)?;
    let level = largest_size(window.row(last).iter().copied()) / peak.max(f64::MIN_POSITIVE);
    (level > 1e-3 && window.nrows() >= MAX_WINDOW).then_some(Warning::AliveAtEnd {
        lags: window.nrows(),
        level,
    })
}

fn convert_etsc(
    source: &(impl KernelSource + ?Sized),
    lags: usize,
) -> Result<LayerConversion, ConvertError> {
    let kernel = known(source, 0..lags)?;
    let mut warnings = Vec::new();
    let separable = |gamma: &Vec<f64>| {
        gamma
            .iter()
            .all(|g| *g > 0.0 && g.powf(lags as f64) > SEPARABLE)
    };
    let gamma = source.decay().filter(separable).unwrap_or_else(|| {
        warnings.push(Warning::DecayNotSeparable);
        vec![1.0; source.channels()]
    });
    let undecayed = Array2::from_shape_fn(kernel.dim(), |(lag, c)| {
        kernel[[lag, c]] / gamma[c].powf(lag as f64)
    });
    let modal = etsc::etsc(undecayed.view(), &gamma);
    let end = lags_up_to(source, 2 * lags);
    if end > lags {
        let tail = known(source, lags..end)?;
        warnings.push(Warning::WrongPastEnd {
            from: lags,
            to: end,
            error: etsc::error_past_end(undecayed.view(), &gamma, tail.view()),
        });
    }
    Ok(LayerConversion {
        kernel_error: sampled_error_in_f32(&modal, kernel.view()),
        modal,
        method: Method::Etsc { lags },
        measured_lags: lags,
        warnings,
    })
}

fn convert_fir(
    source: &(impl KernelSource + ?Sized),
    taps: usize,
) -> Result<LayerConversion, ConvertError> {
    let kernel = known(source, 0..taps)?;
    let modal = fir(kernel.view(), taps);
    let window = fit_window(source);
    let truth = measure_window(source, window.view());
    let truth = if truth.nrows() < taps { kernel } else { truth };
    check(truth.view())?;
    Ok(LayerConversion {
        kernel_error: error_in_f32(&modal, truth.view()),
        modal,
        method: Method::Fir { taps },
        measured_lags: truth.nrows(),
        warnings: Vec::new(),
    })
}

/// The kernel at `lags`, all of which must be known, checked.
fn known(
    source: &(impl KernelSource + ?Sized),
    lags: Range<usize>,
) -> Result<Array2<f64>, ConvertError> {
    let known = lags_up_to(source, lags.end);
    if known < lags.end {
        return Err(ConvertError::TooFewLags {
            lags: lags.end,
            known,
        });
    }
    let kernel = source.kernel(lags);
    check(kernel.view())?;
    Ok(kernel)
}

/// Refuses kernels that no recurrence in f32 can realise.
fn check(kernel: ArrayView2<f64>) -> Result<(), ConvertError> {
    let (lags, channels) = kernel.dim();
    if lags == 0 || channels == 0 {
        return Err(ConvertError::Empty { lags, channels });
    }
    if let Some(((lag, channel), _)) = kernel.indexed_iter().find(|(_, x)| !x.is_finite()) {
        return Err(ConvertError::NotFinite { lag, channel });
    }
    let largest = largest_size(kernel.iter().copied());
    if largest > LARGEST {
        return Err(ConvertError::TooLarge {
            what: "kernel coefficients",
            largest,
        });
    }
    Ok(())
}

fn largest_size(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers.fold(0.0, |a, x| a.max(x.abs()))
}

fn error_in_f32(modal: &Modal, truth: ArrayView2<f64>) -> KernelError {
    let stepped = modal.impulse_f32(truth.nrows()).mapv(f64::from);
    KernelError::between(stepped.view(), truth)
}

/// [`error_in_f32`] of evenly spaced channels, as many as [`SIMULATION`] affords.
fn sampled_error_in_f32(modal: &Modal, truth: ArrayView2<f64>) -> KernelError {
    let (lags, channels) = truth.dim();
    let work = (lags * modal.poles.len()).max(1);
    let count = (SIMULATION / work).clamp(1, channels);
    let picked: Vec<usize> = (0..count).map(|i| i * channels / count).collect();
    let truth = truth.select(Axis(1), &picked);
    error_in_f32(&modal.select_channels(&picked), truth.slice(s![.., ..]))
}

#[cfg(test)]
mod tests {
    use super::super::test_kernels::{bundled, layers_of};
    use super::*;

    #[test]
    fn explore() {
        let layers = match std::env::var("TOEP_DIR") {
            Ok(d) => layers_of(&d),
            Err(_) => bundled("shakespeare-128x4"),
        };
        for tolerance in [2e-3] {
            let t = std::time::Instant::now();
            let out = convert_layers(
                &layers,
                &Method::Reduced(Search {
                    tolerance,
                    ..Search::default()
                }),
            )
            .unwrap();
            eprintln!("tol {tolerance:.0e} {:?}", t.elapsed());
            for c in out {
                let f64e = KernelError::between(
                    c.modal.kernel(0..c.measured_lags).view(),
                    layers[0]
                        .kernel(0..1)
                        .view()
                        .broadcast((c.measured_lags, c.modal.channels()))
                        .unwrap(),
                );
                let _ = f64e;
                eprintln!(
                    "   {} + {}: {:.1e} {:.1e} {:.1e}  maxR {:.1e} lags {} {:?}",
                    c.modal.fir_len(),
                    c.modal.order(),
                    c.kernel_error.median,
                    c.kernel_error.rms,
                    c.kernel_error.max,
                    largest_size(c.modal.residues.iter().map(|r| r.norm())),
                    c.measured_lags,
                    c.warnings
                );
            }
        }
        for order in [0usize; 0] {
            let t = std::time::Instant::now();
            let out = convert_layers(
                &layers,
                &Method::Reduced(Search {
                    order: Some(order),
                    ..Search::default()
                }),
            )
            .unwrap();
            eprintln!("order {order} {:?}", t.elapsed());
            for (c, layer) in out.iter().zip(&layers) {
                let e = KernelError::between(
                    c.modal.kernel(0..c.measured_lags).view(),
                    layer.kernel(0..c.measured_lags).view(),
                );
                eprintln!(
                    "   {} + {}: f32 {:.1e} {:.1e} {:.1e} f64 {:.1e} {:.1e} {:.1e} maxR {:.1e}",
                    c.modal.fir_len(),
                    c.modal.order(),
                    c.kernel_error.median,
                    c.kernel_error.rms,
                    c.kernel_error.max,
                    e.median,
                    e.rms,
                    e.max,
                    largest_size(c.modal.residues.iter().map(|r| r.norm()))
                );
            }
        }
    }
}
