//! Bare kernels: any long convolution, given as a table.
//!
//! A trained Toeplitz layer is smooth behind a few taps. Any kernel at all need not be: a delay is
//! as many taps as it is long, noise is nothing but taps. So where the search over small recurrences
//! ends without success, larger ones and longer FIR heads are tried, and the smallest that is within
//! the tolerance is taken. One that does not halve the kernel's own taps is not worth its poles: then
//! the taps are kept, which are exact and cost a quarter of the closed form of as many lags.
//!
//! All of it is done in units of the kernel's largest coefficient: a kernel has the recurrence of any
//! multiple of it.

use super::check::{check_table, largest_of};
use super::error::ConvertError;
use super::fir::truncation_error;
use super::layer::{LayerConversion, Method, convert_layer};
use super::measure::unit;
use super::rounding::FLUSH;
use super::search::{MAX_ORDER, MAX_TAPS, Search};
use super::warning::Warning;
use ndarray::Array2;

/// The most states that are tried before a kernel counts as one that has no small recurrence.
pub const MOST_STATES: usize = 128;

/// The longest FIR head in front of a recurrence.
const MOST_TAPS: usize = 1024;

/// Converts `table` `[lags, channels]`, unknown past its end: of the methods that go by a number of lags, all that it has.
/// Numbers of taps or states that are given are used as they are.
///
/// # Errors
/// [`ConvertError`].
pub fn convert_table(
    table: &Array2<f64>,
    method: &Method,
) -> Result<LayerConversion, ConvertError> {
    check_table(table.view())?;
    let unit = unit(table.view());
    let scaled = table / unit;
    let lags = table.nrows();
    let found = match *method {
        Method::Reduced(search) => smallest(&scaled, &search),
        Method::Etsc { .. } => convert_layer(&scaled, &Method::Etsc { lags }),
        Method::Fir { taps } => {
            let taps = taps.min(lags);
            convert_layer(&scaled, &Method::Fir { taps })
        }
    };
    let mut found = found?.in_units_of(unit)?;
    // What f32 resolves of the largest coefficients.
    if unit * f64::from(f32::EPSILON) < FLUSH {
        let (largest, _) = largest_of(table.view());
        found.warnings.push(Warning::TooFaint { largest });
    }
    Ok(found)
}

/// The smallest form within the tolerance.
fn smallest(table: &Array2<f64>, search: &Search) -> Result<LayerConversion, ConvertError> {
    let small = convert_layer(table, &Method::Reduced(*search))?;
    let given = search.order.is_some() || search.taps.is_some();
    if given || search.accepts(&small.kernel_error) {
        return Ok(small);
    }
    let taps = fewest_taps(table, search);
    if let Some(found) = behind_a_head(table, search, taps / 2)? {
        return Ok(found);
    }
    let mut whole = convert_layer(table, &Method::Fir { taps })?;
    whole.warnings.push(Warning::NoSmallRecurrence {
        taps,
        states: MOST_STATES,
        reached: small.kernel_error.rms,
    });
    Ok(whole)
}

/// The smallest reduction of fewer than `cost` taps and states within the tolerance, with any of the [`heads`].
fn behind_a_head(
    table: &Array2<f64>,
    search: &Search,
    mut cost: usize,
) -> Result<Option<LayerConversion>, ConvertError> {
    let heads = heads(table.nrows().min(cost.saturating_sub(1)));
    // What a short head and some states are, a long head and as many states are too.
    let Some(longest) = heads.last() else {
        return Ok(None);
    };
    if with(table, search, *longest, MOST_STATES)?.is_none() {
        return Ok(None);
    }
    let mut best = None;
    for head in heads {
        let Some(most) = cost.checked_sub(head + 1) else {
            break;
        };
        if let Some(found) = fewest_states(table, search, head, most.min(MOST_STATES))? {
            cost = found.modal.states_per_channel();
            best = Some(found);
        }
    }
    Ok(best)
}

/// Lengths of FIR heads to try, rising.
fn heads(most: usize) -> Vec<usize> {
    let longer = (3..).map(|power| 1usize << power);
    let all = [MAX_TAPS].into_iter().chain(longer);
    all.take_while(|head| *head <= MOST_TAPS.min(most))
        .collect()
}

