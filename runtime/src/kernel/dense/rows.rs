//! Row-major bytes.
//!
//! Where there are vectors, LLVM makes them of the plain sum of a row ([`by_one`]). For cores without
//! it finds too few registers for several rows at a time, so those have kernels in assembly: four rows
//! (six with MVE) share an activation that is loaded once.

/// `sum x y` in i32, which at most [`MAX_COLUMNS`](crate::format::MAX_COLUMNS) columns cannot overflow.
#[inline]
pub fn dot_i8(x: &[i8], y: &[i8]) -> i32 {
    x.iter().zip(y).fold(0i32, |sum, (x, y)| {
        sum.wrapping_add(i32::from(*x) * i32::from(*y))
    })
}

/// The sums of all rows of `weights`, each as long as `q`, in plain Rust: what kernels for single
/// cores must compute.
pub fn by_one(weights: &[i8], q: &[i8], sums: &mut [i32]) {
    if q.is_empty() {
        return; // never: dimensions are checked; it tells the compiler that chunks have a size
    }
    for (row, sum) in weights.chunks_exact(q.len()).zip(sums) {
        *sum = dot_i8(row, q);
    }
}

/// The sums of all rows by `kernel`, which computes those of `ROWS` rows for every element of its last
/// argument, one after the other. It is given at least one, a column, and all weights.
///
/// Rows that are left over are a last block that begins before them: what it computes again stays what
/// it is.
#[cfg_attr(
    not(any(toeplite_thumb1, toeplite_thumb2, toeplite_mve, toeplite_rv32m, test)),
    expect(dead_code, reason = "there is no kernel for this target")
)]
#[inline]
pub(super) fn by_block<const ROWS: usize>(
    weights: &[i8],
    q: &[i8],
    sums: &mut [i32],
    kernel: impl Fn(&[i8], &[i8], &mut [[i32; ROWS]]),
) {
    let (rows, columns) = (sums.len(), q.len());
    let fits = rows
        .checked_mul(columns)
        .is_some_and(|n| n <= weights.len());
    let Some(last) = rows.checked_sub(ROWS).filter(|_| fits && columns != 0) else {
        return by_one(weights, q, sums);
    };
    kernel(weights, q, sums.as_chunks_mut().0);
    if !rows.is_multiple_of(ROWS) {
        let weights = weights.get(last * columns..).unwrap_or(&[]);
        if let Some(sums) = sums.last_chunk_mut::<ROWS>() {
            kernel(weights, q, core::slice::from_mut(sums));
        }
    }
}

/// The same for two tokens with sums of their own: `kernel` is given weights and where the sums of each go.
/// Whether there were enough rows.
#[cfg(any(toeplite_thumb1, toeplite_thumb2, toeplite_mve, toeplite_rv32m, test))]
pub(super) fn by_block_of_two<const ROWS: usize>(
    weights: &[i8],
    columns: usize,
    [sums0, sums1]: [&mut [i32]; 2],
    kernel: impl Fn(&[i8], [&mut [[i32; ROWS]]; 2]),
) -> bool {
    let rows = sums0.len();
    let needed = rows.checked_mul(columns);
    let fits = needed.is_some_and(|n| n <= weights.len()) && sums1.len() == rows && columns != 0;
    let Some(last) = rows.checked_sub(ROWS).filter(|_| fits) else {
        return false;
    };
    kernel(weights, [sums0.as_chunks_mut().0, sums1.as_chunks_mut().0]);
    if !rows.is_multiple_of(ROWS) {
        let weights = weights.get(last * columns..).unwrap_or(&[]);
        if let (Some(sums0), Some(sums1)) = (sums0.last_chunk_mut(), sums1.last_chunk_mut()) {
            kernel(weights, [sums0, sums1].map(core::slice::from_mut));
        }
    }
    true
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec;

    proptest! {
        #[test]
        fn blocks_are_all_rows(
            rows in 1usize..20,
            q in prop::collection::vec(-127i8..=127, 1..70),
            weights in prop::collection::vec(-127i8..=127, 19 * 70),
        ) {
            let weights = &weights[..rows * q.len()];
            let [mut one, mut four, mut six] = [(); 3].map(|()| vec![-1; rows]);
            by_one(weights, &q, &mut one);
            by_block::<4>(weights, &q, &mut four, |w, q, sums| {
                assert!(!sums.is_empty() && w.len() >= sums.as_flattened().len() * q.len());
                by_one(w, q, sums.as_flattened_mut());
            });
            by_block::<6>(weights, &q, &mut six, |w, q, sums| {
                assert!(!sums.is_empty() && w.len() >= sums.as_flattened().len() * q.len());
                by_one(w, q, sums.as_flattened_mut());
            });
            prop_assert_eq!(&one, &four);
            prop_assert_eq!(&one, &six);
            let (mut first, mut second) = (vec![-1; rows], vec![-1; rows]);
            let done = by_block_of_two::<3>(weights, q.len(), [&mut first, &mut second], |w, sums| {
                assert!(!sums[0].is_empty() && sums[0].len() == sums[1].len());
                for sums in sums {
                    by_one(w, &q, sums.as_flattened_mut());
                }
            });
            prop_assert_eq!(done, rows >= 3);
            if done {
                prop_assert_eq!(&one, &first);
                prop_assert_eq!(&one, &second);
            }
        }
    }
}
