//! Triangles on the mel scale.
//!
//! Between two corners a bin belongs to two triangles: of its power `p` the part `w p` to the one that rises there and the
//! rest to the one that falls. So a bin has one weight, and is multiplied once.

use crate::config::Config;
use crate::constants::{exp, ln};
use core::ops::Add;

/// Corners and weights of the triangles of a configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Corners {
    low: f64,
    step: f64,
    bin: f64,
    bins: usize,
}

/// Of the mel scale of HTK, `2595 log10(1 + f / 700)`, in units of `2595 / ln(10)`.
const fn mel(hz: f64) -> f64 {
    ln(1.0 + hz / 700.0)
}

impl Corners {
    /// Those of `config`.
    pub const fn new(config: &Config) -> Self {
        let (low, high) = (mel(config.low as f64), mel(config.high as f64));
        Self {
            low,
            step: (high - low) / (config.bands + 1) as f64,
            bin: config.rate as f64 / config.points() as f64,
            bins: config.bins(),
        }
    }

    /// The frequency of corner `i`, of 0 to bands + 1.
    pub const fn hz(&self, i: usize) -> f64 {
        700.0 * (exp(self.low + self.step * i as f64) - 1.0)
    }

    /// The first bin that is not below corner `i`.
    pub const fn first_bin(&self, i: usize) -> usize {
        let hz = self.hz(i);
        // Bins that corners are meant to lie on do so, though the corner went through a logarithm.
        let mut bin = ((hz - 1e-6) / self.bin) as usize;
        while (bin as f64 * self.bin) < hz - 1e-6 {
            bin += 1;
        }
        if bin < self.bins { bin } else { self.bins }
    }

    /// What of a bin between corners `i` and `i + 1` belongs to the triangle that rises there.
    pub const fn weight(&self, bin: usize, i: usize) -> f64 {
        let weight = (bin as f64 * self.bin - self.hz(i)) / (self.hz(i + 1) - self.hz(i));
        if weight < 0.0 {
            0.0
        } else if weight > 1.0 {
            1.0
        } else {
            weight
        }
    }
}

/// Which bins lie between which corners.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bins<'t> {
    /// The bin that the first triangle begins with.
    pub start: usize,
    /// Bins from there to the first triangle's peak.
    pub lead: usize,
    /// Bins from each triangle's peak to its end.
    pub counts: &'t [u16],
}

impl Bins<'_> {
    /// Sums the powers that `split` gives of bins and weights, a rising part and a falling one, into `bands`.
    #[inline(never)]
    pub fn sum<X, W, P: Copy + Default + Add<Output = P>>(
        &self,
        spectrum: &[X],
        weights: &[W],
        bands: &mut [P],
        split: impl Fn(&X, &W) -> (P, P),
    ) {
        let mut bins = spectrum.iter().zip(weights).skip(self.start);
        let mut sums = |count: usize| {
            let (mut rise, mut fall) = (P::default(), P::default());
            for (x, w) in bins.by_ref().take(count) {
                let (rising, falling) = split(x, w);
                rise = rise + rising;
                fall = fall + falling;
            }
            (rise, fall)
        };
        let (mut risen, _) = sums(self.lead);
        for (band, count) in bands.iter_mut().zip(self.counts) {
            let (rise, fall) = sums(usize::from(*count));
            *band = risen + fall;
            risen = rise;
        }
    }
}