/// The fewest taps that are within the tolerance by themselves.
fn fewest_taps(table: &Array2<f64>, search: &Search) -> usize {
    let enough = |taps| search.accepts(&truncation_error(table.view(), taps));
    let (mut few, mut many) = (0, table.nrows());
    while few < many {
        let middle = few.midpoint(many);
        if enough(middle) {
            many = middle;
        } else {
            few = middle + 1;
        }
    }
    few
}

/// The smallest reduction with `taps` taps and at most `most` states within the tolerance, by
/// bisection: errors fall with the order but for exceptions that a state or two make good.
fn fewest_states(
    table: &Array2<f64>,
    search: &Search,
    taps: usize,
    most: usize,
) -> Result<Option<LayerConversion>, ConvertError> {
    let Some(mut best) = with(table, search, taps, most)? else {
        return Ok(None);
    };
    // With the usual number of taps, the usual orders have all been tried.
    let (mut few, mut many) = (
        if taps == MAX_TAPS { MAX_ORDER + 1 } else { 0 },
        best.modal.order(),
    );
    while few < many {
        let middle = few.midpoint(many);
        match with(table, search, taps, middle)? {
            Some(smaller) => {
                many = middle;
                best = smaller;
            }
            None => few = middle + 1,
        }
    }
    Ok(Some(best))
}

/// The reduction to so many taps and states, if it is within the tolerance.
fn with(
    table: &Array2<f64>,
    search: &Search,
    taps: usize,
    order: usize,
) -> Result<Option<LayerConversion>, ConvertError> {
    let search = Search {
        taps: Some(taps),
        order: Some(order),
        ..*search
    };
    let found = convert_layer(table, &Method::Reduced(search))?;
    let accepted = search.accepts(&found.kernel_error);
    Ok(accepted.then_some(found))
}

#[cfg(test)]
mod tests {
    use super::super::measure::KernelError;
    use super::super::search::TOLERANCE;
    use super::*;

    fn converted(lags: usize, kernel: impl Fn(f64, usize) -> f64) -> LayerConversion {
        let table = Array2::from_shape_fn((lags, 3), |(i, c)| kernel(i as f64, c));
        let found = convert_table(&table, &Method::default()).unwrap();
        assert!(
            found.kernel_error.rms <= TOLERANCE,
            "{:?}",
            found.kernel_error
        );
        let lags = 0..found.measured_lags;
        let far = found.realised(lags.clone()) - table.slice(ndarray::s![lags, ..]);
        for (c, bound) in found.certificate.l1.iter().enumerate() {
            assert!(far.column(c).iter().map(|e| e.abs()).sum::<f64>() <= *bound);
        }
        found
    }

    fn noise(i: f64, c: usize) -> f64 {
        (i * i * 0.7391 + i * (c + 1) as f64).sin()
    }

    /// What state-space, oscillating and gated convolutions look like.
    #[test]
    fn kernels_that_have_a_small_recurrence_get_one() {
        let states = |lags, kernel: fn(f64, usize) -> f64| {
            converted(lags, kernel).modal.states_per_channel()
        };
        // diagonal state space: a few complex modes, slow ones among them
        assert!(
            states(8192, |i, c| {
                (1..4)
                    .map(|k| {
                        (-i / (40.0 * (k * k) as f64)).exp() * (i * 0.3 * k as f64 + c as f64).cos()
                    })
                    .sum()
            }) <= 6
        );
        // growing, then decaying
        assert!(
            states(4000, |i, c| i.powi(2)
                * (-i / (90.0 + 30.0 * c as f64)).exp())
                <= 12
        );
        // not decaying
        assert!(states(3000, |i, c| 1.0 + (0.01 * i).cos() * c as f64) <= 3);
        // algebraic decay, longer than any window
        assert!(states(16384, |i, c| (1.0 + i / (1.0 + c as f64)).powf(-0.8)) <= 24);
    }

    #[test]
    fn kernels_that_have_none_keep_their_taps_and_say_so() {
        let white = converted(300, noise);
        assert_eq!(white.method.name(), "fir");
        assert!(white.modal.fir_len() > 290);
        assert!(
            matches!(white.warnings[..], [Warning::NoSmallRecurrence { .. }]),
            "{:?}",
            white.warnings
        );
        // fading noise needs as many taps as are heard
        let fading = converted(500, |i, c| noise(i, c) * (-i / 20.0).exp());
        assert!(
            (60..180).contains(&fading.modal.fir_len()),
            "{}",
            fading.modal.fir_len()
        );
        let delay = converted(500, |i, _| f64::from(u8::from(i == 333.0)));
        assert_eq!((delay.modal.fir_len(), delay.modal.order()), (334, 0));
    }

