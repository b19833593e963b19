//! The recurrence: FIR head and modes of every channel.

use crate::format::SMALLEST;

/// Zero if `|x| < 2^-50`, so that states die out instead of creeping through subnormal numbers.
#[inline(always)]
fn flush(x: f32) -> f32 {
    if x.to_bits() & 0x7FFF_FFFF < SMALLEST.to_bits() {
        0.0
    } else {
        x
    }
}

/// `y += taps * x`, channel by channel.
pub fn fir(taps: &[f32], x: &[f32], y: &mut [f32]) {
    for ((y, x), tap) in y.iter_mut().zip(x).zip(taps) {
        *y += tap * x;
    }
}

/// A real mode of every channel: `state <- decay * pole * state + x`, then `y += residue * state`.
/// `decay` is empty when the pole is shared by all channels.
pub fn modes_real(
    pole: f32,
    decay: &[f32],
    residues: &[f32],
    x: &[f32],
    state: &mut [f32],
    y: &mut [f32],
) {
    let channels = state.iter_mut().zip(x).zip(residues).zip(y);
    if decay.is_empty() {
        for (((s, x), r), y) in channels {
            *s = flush(pole * *s + x);
            *y += r * *s;
        }
    } else {
        for ((((s, x), r), y), g) in channels.zip(decay) {
            *s = flush(g * pole * *s + x);
            *y += r * *s;
        }
    }
}

/// A complex mode of every channel: `state <- decay * pole * state + x`, then
/// `y += Re(residue * state)`. `state` and `residues` hold a row of real parts, then one of
/// imaginary parts.
pub fn modes_complex(
    pole: [f32; 2],
    decay: &[f32],
    residues: [&[f32]; 2],
    x: &[f32],
    state: [&mut [f32]; 2],
    y: &mut [f32],
) {
    let [a, b] = pole;
    let [re, im] = state;
    let [r_re, r_im] = residues;
    let channels = re.iter_mut().zip(im).zip(x).zip(r_re).zip(r_im).zip(y);
    if decay.is_empty() {
        for (((((re, im), x), r_re), r_im), y) in channels {
            let (p, q) = (*re, *im);
            *re = flush((a * p - b * q) + x);
            *im = flush(a * q + b * p);
            *y += r_re * *re - r_im * *im;
        }
    } else {
        for ((((((re, im), x), r_re), r_im), y), g) in channels.zip(decay) {
            let (p, q) = (*re, *im);
            *re = flush(g * (a * p - b * q) + x);
            *im = flush(g * (a * q + b * p));
            *y += r_re * *re - r_im * *im;
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec;

    #[test]
    fn silence_decays_to_exactly_zero() {
        let (mut re, mut im, mut y) = (vec![1.0], vec![-1.0], vec![0.0]);
        let mut real = vec![1e3];
        for _ in 0..200_000 {
            y[0] = 0.0;
            modes_complex(
                [0.999, 0.03],
                &[],
                [&[1.0], &[1.0]],
                &[0.0],
                [&mut re, &mut im],
                &mut y,
            );
            modes_real(0.9997, &[], &[1.0], &[0.0], &mut real, &mut y);
        }
        assert_eq!((re[0], im[0], real[0], y[0]), (0.0, 0.0, 0.0, 0.0));
    }
}
