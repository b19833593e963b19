//! Poles moved to where the error's peak over frequency is smaller.
//!
//! Kernels that fall slowly and are alive at the end of the window, such as `1 / (1 + i)`, have most of their energy in a few
//! early lags and most of their transform's peak in thousands of late ones. Poles that are best in l2 leave a
//! peak of 3 to 8 times the bound there, which no residues level. So the poles take part in Lawson's
//! iteration: a Gauss-Newton step of the weighted squares over frequencies (as [`refine`](super::refine) takes them over
//! lags), then other weights. It is for reductions that all else leaves above
//! [`minimax::TWICE`](super::minimax::TWICE) times the bound, since the l2 error rises.

use super::minimax::{Grid, POWER, TWICE, norms};
use super::refine::{DAMPING, Fit, Problem};
use crate::convert::error::{ConvertError, converged};
use nalgebra::DMatrix;
use num_complex::Complex64;

/// Rounds at most.
const ROUNDS: usize = 60;

/// Share of the peak aimed at that leaves room for rounding.
const ROOM: f64 = 0.95;

/// Poles from which residues with a peak nearer to [`TWICE`] times `bound` can be had for `outputs` `[lags, outputs]`: those
/// of the lowest peak met on the way, which begins at `poles`.
///
/// # Errors
/// None that an iteration gives up with.
pub fn refine(
    poles: &[Complex64],
    outputs: &DMatrix<f64>,
    bound: f64,
) -> Result<Vec<Complex64>, ConvertError> {
    let grid = Grid::new(outputs.nrows());
    let transform = grid.transform(outputs);
    let mut weights = grid.widths.clone();
    let mut damping = DAMPING;
    let (mut best, mut least) = (poles.to_vec(), f64::INFINITY);
    let mut poles = poles.to_vec();
    for _ in 0..ROUNDS {
        let roots = weights.map(f64::sqrt);
        let weighted = |mut image: DMatrix<f64>| {
            for (i, mut row) in image.row_iter_mut().enumerate() {
                row *= roots[i % roots.len()];
            }
            image
        };
        let problem = Problem {
            lags: outputs.nrows(),
            outputs: weighted(transform.clone()),
            image: &|columns| weighted(grid.transform(&columns)),
        };
        let Some(fit) = converged(Fit::new(poles, &problem))? else {
            break;
        };
        let errors = norms(&fit.left).component_div(&roots);
        let peak = errors.max();
        if peak < least {
            (best, least) = (fit.poles.clone(), peak);
        }
        if !peak.is_finite() || least <= ROOM * TWICE * bound {
            break;
        }
        poles = match fit.step(&problem, &mut damping)? {
            Some(next) => next.poles,
            None => {
                damping = DAMPING;
                fit.poles
            }
        };
        weights.component_mul_assign(&errors.map(|e| (e / peak).powf(POWER).max(LEAST)));
        weights /= weights.sum();
    }
    Ok(best)
}

/// Factor by which a weight falls in a round at most, so that none vanishes.
const LEAST: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::super::residues::Basis;
    use super::*;

    #[test]
    fn the_peak_of_a_slow_kernel_falls_by_half() {
        let outputs = DMatrix::from_fn(4096, 1, |i, _| 1.0 / (5.0 + i as f64));
        let start = [0.999, 0.99, 0.9, 0.6].map(|x| Complex64::new(x, 0.0));
        let refined = super::super::refine::refine(&start, &outputs).unwrap();
        let peak = |poles: &[Complex64]| {
            let basis = Basis::new(poles, 4096).unwrap();
            let grid = Grid::new(4096);
            norms(&grid.transform(&basis.residual(&outputs))).max()
        };
        let level = refine(&refined, &outputs, 0.0).unwrap();
        assert!(level.iter().all(|z| z.norm() < 1.0 && z.im == 0.0));
        let (before, after) = (peak(&refined), peak(&level));
        assert!(after < 0.5 * before, "{before} {after}");
    }
}
