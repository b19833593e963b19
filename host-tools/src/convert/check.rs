//! Which kernels and recurrences f32 can hold.

use super::error::ConvertError;
use super::modal::Modal;
use ndarray::ArrayView2;

/// Kernel coefficients and residues beyond this would overflow f32 when they are summed.
pub const LARGEST: f64 = 1e30;

/// Refuses kernels that no recurrence in f32 can realise.
pub fn check(kernel: ArrayView2<f64>) -> Result<(), ConvertError> {
    check_numbers(kernel)?;
    check_largest(kernel, LARGEST)
}

/// Refuses what has no numbers, or some that are none.
fn check_numbers(kernel: ArrayView2<f64>) -> Result<(), ConvertError> {
    let (lags, channels) = kernel.dim();
    if lags == 0 || channels == 0 {
        return Err(ConvertError::Empty { lags, channels });
    }
    if let Some(((lag, channel), _)) = kernel.indexed_iter().find(|(_, x)| !x.is_finite()) {
        return Err(ConvertError::NotFinite { lag, channel });
    }
    Ok(())
}

/// Refuses a table that has no numbers, or some that f32 cannot hold.
pub fn check_table(table: ArrayView2<f64>) -> Result<(), ConvertError> {
    check_numbers(table)?;
    check_largest(table, f32::MAX.into())?;
    let (largest, channel) = largest_of(table);
    if 0.0 < largest && largest < f32::MIN_POSITIVE.into() {
        return Err(ConvertError::TooSmall { largest, channel });
    }
    Ok(())
}

fn check_largest(kernel: ArrayView2<f64>, most: f64) -> Result<(), ConvertError> {
    let what = "kernel coefficients";
    at_most(most, what, largest_of(kernel))
}

/// Refuses residues above `most`.
pub fn check_residues(modal: &Modal, most: f64) -> Result<(), ConvertError> {
    let sizes = modal.residues.mapv(|r| r.norm());
    at_most(most, "residues", largest_of(sizes.view()))
}

fn at_most(
    most: f64,
    what: &'static str,
    (largest, channel): (f64, usize),
) -> Result<(), ConvertError> {
    if largest <= most {
        return Ok(());
    }
    Err(ConvertError::TooLarge {
        what,
        largest,
        channel,
    })
}

/// The largest size of a number of a table, and its channel.
pub fn largest_of(table: ArrayView2<f64>) -> (f64, usize) {
    let sizes = table.indexed_iter().map(|((_, c), x)| (x.abs(), c));
    sizes.fold((0.0, 0), |a, b| if b.0 > a.0 { b } else { a })
}
