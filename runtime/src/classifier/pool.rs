//! One vector of all positions: their mean, or the last one.

use super::model::Pooling;
use crate::error::DecayError;
use crate::math;
use crate::pass::copy;

/// By what factor the weight of what was heard shrinks at each input.
///
/// ```
/// use toeplite::classifier::Decay;
/// let decay = Decay::half_life(25.0)?;
/// assert!((decay.factor().powi(25) - 0.5).abs() < 1e-5);
/// # Ok::<(), toeplite::DecayError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decay(f32);

impl Decay {
    /// All inputs count the same: the mean that the network was trained with.
    pub const NONE: Self = Self(1.0);
    /// Longest half-life, in inputs: of a longer one, an f32 near 1 would know too few digits.
    const LONGEST: f32 = 100_000.0;

    /// A factor from 0 to 1. With 1 nothing is forgotten, with 0 all but the newest input is.
    ///
    /// # Errors
    /// [`DecayError::OutOfRange`].
    pub fn new(factor: f32) -> Result<Self, DecayError> {
        match (0.0..=1.0).contains(&factor) {
            true => Ok(Self(factor)),
            false => Err(DecayError::OutOfRange),
        }
    }

    /// What is `inputs` older counts half: `factor = 2^(-1 / inputs)`, the same bits on every target.
    ///
    /// # Errors
    /// [`DecayError::OutOfRange`] unless `inputs` is above 0 and at most 100,000.
    pub fn half_life(inputs: f32) -> Result<Self, DecayError> {
        if inputs > 0.0 && inputs <= Self::LONGEST {
            Self::new(math::exp(-core::f32::consts::LN_2 / inputs))
        } else {
            Err(DecayError::OutOfRange)
        }
    }

    /// The factor.
    pub const fn factor(self) -> f32 {
        self.0
    }
}

/// Words that the vectors of `dim` numbers need.
pub(super) fn words(pooling: Pooling, dim: usize) -> usize {
    match pooling {
        Pooling::Mean => 2 * (dim + 1),
        Pooling::Last => dim,
    }
}

/// Takes in the vector `x` of a position. `state` has [`words`] of them, at first zero: of the mean a sum and a
/// compensation of each number, and last those of the weights.
pub(super) fn take_in(pooling: Pooling, decay: Decay, x: &[f32], state: &mut [f32]) {
    match pooling {
        Pooling::Last => copy(x, state),
        Pooling::Mean => {
            let weighted = x.iter().chain(&[1.0]);
            for (sum, x) in state.as_chunks_mut().0.iter_mut().zip(weighted) {
                add(sum, decay.0, *x);
            }
        }
    }
}

/// Kahan's sum of `x` and what `decay` leaves of the sum so far.
fn add([sum, compensation]: &mut [f32; 2], decay: f32, x: f32) {
    let before = decay * *sum;
    let y = x - decay * *compensation;
    *sum = before + y;
    *compensation = (*sum - before) - y;
}

/// Writes the pooled vector to `out`; zeros before the first position.
pub(super) fn pooled(pooling: Pooling, state: &[f32], out: &mut [f32]) {
    match (pooling, state.as_chunks().0) {
        (Pooling::Last, _) => copy(state, out),
        (Pooling::Mean, [sums @ .., [weight, _]]) if *weight > 0.0 => {
            for (out, [sum, _]) in out.iter_mut().zip(sums) {
                *out = sum / weight;
            }
        }
        (Pooling::Mean, _) => out.fill(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers in 0..=1 with a mean that is no power of two.
    fn numbers() -> impl Iterator<Item = f32> {
        let next = |x: &u32| Some(x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
        core::iter::successors(Some(1u32), next).map(|x| (x >> 8) as f32 / (1 << 24) as f32)
    }

    /// The mean of `inputs`, and by how much it is off, as a share of it.
    fn error(decay: Decay, inputs: impl Iterator<Item = f32>) -> f64 {
        let (mut state, mut sum, mut weight) = ([0.0; 4], 0f64, 0f64);
        let d = f64::from(decay.factor());
        for x in inputs {
            take_in(Pooling::Mean, decay, &[x], &mut state);
            (sum, weight) = (d * sum + f64::from(x), d * weight + 1.0);
        }
        let mut mean = [0.0];
        pooled(Pooling::Mean, &state, &mut mean);
        (f64::from(mean[0]) * weight / sum - 1.0).abs()
    }

    #[test]
    fn means_of_many_inputs_lose_no_digits() {
        let n = 300_000;
        assert!(error(Decay::NONE, numbers().take(n)) < 2.4e-7);
        let plain = numbers().take(n).sum::<f32>();
        let exact: f64 = numbers().take(n).map(f64::from).sum();
        // what a sum without compensation would have done
        assert!((f64::from(plain) / exact - 1.0).abs() > 2.4e-7);
    }

    #[test]
    fn decaying_means_are_as_exact_as_documented() {
        for half_life in [0.1, 3.0, 25.0, 1000.0] {
            let decay = Decay::half_life(half_life).unwrap();
            let bound = 1.2e-7 + 6e-8 / (1.0 - f64::from(decay.factor()));
            let found = error(decay, numbers().take(20_000));
            assert!(found < bound, "{half_life}: {found:e}");
        }
    }

    #[test]
    fn decays_have_limits() {
        for bad in [-0.1, 1.000_001, f32::NAN] {
            assert_eq!(Decay::new(bad), Err(DecayError::OutOfRange));
        }
        for bad in [0.0, -1.0, 100_001.0, f32::NAN, f32::INFINITY] {
            assert_eq!(Decay::half_life(bad), Err(DecayError::OutOfRange));
        }
        assert_eq!(Decay::new(1.0), Ok(Decay::NONE));
        let long = Decay::half_life(100_000.0).unwrap().factor();
        assert!((f64::from(long).ln() * -100_000.0 / core::f64::consts::LN_2 - 1.0).abs() < 0.05);
        assert!(Decay::half_life(1e-30).unwrap().factor() < 1e-30);
    }

    #[test]
    fn the_last_position_alone_counts() {
        let mut state = [0.0; 2];
        for x in [[1.0, 2.0], [3.0, -4.0]] {
            take_in(Pooling::Last, Decay::NONE, &x, &mut state);
        }
        let mut out = [0.0; 2];
        pooled(Pooling::Last, &state, &mut out);
        assert_eq!(out, [3.0, -4.0]);
    }
}
