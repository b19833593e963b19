//! A real FFT in 32 bits.
//!
//! `2 M` real numbers go through a complex FFT of `M` points, the even ones as its real parts, the odd ones as its imaginary
//! parts. Decimation in time, radix 2. No stage scales: every intermediate number is a sum of inputs times numbers of
//! magnitude 1, so less than the sum of their magnitudes. The caller keeps that below 2^29.

/// A complex number.
pub(crate) type Complex = [i32; 2];
/// `cos` and `sin` of an angle, in 15 places; none is 1.
pub(crate) type Twiddle = [i16; 2];

/// `x (cos - i sin)`, rounded to nearest, halves up. Parts of `x` up to 2^29: each in two products of 32 bits, as small cores
/// have no larger ones.
#[inline(always)]
fn turn([re, im]: Complex, [cos, sin]: Twiddle) -> Complex {
    let (cos, sin) = (i32::from(cos), i32::from(sin));
    let (high_re, low_re) = (re >> 15, re & 0x7FFF);
    let (high_im, low_im) = (im >> 15, im & 0x7FFF);
    let rounded = |low: i32| (low + (1 << 14)) >> 15;
    [
        high_re * cos + high_im * sin + rounded(low_re * cos + low_im * sin),
        high_im * cos - high_re * sin + rounded(low_im * cos - low_re * sin),
    ]
}

/// `a` becomes `a + turned` and `b` becomes `a - turned`, where `turned` is what `turn` makes of `b`.
#[inline(always)]
fn butterfly(a: &mut Complex, b: &mut Complex, turn: impl FnOnce(Complex) -> Complex) {
    let ([re, im], turned) = (*a, turn(*b));
    *a = [re + turned[0], im + turned[1]];
    *b = [re - turned[0], im - turned[1]];
}

/// Puts pairs of `numbers` where [`real`] wants them, and zeros after their end.
#[inline(never)]
pub(crate) fn load(mut numbers: impl Iterator<Item = i32>, x: &mut [Complex]) {
    let mut index = 0;
    for _ in 0..x.len() {
        let mut next = || numbers.next().unwrap_or(0);
        let pair = [next(), next()];
        if let Some(slot) = x.get_mut(index) {
            *slot = pair;
        }
        // the index counts up with its bits reversed
        let mut bit = x.len() >> 1;
        while index & bit != 0 {
            index ^= bit;
            bit >>= 1;
        }
        index |= bit;
    }
}

/// Of what [`load`] put there **twice** the transform, bins 1 to `M - 1`. Bin 0 is of no use. `twiddles` are those
/// of `k / 2M` turns, as many as `x`.
pub(crate) fn real(x: &mut [Complex], twiddles: &[Twiddle]) {
    complex(x, twiddles);
    recombine(x, twiddles);
}

#[inline(never)]
fn complex(x: &mut [Complex], twiddles: &[Twiddle]) {
    let (fours, _) = x.as_chunks_mut::<4>();
    for [a, b, c, d] in fours {
        // the first two stages turn by quarters only
        butterfly(a, b, |b| b);
        butterfly(c, d, |d| d);
        butterfly(a, c, |c| c);
        butterfly(b, d, |[re, im]| [im, -re]);
    }
    let mut half = 4;
    while half < x.len() {
        let stride = twiddles.len() / half;
        for block in x.chunks_exact_mut(2 * half) {
            let halves = block.split_at_mut_checked(half);
            let (first, second) = halves.unwrap_or_default();
            stage(first, second, twiddles, stride);
        }
        half *= 2;
    }
}

/// Makes of the transforms of even and odd points that of both. A function of its own, so that its loop has all
/// registers.
#[inline(never)]
fn stage(even: &mut [Complex], odd: &mut [Complex], twiddles: &[Twiddle], stride: usize) {
    let mut points = even.iter_mut().zip(odd);
    if let Some((a, b)) = points.next() {
        butterfly(a, b, |b| b);
    }
    let mut rest = twiddles;
    for (a, b) in points {
        rest = rest.get(stride..).unwrap_or_default();
        let Some(twiddle) = rest.first() else {
            return;
        };
        butterfly(a, b, |b| turn(b, *twiddle));
    }
}