    #[test]
    fn a_tail_behind_many_spiky_lags_gets_a_longer_head() {
        let found = converted(1500, |i, c| {
            if i < 60.0 {
                noise(i, c)
            } else {
                (-(i - 60.0) / 200.0).exp()
            }
        });
        assert_eq!(found.method.name(), "reduced");
        assert!(
            found.modal.fir_len() == 64 && found.modal.order() <= 3,
            "{:?}",
            found.modal.order()
        );
    }

    /// A delay, noise at the end: whatever comes late takes taps, and that is found out soon.
    #[test]
    fn a_late_burst_keeps_its_taps() {
        let burst = converted(6000, |i, c| if i < 5700.0 { 0.0 } else { noise(i, c) });
        assert_eq!(burst.method.name(), "fir");
        assert!(burst.modal.fir_len() > 5990);
    }

    /// Whatever a kernel is multiplied by, its recurrence is multiplied by.
    #[test]
    fn scale_changes_nothing_but_the_scale() {
        let kernels: [fn(f64, f64) -> f64; 3] = [
            |i, c| (1.0 + i / (1.0 + c)).powf(-0.8),
            |i, c| 0.98f64.powf(i) * (0.3 * i + c).cos() + 0.5f64.powf(i),
            |i, c| {
                if i < 40.0 {
                    (i * i * (c + 1.0)).sin()
                } else {
                    0.0
                }
            },
        ];
        let methods = [
            Method::default(),
            Method::Etsc { lags: 300 },
            Method::Fir { taps: 9 },
        ];
        for (kernel, method) in kernels
            .iter()
            .zip([methods[0]; 3])
            .chain(kernels.iter().zip(methods).skip(1))
        {
            let table = Array2::from_shape_fn((300, 2), |(i, c)| kernel(i as f64, c as f64));
            let plain = convert_table(&table, &method).unwrap();
            for scale in [
                1e-37, 1e-30, 1e-20, 1e-15, 1e-9, 1e-3, 3.0, 1e10, 1e20, 1e30,
            ] {
                let table = &table * scale;
                let found = convert_table(&table, &method).unwrap();
                let size = (found.modal.fir_len(), found.modal.order());
                assert_eq!(size, (plain.modal.fir_len(), plain.modal.order()));
                // rounding is another at another scale
                let near = |a: f64, b: f64| (a - b).abs() <= 0.05 * b + 1e-6;
                assert!(
                    near(found.kernel_error.rms, plain.kernel_error.rms),
                    "{scale:e}: {:?} {:?}",
                    found.kernel_error,
                    plain.kernel_error
                );
                let bounds = [&found, &plain].map(|l| l.certificate.hinf);
                assert!(near(bounds[0] / scale, bounds[1]), "{scale:e}: {bounds:?}");
                let made = KernelError::between(found.realised(0..300).view(), table.view());
                assert!(
                    near(made.rms, plain.kernel_error.rms),
                    "{scale:e}: {made:?}"
                );
                let faint = |w: &Warning| matches!(w, Warning::TooFaint { .. });
                assert_eq!(found.warnings.iter().any(faint), scale <= 1e-9, "{scale:e}");
            }
        }
    }

    #[test]
    fn what_f32_cannot_hold_is_refused_by_channel() {
        let at = |largest: f64| {
            let mut table = Array2::zeros((9, 3));
            table[[4, 2]] = largest;
            convert_table(&table, &Method::default()).map(|found| found.kernel_error.rms < 1e-6)
        };
        assert!(matches!(
            at(1e39),
            Err(ConvertError::TooLarge { channel: 2, .. })
        ));
        assert!(matches!(
            at(1e-39),
            Err(ConvertError::TooSmall { channel: 2, .. })
        ));
        assert!(matches!(
            at(f64::INFINITY),
            Err(ConvertError::NotFinite { lag: 4, channel: 2 })
        ));
        assert_eq!((at(1e38), at(-2e-38)), (Ok(true), Ok(true)));
    }
}
