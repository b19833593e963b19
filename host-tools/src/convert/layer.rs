//! Conversion of layers: a method, a kernel source, and a recurrence with its error as the result.

use super::certificate::Certificate;
use super::check::{LARGEST, check_residues, largest_of};
use super::error::{ConvertError, LayerError};
use super::etsc;
use super::fir::fir;
use super::measure::KernelError;
use super::modal::Modal;
use super::rounding::FLUSH;
use super::search::{Reduced, Search, error_in_f32};
use super::source::{KernelSource, MAX_WINDOW, fit_window, lags_up_to, measure_window};
use super::warning::Warning;
use ndarray::{Array2, ArrayView2, Axis, s};
use rayon::prelude::*;
use std::ops::Range;

pub(crate) use super::check::check;
pub use super::conversion::LayerConversion;

/// Multiple of the best possible peak from which on the user is told.
const FAR: f64 = 2.0;

/// Multiplications that a simulation of the closed form may cost; beyond, channels are sampled.
const SIMULATION: usize = 1 << 31;

/// Decays below this are not divided out of a kernel: what is left of it there is no number.
const SEPARABLE: f64 = 1e-250;

/// How kernels become recurrences.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// A FIR head and poles that all channels share, see [`reduced`](super::reduced).
    Reduced(Search),
    /// The closed form of the first `lags` lags, see [`etsc`].
    Etsc {
        /// Lags that come out right; the network's training length.
        lags: usize,
    },
    /// The first `taps` taps.
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
    let truth = measure_window(source, window.view());
    check(truth.view())?;
    let Reduced { modal, lower_bound } = search.run(window.view(), truth.view())?;
    check_residues(&modal, LARGEST)?;
    let kernel_error = error_in_f32(&modal, truth.view());
    let mut warnings = Vec::new();
    let (largest, _) = largest_of(truth.view());
    if 0.0 < largest && largest < FLUSH {
        warnings.push(Warning::TooFaint { largest });
    } else if !search.accepts(&kernel_error) {
        warnings.push(Warning::ToleranceNotReached {
            tolerance: search.tolerance,
            reached: kernel_error.rms,
            worst: kernel_error.max,
            order_given: search.order.is_some(),
        });
    }
    let found = modal.order();
    if let Some(asked) = search.order.filter(|asked| *asked > found) {
        warnings.push(Warning::FewerStates { asked, found });
    }
    warnings.extend(alive_at_end(window.view()));
    let mut conversion = LayerConversion {
        certificate: Certificate::new(&modal, source, truth.view()),
        stored: None,
        modal,
        method: Method::Reduced(*search),
        kernel_error,
        unit: 1.0,
        lower_bound,
        measured_lags: truth.nrows(),
        warnings,
    };
    let far = (conversion.ratio()).filter(|ratio| *ratio > FAR && largest >= FLUSH);
    let far = far.map(|ratio| Warning::FarFromBest { ratio });
    conversion.warnings.extend(far);
    Ok(conversion)
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
    let modal = etsc::etsc_f32(undecayed.view(), &gamma);
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
        unit: 1.0,
        lower_bound: None,
        certificate: Certificate::of_window(&modal, kernel.view()),
        stored: None,
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
        unit: 1.0,
        lower_bound: None,
        certificate: Certificate::new(&modal, source, truth.view()),
        stored: None,
        modal,
        method: Method::Fir { taps },
        measured_lags: truth.nrows(),
        warnings: Vec::new(),
    })
}

