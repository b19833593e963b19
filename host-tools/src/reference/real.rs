//! The floating-point types that the reference network runs in.

use num_traits::NumAssign;
use std::iter::Sum;

/// `f32` or `f64`.
///
/// `Float` and `FftNum` (of `Scalar`) both bring an `abs` and a `signum`: call those as `Float::abs(x)`.
pub trait Real:
    num_traits::Float
    + toeplite_fft::Scalar
    + ndarray::LinalgScalar
    + ndarray::ScalarOperand
    + NumAssign
    + Sum
    + Default
{
    /// The nearest value to `value`.
    fn of(value: f64) -> Self;

    /// This value, exactly.
    fn wide(self) -> f64;

    /// The complementary error function, with all its digits where it is small.
    fn erfc(self) -> Self;
}

impl Real for f32 {
    fn of(value: f64) -> Self {
        value as f32
    }

    fn wide(self) -> f64 {
        self.into()
    }

    fn erfc(self) -> Self {
        libm::erfcf(self)
    }
}

impl Real for f64 {
    fn of(value: f64) -> Self {
        value
    }

    fn wide(self) -> f64 {
        self
    }

    fn erfc(self) -> Self {
        libm::erfc(self)
    }
}
