//! FIR heads over a block of tokens by overlap-save convolution.
//!
//! Two channels `a`, `b` go through one complex FFT: of `x = x_a + i x_b` it gives `X`, of the taps
//! `h = h_a + i h_b` it gives `H`. With `X*` for the conjugate of `X` at the mirrored bin, a channel's
//! spectra are `(X + X*) / 2` and `(X - X*) / 2i`, so that of `y_a + i y_b` is
//! `S X + D X*`, where `S` and `D` are half the sum and half the difference of the channels' kernel
//! spectra. The inverse FFT is the FFT with real and imaginary parts swapped before and after it.
//!
//! An FFT of N points gives `N - M + 1` outputs of M taps: a block is taken in as many parts as it takes. With
//! the kernel's that makes `1 + 2 parts` transforms of two channels, whose instructions on a Cortex-M4F are
//! 13.0 to 13.7 a point and `log2 N`, with all that is around them. The direct sum's are 6.6 to 7.1 a tap and token of two
//! channels. Hence [`is_worth`]. Counted by `cargo xtask bench`, rows `fir ...`.

use crate::kernel::modes::Lanes;
use crate::layer::Counts;
use crate::memory::take;
use microfft::Complex32;
use microfft::complex::{cfft_256, cfft_512, cfft_1024, cfft_2048};

/// Fewest taps for which FFTs are worth it, and most that the largest takes.
const TAPS: core::ops::RangeInclusive<usize> = 64..=1024;
/// Points of the smallest FFT; the code of each takes flash.
const SMALLEST: usize = 256;
/// Pairs of channels in a row of four.
const PAIRS: usize = 2;

/// Whether FFTs are worth it for a FIR head with enough tokens.
pub(crate) fn is_long(counts: &Counts) -> bool {
    // modes want the inputs that leave the taps; with modes a few taps are enough
    counts.order() == 0 && TAPS.contains(&counts.taps)
}

/// Whether the FFTs over so many tokens take fewer instructions than the direct sum. The rule is one for all
/// targets: which way is taken changes bits.
pub(crate) fn is_worth(taps: usize, tokens: usize) -> bool {
    let size = size(taps, tokens);
    let parts = tokens.div_ceil(outputs(size, taps));
    let transforms = (1 + 2 * parts) * size;
    taps.saturating_mul(tokens) > transforms.saturating_mul(2 * size.ilog2() as usize)
}

/// Points of the FFT: the smallest that takes the block at once, but no more than [`most_points`].
fn size(taps: usize, tokens: usize) -> usize {
    let size = (taps + tokens).saturating_sub(1).next_power_of_two();
    size.clamp(SMALLEST, most_points(taps))
}

/// Points of the largest FFT for so many taps: at least half of them are outputs. Of larger ones more are, but
/// four times the taps pay for blocks of more than four times the taps only.
const fn most_points(taps: usize) -> usize {
    let size = 2 * taps.next_power_of_two();
    if size < SMALLEST { SMALLEST } else { size }
}

/// Outputs of an FFT.
const fn outputs(size: usize, taps: usize) -> usize {
    (size + 1).saturating_sub(taps)
}

/// Numbers of tokens, a row each, of which some columns are channels.
pub(crate) struct Table<'t> {
    pub numbers: &'t mut [f32],
    pub width: usize,
    pub first: usize,
    pub channels: usize,
}

impl Table<'_> {
    fn tokens(&self) -> usize {
        self.numbers.len() / self.width.max(1)
    }

    /// A channel's numbers; none if there is no such channel.
    fn channel(&mut self, channel: usize) -> impl Iterator<Item = &mut f32> {
        let start = self.first + channel;
        let numbers = self.numbers.get_mut(start..);
        let numbers = numbers.filter(|_| channel < self.channels);
        let numbers = numbers.unwrap_or_default().iter_mut();
        numbers.step_by(self.width.max(1))
    }
}

/// Room for the convolution of two channels.
pub(crate) struct Convolution<'w> {
    /// All inputs that the outputs depend on: `[taps - 1 + tokens]`.
    line: &'w mut [Complex32],
    /// Kernel spectra: `S` in the first half, `D` mirrored in the second.
    kernel: &'w mut [Complex32],
    /// A part of the line, then its outputs.
    part: &'w mut [Complex32],
}

impl<'w> Convolution<'w> {
    /// Words that it takes for kernels of at most so many taps and blocks of at most so many tokens.
    pub const fn words(taps: usize, tokens: usize) -> usize {
        2 * (taps + tokens + 2 * most_points(taps))
    }

    /// Takes its [`words`](Self::words) off `rest`.
    pub fn new(taps: usize, tokens: usize, rest: &mut &'w mut [f32]) -> Self {
        let mut numbers = |n| bytemuck::try_cast_slice_mut(take(rest, 2 * n)).unwrap_or_default();
        Self {
            line: numbers(taps + tokens),
            kernel: numbers(most_points(taps)),
            part: numbers(most_points(taps)),
        }
    }