/// The transform of the real numbers, from that of the complex ones.
#[inline(never)]
fn recombine(x: &mut [Complex], twiddles: &[Twiddle]) {
    let Some((_, bins)) = x.split_first_mut() else {
        return;
    };
    let middle = bins.len() / 2;
    let Some((low, rest)) = bins.split_at_mut_checked(middle) else {
        return;
    };
    let Some(([re, im], high)) = rest.split_first_mut() else {
        return;
    };
    (*re, *im) = (2 * *re, -2 * *im);
    let twiddles = twiddles.iter().skip(1);
    for ((a, b), twiddle) in low.iter_mut().zip(high.iter_mut().rev()).zip(twiddles) {
        let even = [a[0] + b[0], a[1] - b[1]];
        let odd = turn([a[1] + b[1], b[0] - a[0]], *twiddle);
        *a = [even[0] + odd[0], even[1] + odd[1]];
        *b = [even[0] - odd[0], odd[1] - even[1]];
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::fixed::tables::twiddles;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    /// Twice the spectrum in f64.
    fn exact(numbers: &[i32], points: usize) -> Vec<[f64; 2]> {
        let bin = |k: usize| {
            numbers
                .iter()
                .enumerate()
                .fold([0.0; 2], |[re, im], (n, x)| {
                    let angle = std::f64::consts::TAU * ((n * k) % points) as f64 / points as f64;
                    let x = 2.0 * f64::from(*x);
                    [re + x * angle.cos(), im - x * angle.sin()]
                })
        };
        (0..points / 2).map(bin).collect()
    }

    fn found(numbers: &[i32], points: usize) -> Vec<Complex> {
        let mut table = vec![[0; 2]; points / 2];
        twiddles(&mut table);
        let mut x = vec![[7; 2]; points / 2];
        load(numbers.iter().copied(), &mut x);
        real(&mut x, &table);
        x
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn spectra_are_those_of_f64(
            size in 6u32..=10,
            fill in 0.0f64..=1.0,
            noise in proptest::collection::vec(-(1 << 19)..=1 << 19, 1024),
            quiet in 0u32..12,
        ) {
            let points = 1usize << size;
            let numbers: Vec<i32> = noise[..(points as f64 * fill) as usize]
                .iter()
                .map(|x| x >> quiet)
                .collect();
            let largest: f64 = numbers.iter().map(|x| f64::from(*x).abs()).sum();
            // twiddles are off by 2^-15 at most, in every stage; products are rounded
            let bound = largest * 4e-5 * f64::from(size) / (points as f64).sqrt() * 4.0 + 4.0 * f64::from(size);
            for (k, (x, y)) in found(&numbers, points).iter().zip(exact(&numbers, points)).enumerate().skip(1) {
                for part in 0..2 {
                    let error = (f64::from(x[part]) - y[part]).abs();
                    prop_assert!(error < bound, "{k}: {} {} {bound}", x[part], y[part]);
                }
            }
        }
    }

    #[test]
    fn the_loudest_frame_does_not_overflow() {
        for points in [64, 256, 1024] {
            // what a square wave becomes behind a window is less than half of this
            for period in [2, 3, 8, points] {
                let wave = |n: usize| {
                    if n % period < period.div_ceil(2) {
                        1
                    } else {
                        -1
                    }
                };
                let numbers: Vec<i32> = (0..points).map(|n| (1 << 18) * wave(n)).collect();
                let exact = exact(&numbers, points);
                for (x, y) in found(&numbers, points).iter().zip(exact).skip(1) {
                    let error = (f64::from(x[0]) - y[0]).hypot(f64::from(x[1]) - y[1]);
                    assert!(
                        error < 1e-4 * (1 << 19) as f64 * points as f64,
                        "{x:?} {y:?}"
                    );
                }
            }
        }
    }
}
