//! What rounding a matrix is to keep.

use super::factor::{divide_transposed, upper_factor};
use ndarray::Array2;

/// Part of the inputs' mean square that is added to the square of each: what a calibration did not show
/// is not free, and weights stay near where they were.
const DAMPING: f64 = 0.03;

/// The error of a matrix `Q` in place of `W` is the mean of `|W x - Q y|^2`, where `x` are the inputs
/// that `W` had in the trained network and `y` those that `Q` has in the model. But for a constant
/// that is `|W map - Q factor|^2`.
#[derive(Clone, Debug)]
pub struct Goal {
    /// Upper triangular `R`, of the damped mean `R R^T` of `y y^T`.
    pub factor: Array2<f32>,
    /// `C R^-T`, of the damped mean `C` of `x y^T`; `R` itself where `x` and `y` are the same.
    pub map: Array2<f32>,
    /// `R R^T`.
    pub second: Array2<f32>,
}

/// Inputs that are not numbers: nothing can be learned from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its inputs are not finite numbers")]
pub struct NotFinite;

impl Goal {
    /// From the means of `x y^T` and of `y y^T`.
    ///
    /// # Errors
    /// A mean is not finite.
    pub fn new(cross: &Array2<f64>, second: &Array2<f64>) -> Result<Self, NotFinite> {
        let square = second.diag().mean().unwrap_or(0.0);
        // inputs that are all zero: every weight is as good as any, and nearest is what damping asks for
        let unit = if square > 0.0 { 1.0 / square } else { 1.0 };
        let damped = |product: &Array2<f64>| {
            let mut product = product * unit;
            product.diag_mut().mapv_inplace(|x| x + DAMPING);
            product
        };
        let (cross, second) = (damped(cross), damped(second));
        let finite = |m: &Array2<f64>| m.iter().all(|x| x.is_finite());
        if !finite(&cross) || !finite(&second) {
            return Err(NotFinite);
        }
        // damped, it is positive definite by far more than the rounding of f64
        let factor = upper_factor(second.view()).ok_or(NotFinite)?;
        let map = divide_transposed(cross, factor.view());
        let narrow = |m: &Array2<f64>| m.mapv(|x| x as f32);
        Ok(Self {
            map: narrow(&map),
            second: narrow(&second),
            factor: narrow(&factor),
        })
    }
}