    /// The FIR head, `rows` taps a channel, over all tokens of `x`: outputs take the place of inputs,
    /// which enter the past.
    pub fn fir(&mut self, rows: usize, taps: &[Lanes], past: &mut [Lanes], x: &mut Table<'_>) {
        let taps: &[Complex32] = bytemuck::try_cast_slice(taps).unwrap_or_default();
        let past: &mut [Complex32] = bytemuck::try_cast_slice_mut(past).unwrap_or_default();
        let row = (PAIRS * rows).max(1);
        let blocks = taps.chunks_exact(row).zip(past.chunks_exact_mut(row));
        for (block, (taps, past)) in blocks.enumerate() {
            for pair in 0..PAIRS {
                let channel = 2 * (PAIRS * block + pair);
                if let (Some(taps), Some(past)) = (taps.get(pair..), past.get_mut(pair..))
                    && channel < x.channels
                {
                    self.pair(rows, taps, past, x, channel);
                }
            }
        }
    }

    /// `channel` and the next, whose taps and past are every second of those given.
    fn pair(
        &mut self,
        rows: usize,
        taps: &[Complex32],
        past: &mut [Complex32],
        x: &mut Table<'_>,
        channel: usize,
    ) {
        let (before, tokens) = (rows.saturating_sub(1), x.tokens());
        let size = size(rows, tokens);
        let line = self.line.get_mut(..before + tokens).unwrap_or_default();
        let kernel = self.kernel.get_mut(..size).unwrap_or_default();
        let part = self.part.get_mut(..size).unwrap_or_default();
        lay(line, before, past, x, channel);
        spectra(kernel, taps);
        for start in (0..tokens).step_by(outputs(size, rows)) {
            load(part, line.get(start..).unwrap_or_default());
            transform(part);
            multiply(part, kernel);
            transform(part);
            let outputs = part.get(before..).unwrap_or_default();
            for (y, out) in x.channel(channel).skip(start).zip(outputs) {
                *y = out.im; // swapped
            }
            for (y, out) in x.channel(channel + 1).skip(start).zip(outputs) {
                *y = out.re;
            }
        }
    }
}

/// Lays on the line what of the past is still to be multiplied, then the inputs of two channels. The last of the line
/// become the past, of which every second number is those channels'.
fn lay(
    line: &mut [Complex32],
    before: usize,
    past: &mut [Complex32],
    x: &mut Table<'_>,
    channel: usize,
) {
    let (old, new) = line.split_at_mut(before.min(line.len()));
    for (to, from) in old.iter_mut().rev().zip(past.iter().step_by(PAIRS)) {
        *to = *from;
    }
    new.fill(Complex32::ZERO);
    for (to, from) in new.iter_mut().zip(x.channel(channel)) {
        to.re = *from;
    }
    for (to, from) in new.iter_mut().zip(x.channel(channel + 1)) {
        to.im = *from;
    }
    for (to, from) in past.iter_mut().step_by(PAIRS).zip(line.iter().rev()) {
        *to = *from;
    }
}

/// Fills `part` with numbers of the line, and zeros where they end.
fn load(part: &mut [Complex32], line: &[Complex32]) {
    let (numbers, zeros) = part.split_at_mut(line.len().min(part.len()));
    numbers.iter_mut().zip(line).for_each(|(to, x)| *to = *x);
    zeros.fill(Complex32::ZERO);
}

/// The spectra of two kernels as [`multiply`] takes them, divided by their size for the inverse FFT.
fn spectra(kernel: &mut [Complex32], taps: &[Complex32]) {
    let scale = 1.0 / kernel.len() as f32;
    kernel.fill(Complex32::ZERO);
    for (to, tap) in kernel.iter_mut().zip(taps.iter().step_by(PAIRS)) {
        *to = tap * scale;
    }
    transform(kernel);
    for (h, mirrored) in mirrors(kernel) {
        let other = mirrored.conj();
        let (a, difference) = ((*h + other) * 0.25, (*h - other) * 0.25);
        let b = Complex32::new(difference.im, -difference.re);
        (*h, *mirrored) = (a + b, a - b);
    }
}

/// From the spectrum of two channels' inputs that of their outputs, real and imaginary parts swapped.
fn multiply(x: &mut [Complex32], kernel: &mut [Complex32]) {
    let middle = x.len() / 2;
    for i in [0, middle] {
        // such bins are real: those of two channels lie side by side
        if let (Some(x), Some(h)) = (x.get_mut(i), kernel.get(i)) {
            *x = Complex32::new(x.im * h.im, x.re * h.re);
        }
    }
    for ((x, mirrored), (s, d)) in mirrors(x).zip(mirrors(kernel)) {
        let other = mirrored.conj();
        let y = *x * *s + other * *d;
        let y_other = other * *s + *x * *d;
        *x = Complex32::new(y.im, y.re);
        *mirrored = Complex32::new(-y_other.im, y_other.re);
    }
}

