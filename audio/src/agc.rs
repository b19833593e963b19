//! Automatic gain control.

use crate::config::Agc;
use crate::math::ln;

impl Agc {
    /// Turns the energies of a frame's `bands` into logarithms beside `level`, which the first frame begins.
    pub(crate) fn apply(&self, is_first: bool, bands: &mut [f32], level: &mut f32) {
        let total = bands.iter().fold(0.0, |sum, band| sum + *band);
        if is_first {
            *level = total;
        }
        *level += self.smoothing * (total - *level);
        let reference = *level + self.epsilon;
        let (floor, loudness) = (self.floor * reference, ln(reference));
        for band in bands {
            *band = ln(*band + floor) - loudness;
        }
    }
}
