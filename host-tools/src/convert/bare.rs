//! Bare kernels: any long convolution, given as a table.
//!
//! A trained Toeplitz layer is smooth behind a few taps. Any kernel at all need not be: a delay is
//! as many taps as it is long, noise is nothing but taps. So where the search over small recurrences
//! ends without success, larger ones and longer FIR heads are tried, and the smallest that is within
//! the tolerance is taken. One that does not halve the kernel's own taps is not worth its poles: then
//! the taps are kept, which are exact and cost a quarter of the closed form of as many lags.

use super::error::ConvertError;
use super::fir::truncation_error;
use super::layer::{LayerConversion, Method, convert_layer};
use super::search::{MAX_ORDER, MAX_TAPS, Search};
use super::warning::Warning;
use ndarray::Array2;

/// The most states that are tried before a kernel counts as one that has no small recurrence.
pub const MOST_STATES: usize = 128;

/// The longest FIR head in front of a recurrence.
const MOST_TAPS: usize = 1024;

/// Converts `table` `[lags, channels]`, unknown past its end. Numbers of taps or states that `search`
/// gives are used as they are.
///
/// # Errors
/// [`ConvertError`].
pub fn convert_table(
    table: &Array2<f64>,
    search: &Search,
) -> Result<LayerConversion, ConvertError> {
    let small = convert_layer(table, &Method::Reduced(*search))?;
    let given = search.order.is_some() || search.taps.is_some();
    if given || search.accepts(&small.kernel_error) {
        return Ok(small);
    }
    let taps = fewest_taps(table, search);
    let mut best: Option<LayerConversion> = None;
    for head in heads(table.nrows()) {
        let cost = best
            .as_ref()
            .map_or(taps / 2, |b| b.modal.states_per_channel());
        let Some(most) = cost.checked_sub(head + 1) else {
            break;
        };
        let found = fewest_states(table, search, head, most.min(MOST_STATES))?;
        best = found.or(best);
    }
    if let Some(best) = best {
        return Ok(best);
    }
    let mut whole = convert_layer(table, &Method::Fir { taps })?;
    whole.warnings.push(Warning::NoSmallRecurrence {
        taps,
        states: MOST_STATES,
        reached: small.kernel_error.rms,
    });
    Ok(whole)
}

/// Lengths of FIR heads to try.
fn heads(lags: usize) -> impl Iterator<Item = usize> {
    let longer = (3..).map(|power| 1usize << power);
    [MAX_TAPS]
        .into_iter()
        .chain(longer)
        .take_while(move |head| *head <= MOST_TAPS.min(lags))
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
    let with = |order| {
        let search = Search {
            taps: Some(taps),
            order: Some(order),
            ..*search
        };
        let found = convert_layer(table, &Method::Reduced(search))?;
        let accepted = search.accepts(&found.kernel_error);
        Ok::<_, ConvertError>(accepted.then_some(found))
    };
    let Some(mut best) = with(most)? else {
        return Ok(None);
    };
    // With the usual number of taps, the usual orders have all been tried.
    let (mut few, mut many) = (
        if taps == MAX_TAPS { MAX_ORDER + 1 } else { 0 },
        best.modal.order(),
    );
    while few < many {
        let middle = few.midpoint(many);
        match with(middle)? {
            Some(smaller) => {
                many = middle;
                best = smaller;
            }
            None => few = middle + 1,
        }
    }
    Ok(Some(best))
}

#[cfg(test)]
mod tests {
    use super::super::search::TOLERANCE;
    use super::*;

    fn converted(lags: usize, kernel: impl Fn(f64, usize) -> f64) -> LayerConversion {
        let table = Array2::from_shape_fn((lags, 3), |(i, c)| kernel(i as f64, c));
        let found = convert_table(&table, &Search::default()).unwrap();
        assert!(
            found.kernel_error.rms <= TOLERANCE,
            "{:?}",
            found.kernel_error
        );
        let lags = 0..found.measured_lags;
        let far =
            found.modal.to_f32_safe().kernel(lags.clone()) - table.slice(ndarray::s![lags, ..]);
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
}