/// The bins with a mirrored one, each with it.
fn mirrors(x: &mut [Complex32]) -> impl Iterator<Item = (&mut Complex32, &mut Complex32)> {
    let (low, high) = x.split_at_mut(x.len() / 2);
    low.iter_mut().skip(1).zip(high.iter_mut().skip(1).rev())
}

/// The FFT, of a size that [`size`] gives.
fn transform(x: &mut [Complex32]) {
    if let Ok(x) = x.try_into() {
        let _ = cfft_256(x);
    } else if let Ok(x) = x.try_into() {
        let _ = cfft_512(x);
    } else if let Ok(x) = x.try_into() {
        let _ = cfft_1024(x);
    } else if let Ok(x) = x.try_into() {
        let _ = cfft_2048(x);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::format::LANES;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    /// Numbers in -1..1.
    fn noise(seed: u32) -> impl Iterator<Item = f32> {
        let next = |x: &u32| Some(x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
        core::iter::successors(Some(seed), next)
            .skip(1)
            .map(|x| (x as i32 >> 8) as f32 / 8_388_608.0)
    }

    /// Rows of channels' numbers as blocks of four channels, zeros where there is no channel.
    fn blocks(rows: &[Vec<f32>], channels: usize) -> Vec<Lanes> {
        let lane = |row: &Vec<f32>, channel| row.get(channel).copied().unwrap_or(0.0);
        (0..channels.div_ceil(LANES))
            .flat_map(|block| {
                let lanes = move |row| core::array::from_fn(|i| lane(row, LANES * block + i));
                rows.iter().map(lanes)
            })
            .collect()
    }

    fn check(channels: usize, taps: usize, blocks_of: &[usize], room: usize) {
        let mut numbers = noise((channels * taps) as u32);
        let mut rows = |n: usize| -> Vec<Vec<f32>> {
            let row = |_| numbers.by_ref().take(channels).collect();
            (0..n).map(row).collect()
        };
        let h = rows(taps);
        let mut inputs = rows(taps); // the past, oldest first
        let newest_first: Vec<_> = inputs.iter().rev().cloned().collect();
        let mut past = blocks(&newest_first, channels);
        let longest = blocks_of.iter().max().unwrap();
        let mut words = vec![f32::NAN; Convolution::words(room, *longest)];
        for tokens in blocks_of {
            let new = rows(*tokens);
            inputs.extend_from_slice(&new);
            let (first, width) = (3, channels + 5);
            let mut table = vec![7.0; tokens * width];
            for (to, from) in table.chunks_mut(width).zip(&new) {
                to[first..first + channels].copy_from_slice(from);
            }
            let mut convolution = Convolution::new(room, *longest, &mut &mut words[..]);
            let mut x = Table {
                numbers: &mut table,
                width,
                first,
                channels,
            };
            convolution.fir(taps, &blocks(&h, channels), &mut past, &mut x);

            let last: Vec<_> = inputs.iter().rev().take(taps).cloned().collect();
            assert_eq!(past, blocks(&last, channels));
            let start = inputs.len() - tokens;
            let norm = h
                .iter()
                .map(|h| f64::from(h[0]).powi(2))
                .sum::<f64>()
                .sqrt();
            for (t, row) in table.chunks(width).enumerate() {
                for (channel, y) in row[first..first + channels].iter().enumerate() {
                    let of = |i: usize| {
                        f64::from(h[i][channel]) * f64::from(inputs[start + t - i][channel])
                    };
                    let want: f64 = (0..taps).map(of).sum();
                    let error = (f64::from(*y) - want).abs() / norm;
                    assert!(error < 1e-6, "{channels} {taps} {t} {channel} {error:e}");
                }
                let around = row[..first].iter().chain(&row[first + channels..]);
                assert!(
                    around
                        .copied()
                        .eq([7.0; 8].iter().copied().take(width - channels))
                );
            }
        }
    }

    /// Every size of the FFT; blocks that are a part, one part to the last output, one more, several.
    #[test]
    fn sums_are_those_of_the_direct_sum_in_f64() {
        for taps in [1, 63, 64, 65, 128, 200, 256, 500, 512, 1000, *TAPS.end()] {
            let part = outputs(most_points(taps), taps);
            check(3, taps, &[part, 1, part + 1, 30], taps);
        }
        check(6, 100, &[700], 100);
    }

    /// As counted on a Cortex-M4F, see the guide; but where the difference is small.
    #[test]
    fn the_way_is_the_one_that_counts_less() {
        for (taps, worth, not) in [
            (64, 512, 256),
            (128, 128, 64),
            (256, 128, 64),
            (512, 128, 64),
        ] {
            assert!(is_worth(taps, worth), "{taps} {worth}");
            assert!(!is_worth(taps, not), "{taps} {not}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 60, ..Default::default() })]

        #[test]
        fn any_blocks_and_channels_with_room_for_more(
            channels in 1usize..10,
            taps in 1usize..150,
            blocks_of in prop::collection::vec(1usize..300, 1..4),
            more in 0usize..100,
        ) {
            check(channels, taps, &blocks_of, taps + more);
        }
    }
}