/// The kernel at `lags`, all of which must be known, checked.
pub(super) fn known(
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

fn largest_size(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers.fold(0.0, |a, x| a.max(x.abs()))
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
    use super::super::fir::truncation_error;
    use super::super::search::{MAX_ORDER, TOLERANCE, WORST};
    use super::super::test_kernels::bundled;
    use super::*;
    use proptest::prelude::*;

    /// Most taps + states of the text model's layers. Where the RPE ends in a constant, one pole is the
    /// kernel; that of layer 7 bends at dozens of lags, wherever a unit of its RPE switches.
    const STATES: [usize; 9] = [6, 4, 8, 12, 3, 10, 4, 24, 16];

    /// The bundled text model at the default settings: the order promised, the error promised, and
    /// no smaller order with the same taps would do.
    #[test]
    fn default_reduction_of_the_text_model_is_small_and_good_enough() {
        let layers = bundled("shakespeare-64x9");
        let converted = convert_layers(&layers, &Method::default()).unwrap();
        assert_eq!(converted.len(), STATES.len());
        for ((conversion, layer), most) in converted.iter().zip(&layers).zip(STATES) {
            let (taps, order) = (conversion.modal.fir_len(), conversion.modal.order());
            let found = format!("{taps} taps + {order} states");
            assert!(taps <= 4 && taps + order <= most, "{found}");
            assert_eq!(conversion.warnings, []);
            let truth = layer.kernel(0..conversion.measured_lags);
            let exact = conversion.modal.kernel(0..conversion.measured_lags);
            let in_f64 = KernelError::between(exact.view(), truth.view());
            let in_f32 = conversion.kernel_error;
            assert!(in_f32.rms <= TOLERANCE && in_f32.max <= WORST * TOLERANCE);
            assert!(
                (in_f32.rms - in_f64.rms).abs() < 1e-5,
                "{in_f32:?} {in_f64:?}"
            );
            let smaller = Method::Reduced(Search {
                taps: Some(taps),
                order: Some(order - 1),
                ..Search::default()
            });
            let smaller = convert_layer(layer, &smaller).unwrap();
            assert_eq!(smaller.modal.order(), order - 1);
            assert!(smaller.kernel_error.rms > TOLERANCE);
        }
    }

    /// The lab prototype's errors (median, worst) at 4 taps, of the layers with the richest kernels.
    #[test]
    fn given_orders_reach_the_errors_of_the_prototype() {
        let layers: Vec<_> = bundled("shakespeare-64x9")
            .into_iter()
            .enumerate()
            .filter_map(|(index, layer)| [3, 7, 8].contains(&index).then_some(layer))
            .collect();
        let expected = [
            (8, [(8.0e-4, 6.6e-3), (1.0e-2, 1.2e-1), (2.3e-3, 2.9e-2)]),
            (16, [(5.8e-5, 1.5e-3), (2.7e-3, 3.0e-2), (1.9e-4, 3.8e-3)]),
        ];
        for (order, errors) in expected {
            let search = Search {
                order: Some(order),
                ..Search::default()
            };
            let converted = convert_layers(&layers, &Method::Reduced(search)).unwrap();
            for (conversion, (median, max)) in converted.iter().zip(errors) {
                assert_eq!(
                    (conversion.modal.fir_len(), conversion.modal.order()),
                    (4, order)
                );
                let found = conversion.kernel_error;
                // The prototype's residues are least squares alone; some of that is given for the peak. Refined
                // poles lower the mean over channels, at times at the median's cost.
                assert!(
                    found.median < 1.25 * median && found.max < 1.1 * max,
                    "{order}: {found:?}"
                );
                let bound = conversion.lower_bound.unwrap();
                let peak = conversion.certificate.hinf;
                assert!(
                    bound <= peak && peak < 1.5 * bound,
                    "{order}: {peak} {bound}"
                );
            }
        }
    }

    #[test]
    fn closed_form_is_exact_in_f32_before_the_end_and_warns_of_what_follows() {
        for conversion in
            convert_layers(&bundled("shakespeare-64x9"), &Method::Etsc { lags: 512 }).unwrap()
        {
            assert_eq!(conversion.modal.order(), 512);
            assert!(
                conversion.kernel_error.max < 1e-5,
                "{:?}",
                conversion.kernel_error
            );
            let [
                Warning::WrongPastEnd {
                    from: 512,
                    to: 1024,
                    error,
                },
            ] = conversion.warnings[..]
            else {
                panic!("{:?}", conversion.warnings)
            };
            assert!(error > 1e-3, "{error}");
        }
    }

    #[test]
    fn closed_form_of_a_kernel_with_an_inseparable_decay_transforms_it_as_it_is() {
        let kernel = Array2::from_shape_fn((64, 2), |(i, c)| 0.8f64.powi(i as i32) + c as f64);
        let conversion = convert_layer(&kernel, &Method::Etsc { lags: 64 }).unwrap();
        assert_eq!(conversion.warnings, [Warning::DecayNotSeparable]);
        assert!(conversion.kernel_error.max < 1e-5);
        assert!((conversion.modal.radius() - 1.0).abs() < 1e-7);
        assert_eq!(
            convert_layer(&kernel, &Method::Etsc { lags: 65 }).unwrap_err(),
            ConvertError::TooFewLags {
                lags: 65,
                known: 64
            }
        );
    }

    #[test]
    fn truncation_says_what_it_loses() {
        let layer = &bundled("shakespeare-32x2")[0];
        for taps in [8, 512] {
            let conversion = convert_layer(layer, &Method::Fir { taps }).unwrap();
            assert_eq!(
                (conversion.modal.fir_len(), conversion.modal.order()),
                (taps, 0)
            );
            assert!(conversion.measured_lags > 512);
            let lost = truncation_error(layer.kernel(0..conversion.measured_lags).view(), taps);
            assert!(lost.rms > 1e-5);
            assert!((conversion.kernel_error.rms / lost.rms - 1.0).abs() < 1e-3);
        }
    }

    fn reduced(kernel: &Array2<f64>) -> LayerConversion {
        convert_layer(kernel, &Method::default()).unwrap()
    }

    #[test]
    fn degenerate_kernels_reduce_to_what_they_are() {
        let zero = reduced(&Array2::zeros((100, 3)));
        assert_eq!(zero.modal.states_per_channel(), 0);
        assert_eq!(zero.kernel_error, KernelError::default());
        let tiny = reduced(&Array2::from_elem((100, 3), 1e-20));
        assert_eq!(tiny.modal.states_per_channel(), 0);
        assert_eq!(tiny.warnings, [Warning::TooFaint { largest: 1e-20 }]);
        assert_eq!(tiny.kernel_error.rms, 1.0);
        let constant = reduced(&Array2::from_elem((4096, 2), 3.0));
        assert_eq!(constant.modal.states_per_channel(), 1);
        assert!(matches!(
            constant.warnings[..],
            [Warning::AliveAtEnd { lags: 4096, .. }]
        ));
        let equal = Array2::from_shape_fn((500, 9), |(i, _)| 0.9f64.powi(i as i32));
        assert_eq!(reduced(&equal).modal.states_per_channel(), 1);
        // A double pole has no modal form; two close ones do.
        let double = Array2::from_shape_fn((800, 1), |(i, _)| (i as f64) * 0.95f64.powi(i as i32));
        let double = reduced(&double);
        assert!(
            double.modal.order() <= 3 && double.kernel_error.rms < TOLERANCE,
            "{double:?}"
        );
        let impulse = reduced(&Array2::from_shape_fn((50, 2), |(i, _)| {
            f64::from(u8::from(i == 2))
        }));
        assert!(impulse.modal.states_per_channel() <= 3 && impulse.kernel_error.rms < 1e-6);
    }

    #[test]
    fn an_unreachable_tolerance_is_said_aloud() {
        let noise = Array2::from_shape_fn((900, 4), |(i, c)| ((i * i * (c + 7)) as f64).sin());
        let conversion = reduced(&noise);
        assert!(conversion.modal.order() <= MAX_ORDER);
        let [Warning::ToleranceNotReached { reached, .. }] = conversion.warnings[..] else {
            panic!("{:?}", conversion.warnings)
        };
        assert_eq!(reached, conversion.kernel_error.rms);
        assert!(reached > 0.1);
    }

    /// One pole is one state, whatever is asked for.
    #[test]
    fn states_that_a_kernel_does_not_have_are_said_aloud() {
        let kernel = Array2::from_shape_fn((500, 3), |(i, _)| 0.9f64.powi(i as i32));
        let with_order = |order| {
            let search = Search {
                order: Some(order),
                taps: Some(0),
                ..Search::default()
            };
            convert_layer(&kernel, &Method::Reduced(search))
                .unwrap()
                .warnings
        };
        assert_eq!(with_order(1), []);
        assert_eq!(
            with_order(1000),
            [Warning::FewerStates {
                asked: 1000,
                found: 1
            }]
        );
    }

    #[test]
    fn advice_is_what_was_not_tried() {
        let noise = Array2::from_shape_fn((900, 4), |(i, c)| ((i * i * (c + 7)) as f64).sin());
        let given = Method::Reduced(Search {
            order: Some(2),
            ..Search::default()
        });
        let given = convert_layer(&noise, &given).unwrap().warnings;
        let text = given[0].to_string();
        assert!(
            text.contains("--order") && !text.contains("--tolerance"),
            "{text}"
        );
    }

    #[test]
    fn unusable_sources_are_refused() {
        let refused = |kernel: Array2<f64>| convert_layer(&kernel, &Method::default()).unwrap_err();
        assert!(matches!(
            refused(Array2::zeros((0, 2))),
            ConvertError::Empty {
                lags: 0,
                channels: 2
            }
        ));
        assert!(matches!(
            refused(Array2::zeros((2, 0))),
            ConvertError::Empty {
                lags: _,
                channels: 0
            }
        ));
        let mut kernel = Array2::ones((4, 2));
        kernel[[3, 1]] = f64::NAN;
        assert_eq!(
            refused(kernel),
            ConvertError::NotFinite { lag: 3, channel: 1 }
        );
        assert!(matches!(
            refused(Array2::from_elem((4, 2), 1e31)),
            ConvertError::TooLarge { .. }
        ));
        let nonsense = Method::Reduced(Search {
            tolerance: f64::NAN,
            ..Search::default()
        });
        assert!(matches!(
            convert_layer(&Array2::ones((4, 2)), &nonsense).unwrap_err(),
            ConvertError::Tolerance(_)
        ));
    }

    fn table() -> impl Strategy<Value = Array2<f64>> {
        let scale = prop_oneof![Just(0.0), Just(1.0), Just(1e-320), Just(1e-12), Just(1e29)];
        (1usize..40, 1usize..6, scale).prop_flat_map(|(lags, channels, scale)| {
            prop::collection::vec(-1.0f64..1.0, lags * channels)
                .prop_map(move |v| Array2::from_shape_vec((lags, channels), v).unwrap() * scale)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_table_gives_a_stable_finite_form(
            kernel in table(),
            taps in prop::option::of(0usize..50),
            order in prop::option::of(0usize..50),
        ) {
            let search = Search { taps, order, ..Search::default() };
            let conversion = match convert_layer(&kernel, &Method::Reduced(search)) {
                // Residues of a few lags' noise can be far larger than the kernel itself.
                Err(ConvertError::TooLarge { .. }) if kernel.sum().abs() > 1e20 => return Ok(()),
                other => other.unwrap(),
            };
            prop_assert!(conversion.modal.radius() < 1.0);
            prop_assert!(conversion.kernel_error.max.is_finite());
            let rounded = conversion.modal.to_f32_safe();
            prop_assert_eq!(rounded.validate(), Ok(()));
            prop_assert!(rounded.kernel(0..200).iter().all(|x| x.is_finite()));
            for (pole, residues) in conversion.modal.poles.iter().zip(conversion.modal.residues.outer_iter()) {
                prop_assert!(pole.im >= 0.0);
                prop_assert!(pole.im > 0.0 || residues.iter().all(|r| r.im == 0.0));
            }
        }
    }
}
