//! Where the kernels come from: an RPE network, defined at every lag, or a table.

use ndarray::{Array2, ArrayView1, ArrayView2, s};
use std::ops::Range;

/// The most lags that a conversion looks at when it fits. A decay of .999 has fallen to .017 there,
/// one of .99 to 1e-18.
pub const MAX_WINDOW: usize = 4096;

/// The same for a kernel that is a table: its own lags are all there is to go by.
pub const MAX_TABLE: usize = 1 << 16;

/// What is left of a kernel, relative to its largest coefficient in the same channel, where it
/// counts as died out.
const DEAD: f64 = 1e-8;

/// What is left of a kernel in its last lag that is alive, relative to its largest coefficient, where it does not fade but ends.
const END: f64 = 1e-6;

/// One layer's causal kernels.
pub trait KernelSource: Sync {
    /// Channels of the layer.
    fn channels(&self) -> usize;

    /// The kernels as the layer applies them (decay and kernel activation included) at `lags`,
    /// `[lags, channels]`.
    fn kernel(&self, lags: Range<usize>) -> Array2<f64>;

    /// Lags at which the kernels are known; `None` for all of them.
    fn known_lags(&self) -> Option<usize> {
        None
    }

    /// Gamma a channel where `kernel(i) = gamma^i * undecayed(i)`, all 1 for a kernel without decay.
    /// `None` where it is unknown or cannot be separated (a kernel activation comes after it).
    fn decay(&self) -> Option<Vec<f64>> {
        None
    }

    /// A bound a channel of `sum |kernel(i)|` over all `i >= from`; `None` where there is none.
    fn tail_bound(&self, from: usize) -> Option<Vec<f64>> {
        let _ = from;
        None
    }
}

/// A table `[lags, channels]` of kernels, unknown past its last row.
impl KernelSource for Array2<f64> {
    fn channels(&self) -> usize {
        self.ncols()
    }

    fn kernel(&self, lags: Range<usize>) -> Array2<f64> {
        self.slice(s![lags, ..]).to_owned()
    }

    fn known_lags(&self) -> Option<usize> {
        Some(self.nrows())
    }
}

/// The lags that a fit looks at: from 0 until every channel has died out, at most [`MAX_WINDOW`], or
/// those that are known, up to [`MAX_TABLE`]. `[window, channels]`, at least one lag unless none is known.
///
/// Of a kernel that ends before it has faded, as those of few frequencies do, as many lags behind its end: a fit that
/// does not see the end goes on past it.
pub fn fit_window(source: &(impl KernelSource + ?Sized)) -> Array2<f64> {
    let most = source
        .known_lags()
        .map_or(MAX_WINDOW, |known| known.min(MAX_TABLE));
    let alive = |kernel: Array2<f64>| {
        let alive = alive_lags(kernel.view()).max(1).min(kernel.nrows());
        kernel.slice(s![..alive, ..]).to_owned()
    };
    // half of the lags tell, if the kernel has been dead for a while at their end; tables are read anyway
    let half = most / 2;
    if source.known_lags().is_none() {
        let first = alive(source.kernel(0..half));
        if first.nrows() + half / 16 < half {
            return match ends(first.view()) {
                true => source.kernel(0..2 * first.nrows()),
                false => first,
            };
        }
    }
    alive(source.kernel(0..most))
}

/// Whether a kernel is far from zero in its last row.
fn ends(kernel: ArrayView2<f64>) -> bool {
    let largest = |row: ArrayView1<f64>| row.iter().fold(0.0, |a: f64, x| a.max(x.abs()));
    let peak = kernel.outer_iter().map(largest).fold(0.0, f64::max);
    kernel.outer_iter().next_back().map_or(0.0, largest) > END * peak
}

/// The lags that an error is measured on: all that a table has, up to [`MAX_TABLE`]; of a kernel that is known everywhere the
/// fit's window, or twice as many where it is still alive at its end, so that extrapolation shows.
pub fn measure_window(
    source: &(impl KernelSource + ?Sized),
    fitted: ArrayView2<f64>,
) -> Array2<f64> {
    if let Some(known) = source.known_lags() {
        return source.kernel(0..known.min(MAX_TABLE));
    }
    if fitted.nrows() < MAX_WINDOW {
        return fitted.to_owned();
    }
    source.kernel(0..2 * MAX_WINDOW)
}

/// `lags`, or as many as are known.
pub fn lags_up_to(source: &(impl KernelSource + ?Sized), lags: usize) -> usize {
    source.known_lags().map_or(lags, |known| known.min(lags))
}

/// One more than the last lag at which some channel is above [`DEAD`].
fn alive_lags(kernel: ArrayView2<f64>) -> usize {
    let mut largest = vec![0.0; kernel.ncols()];
    for row in kernel.outer_iter() {
        for (peak, x) in largest.iter_mut().zip(row) {
            *peak = f64::max(*peak, x.abs());
        }
    }
    let alive = |row: ArrayView1<f64>| row.iter().zip(&largest).any(|(x, p)| x.abs() > DEAD * p);
    let rows = kernel.nrows();
    (0..rows)
        .rev()
        .find(|&lag| alive(kernel.row(lag)))
        .map_or(0, |last| last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Decaying(f64);
    impl KernelSource for Decaying {
        fn channels(&self) -> usize {
            2
        }
        fn kernel(&self, lags: Range<usize>) -> Array2<f64> {
            Array2::from_shape_fn((lags.len(), 2), |(i, c)| {
                c as f64 * self.0.powf((lags.start + i) as f64)
            })
        }
    }

    #[test]
    fn window_ends_where_the_kernel_has_died_out() {
        let window = fit_window(&Decaying(0.99));
        assert_eq!(window.nrows(), 1833);
        assert_eq!(measure_window(&Decaying(0.99), window.view()).nrows(), 1833);
        let window = fit_window(&Decaying(0.999));
        assert_eq!(window.nrows(), MAX_WINDOW);
        assert_eq!(
            measure_window(&Decaying(0.999), window.view()).nrows(),
            8192
        );
    }

    struct Ending;
    impl KernelSource for Ending {
        fn channels(&self) -> usize {
            1
        }
        fn kernel(&self, lags: Range<usize>) -> Array2<f64> {
            let kernel = |lag: usize| {
                if lag < 256 {
                    0.99f64.powf(lag as f64)
                } else {
                    0.0
                }
            };
            Array2::from_shape_fn((lags.len(), 1), |(i, _)| kernel(lags.start + i))
        }
    }

    #[test]
    fn a_window_shows_the_end_of_a_kernel_that_does_not_fade() {
        let window = fit_window(&Ending);
        assert_eq!(window.nrows(), 512);
        assert_eq!(measure_window(&Ending, window.view()).nrows(), 512);
    }

    #[test]
    fn a_table_is_never_read_past_its_end() {
        let table = Array2::from_elem((5, 3), 1.0);
        let window = fit_window(&table);
        assert_eq!(window.nrows(), 5);
        assert_eq!(measure_window(&table, window.view()).nrows(), 5);
        assert_eq!(fit_window(&Array2::zeros((7, 1))).nrows(), 1);
        assert_eq!(fit_window(&Array2::zeros((0, 1))).nrows(), 0);
    }
}
