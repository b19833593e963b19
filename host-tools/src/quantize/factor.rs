//! Triangular factors.

use ndarray::{Array2, ArrayView2, Axis, s};
use rayon::prelude::*;

/// Columns factored together.
const BLOCK: usize = 48;

/// The upper triangular `r` with `h = r r^T`, of a symmetric positive definite `h` `[n, n]`; nothing
/// if it is not that.
///
/// From the last column to the first, in blocks: a block's columns are what is left of `h` after
/// the products of the columns behind it.
pub fn upper_factor(h: ArrayView2<'_, f64>) -> Option<Array2<f64>> {
    let n = h.nrows();
    let mut r = Array2::<f64>::zeros((n, n));
    let mut end = n;
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        let behind = r.slice(s![..end, end..]).to_owned();
        let mut left = h.slice(s![..end, start..end]).to_owned();
        let these = behind.slice(s![start.., ..]).reversed_axes();
        left.axis_chunks_iter_mut(Axis(0), BLOCK)
            .into_par_iter()
            .zip(behind.axis_chunks_iter(Axis(0), BLOCK))
            .for_each(|(mut left, behind)| left -= &behind.dot(&these));
        for j in (start..end).rev() {
            let square = left[(j, j - start)];
            if !(square > 0.0 && square.is_finite()) {
                return None;
            }
            let inverse = 1.0 / square.sqrt();
            let mut column = left.slice(s![..=j, j - start]).to_owned();
            column *= inverse;
            for k in start..j {
                let factor = column[k];
                let mut to = left.slice_mut(s![..=k, k - start]);
                to.scaled_add(-factor, &column.slice(s![..=k]));
            }
            r.slice_mut(s![..=j, j]).assign(&column);
        }
        end = start;
    }
    Some(r)
}

/// `c r^-T` for an upper triangular `r`.
pub fn divide_transposed(mut c: Array2<f64>, r: ArrayView2<'_, f64>) -> Array2<f64> {
    c.axis_iter_mut(Axis(0)).into_par_iter().for_each(|mut g| {
        for (j, row) in r.rows().into_iter().enumerate().rev() {
            let known = g.slice(s![j + 1..]).dot(&row.slice(s![j + 1..]));
            g[j] = (g[j] - known) / row[j];
        }
    });
    c
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Sizes around those of blocks.
        #[test]
        fn factor_and_quotient_are_what_they_say(n in 1usize..150, seed in any::<u32>()) {
            let mut state = u64::from(seed);
            let a = Array2::from_shape_simple_fn((n, n), || {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
                (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
            });
            let h = a.dot(&a.t()) + Array2::<f64>::eye(n);
            let r = upper_factor(h.view()).unwrap();
            prop_assert!(r.indexed_iter().all(|((i, j), x)| i <= j || *x == 0.0));
            let error = |found: &Array2<f64>, expected: &Array2<f64>| {
                (found - expected).iter().fold(0f64, |m, x| m.max(x.abs()))
            };
            prop_assert!(error(&r.dot(&r.t()), &h) < 1e-10 * n as f64);
            let quotient = divide_transposed(a.clone(), r.view());
            prop_assert!(error(&quotient.dot(&r.t()), &a) < 1e-10 * n as f64);
        }
    }

    #[test]
    fn what_is_not_positive_definite_has_no_factor() {
        let indefinite = ndarray::array![[1.0, 2.0], [2.0, 1.0]];
        assert_eq!(upper_factor(indefinite.view()), None);
        assert_eq!(upper_factor(Array2::zeros((3, 3)).view()), None);
        assert_eq!(
            upper_factor(Array2::from_elem((1, 1), f64::NAN).view()),
            None
        );
    }
}
