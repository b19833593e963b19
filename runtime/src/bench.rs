//! The kernels, each with data to run on, for `cargo xtask bench` (feature `bench`). No part of the
//! stable interface.
//!
//! The same cases run on the host and on a device: the results must be the same to the bit, and
//! only the device's instructions are counted. Inputs go through [`black_box`], so that nothing is
//! computed at compile time and no shape is known to the compiler.

use crate::format::{LANES, Packing};
use crate::hash::LogitsHash;
use crate::kernel;
use crate::kernel::dense::{self, BEST_ORDER, dual, int4};
use crate::kernel::modes::{Lanes, Modes};
use crate::layer::{Counts, Recurrence};
use crate::math::activate;
use crate::matrix::Matrix;
use crate::memory::Aligned;
use crate::model::{Activation, Norm};
use crate::norm::norm;
use crate::recurrence;
use crate::sample::Sampler;
use core::hint::black_box;

/// Most channels of a case.
pub const CHANNELS: usize = 384;
/// Channels of the recurrence where there is no RAM for more.
pub const FEW_CHANNELS: usize = 96;
const TAPS: usize = 4;
const STATES: usize = 8;
/// Longest result.
const LONGEST: usize = 512;
/// Words of the longest quantized vector.
const QUANTIZED: usize = INT4.quantized_words(1100);
/// How int8 and int4 matrices lie for the kernels that are the fastest here.
const INT8: Packing = BEST_ORDER.int8();
const INT4: Packing = BEST_ORDER.int4();
/// Largest matrix.
const WEIGHTS: usize = 256 * 256;
/// Steps before the one that is counted: all taps and states have numbers in them.
const WARM_UP: usize = 6;

/// Words of state of the recurrence over so many channels.
pub const fn state_words(channels: usize) -> usize {
    channels * (TAPS + STATES)
}

/// A kernel and a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// Kernel and shape; matrices as rows x columns.
    pub name: &'static str,
    /// Multiplications that are summed; 0 where that is not what the kernel does.
    pub macs: u32,
}

/// Counts the cases.
pub trait Meter {
    /// Runs `work` once, and counts what it takes.
    fn count(&mut self, case: Case, work: impl FnOnce());

    /// The hash of what the work that was just counted has computed.
    fn result(&mut self, case: Case, hash: u64);
}

/// What the cases write to.
#[derive(Clone, Copy, Debug)]
pub struct Buffers<const STATE_WORDS: usize> {
    x: [f32; CHANNELS],
    y: [f32; LONGEST],
    quantized: [u32; QUANTIZED],
    state: [f32; STATE_WORDS],
}

impl<const STATE_WORDS: usize> Buffers<STATE_WORDS> {
    /// Zeros.
    pub const fn new() -> Self {
        Self {
            x: [0.0; CHANNELS],
            y: [0.0; LONGEST],
            quantized: [0; QUANTIZED],
            state: [0.0; STATE_WORDS],
        }
    }

    /// Runs all cases; the recurrence over [`CHANNELS`] channels if [`state_words`] of them are
    /// there, else over [`FEW_CHANNELS`].
    pub fn run(&mut self, meter: &mut impl Meter) {
        let mut bench = Bench {
            meter,
            x: &mut self.x,
            y: &mut self.y,
            quantized: &mut self.quantized,
            state: &mut self.state,
        };
        bench.inner();
        bench.products();
        bench.dense();
        bench.recurrences();
        bench.elementwise();
        bench.ends();
    }
}

impl<const STATE_WORDS: usize> Default for Buffers<STATE_WORDS> {
    fn default() -> Self {
        Self::new()
    }
}

struct Bench<'m, M> {
    meter: &'m mut M,
    x: &'m mut [f32; CHANNELS],
    y: &'m mut [f32; LONGEST],
    quantized: &'m mut [u32; QUANTIZED],
    state: &'m mut [f32],
}

impl<M: Meter> Bench<'_, M> {
    /// Inner loops of matrix products.
    fn inner(&mut self) {
        let x = black_box(floats(256, 0));
        let case = case("dot_f32 256", 256);
        let mut sum = 0.0;
        self.meter.count(case, || sum = dot_f32(x, x));
        self.finish(case, &[sum]);

        let [w, v] = black_box([integers(256, 0), integers(256, 256)]);
        let case = self::case("dot_i8 256", 256);
        let mut sum = 0;
        self.meter.count(case, || sum = dot_i8(w, v));
        self.finish(case, &[sum as f32]); // below 2^24: exact

        let case = self::case("quantize 256", 0);
        let q = black_box(&mut self.quantized[..]);
        let mut scale = 0.0;
        self.meter.count(case, || scale = quantize(INT8, x, q));
        unpack(q, self.y);
        if let Some(last) = self.y.get_mut(256) {
            *last = scale;
        }
        self.finish_y(case, 257);

        let case = self::case("sum_of_squares 128", 128);
        let x = black_box(floats(128, 0));
        let mut sum = 0.0;
        self.meter.count(case, || sum = sum_of_squares(x));
        self.finish(case, &[sum]);
    }

    /// Whole products: quantization of the activations, integers, scales, bias.
    fn dense(&mut self) {
        for (name, packing, weights, rows, columns) in [
            ("int8 256x256", INT8, weights!(256, 256), 256, 256),
            ("int8 64x256", INT8, weights!(64, 256), 64, 256),
            ("int8 128x512", INT8, weights!(128, 512), 128, 512),
            ("int8 64x64", INT8, weights!(64, 64), 64, 64),
            ("int4 256x256", INT4, weights!(int4 256, 256), 256, 256),
            ("int4 64x64", INT4, weights!(int4 64, 64), 64, 64),
        ] {
            let (scales, bias) = (floats(rows, 7), floats(rows, 900));
            let matrix = Matrix::new_integers(packing, weights, scales, bias, columns);
            self.multiply(name, matrix, rows, columns);
        }
        let matrix = Matrix::new_f32(floats(64 * 64, 0), floats(64, 900), 64);
        self.multiply("f32 64x64", matrix, 64, 64);
    }

    fn multiply(&mut self, name: &'static str, matrix: Matrix<'_>, rows: usize, columns: usize) {
        let case = case(name, rows * columns);
        let matrix = black_box(matrix);
        let x = black_box(floats(columns, 1500));
        let q = black_box(&mut self.quantized[..]);
        let y = black_box(self.y.get_mut(..rows).unwrap_or_default());
        self.meter.count(case, || multiply(&matrix, x, q, y));
        self.finish_y(case, rows);
    }

    /// Integer products alone. Shapes that fit no block or part are here for their results.
    fn products(&mut self) {
        for (name, packing, weights, rows, columns) in [
            ("product int8 256x256", INT8, weights!(256, 256), 256, 256),
            ("product int8 64x64", INT8, weights!(64, 64), 64, 64),
            ("product int8 7x13", INT8, weights!(7, 13), 7, 13),
            ("product int8 5x520", INT8, weights!(5, 520), 5, 520),
            ("product int8 3x1100", INT8, weights!(3, 1100), 3, 1100),
            (
                "product int4 256x256",
                INT4,
                weights!(int4 256, 256),
                256,
                256,
            ),
            ("product int4 7x13", INT4, weights!(int4 7, 13), 7, 13),
            ("product int4 5x520", INT4, weights!(int4 5, 520), 5, 520),
        ] {
            let case = case(name, rows * columns);
            let (packing, weights, columns) = black_box((packing, weights, columns));
            quantize(packing, floats(columns, 1500), self.quantized);
            let q = black_box(&self.quantized[..]);
            let y = self.y.get_mut(..rows).unwrap_or_default();
            let sums: &mut [i32] = bytemuck::try_cast_slice_mut(y).unwrap_or_default();
            let sums = black_box(sums);
            let product = || product(packing, weights, columns, q, sums);
            self.meter.count(case, product);
            for y in y {
                *y = y.to_bits().cast_signed() as f32;
            }
            self.finish_y(case, rows);
        }
    }

    /// Layers' whole Toeplitz operators, poles shared by all channels: the one that is measured, and
    /// others for what is rare: a last block of fewer than four channels, few or many taps, none, real
    /// modes, complex ones in odd and even number.
    fn recurrences(&mut self) {
        if self.state.len() >= state_words(CHANNELS) {
            self.recurrence("recurrence 384x4+8", CHANNELS, (TAPS, 0, STATES / 2));
        } else {
            self.recurrence("recurrence 96x4+8", FEW_CHANNELS, (TAPS, 0, STATES / 2));
        }
        self.recurrence("recurrence 13x3+5", 13, (3, 1, 2));
        self.recurrence("recurrence 10x7+2", 10, (7, 2, 0));
        self.recurrence("recurrence 8x0+8", 8, (0, 2, 3));
        self.recurrence("recurrence 4x4+0", 4, (4, 0, 0));
    }

    fn recurrence(
        &mut self,
        name: &'static str,
        channels: usize,
        (taps, real, complex): (usize, usize, usize),
    ) {
        let case = case(name, channels * (taps + 2 * real + 5 * complex));
        let order = real + 2 * complex;
        let blocks = channels.div_ceil(LANES);
        let operator = black_box(Recurrence {
            counts: Counts {
                taps,
                real,
                complex,
                has_channel_decay: false,
            },
            taps: lanes(taps * blocks, 0),
            modes: Modes {
                poles: POLES.get(2 - real..2 + 2 * complex).unwrap_or_default(),
                real,
                residues: lanes(order * blocks, 0),
                decay: &[],
            },
        });
        let words = (taps + order) * LANES * blocks;
        let state = black_box(self.state.get_mut(..words).unwrap_or_default());
        state.fill(0.0);
        let y = black_box(self.y.get_mut(..channels).unwrap_or_default());
        let x = black_box(&mut self.x[..channels]);
        for i in 0..WARM_UP {
            x.copy_from_slice(floats(channels, 100 * i));
            step(&operator, i % blocks, state, x, y);
        }
        x.copy_from_slice(floats(channels, 100 * WARM_UP));
        self.meter.count(case, || step(&operator, 0, state, x, y));
        self.finish_y(case, channels);
    }

    /// Gates and norms.
    fn elementwise(&mut self) {
        let case = case("gates 384", 0);
        let x = filled(self.y, CHANNELS);
        let gate = black_box(floats(CHANNELS, 3000));
        self.meter.count(case, || gates(x, gate));
        self.finish_y(case, CHANNELS);

        for (name, kind, parameters) in [
            ("norm simple-rms 128", Norm::SimpleRms, 0),
            ("norm layer 128", Norm::Layer, 256),
        ] {
            let case = self::case(name, 0);
            let (kind, parameters) = black_box((kind, floats(parameters, 2000)));
            let x = filled(self.y, 128);
            self.meter.count(case, || normalize(kind, parameters, x));
            self.finish_y(case, 128);
        }
    }

    /// Before and after the layers.
    fn ends(&mut self) {
        let weights = weights!(256, 128);
        let matrix = || Matrix::new_integers(INT8, weights, floats(256, 7), &[], 128);
        let (embedding, row) = black_box((matrix(), 77));
        let case = case("embedding 128", 0);
        let y = black_box(self.y.get_mut(..128).unwrap_or_default());
        self.meter.count(case, || embed(&embedding, row, y));
        self.finish_y(case, 128);

        self.multiply("head 256x128", matrix(), 256, 128);

        for (name, k) in [("sampling 256", 0), ("sampling top-40 256", 40)] {
            let case = self::case(name, 0);
            let sampler = Sampler::new(42).with_temperature(0.8).with_top_k(k);
            let mut sampler = black_box(sampler);
            let logits = black_box(floats(256, 2500));
            let mut token = 0;
            self.meter
                .count(case, || token = sample(&mut sampler, logits));
            self.finish(case, &[token as f32]);
        }
    }

    fn finish_y(&mut self, case: Case, length: usize) {
        let hash = hash(self.y.get(..length).unwrap_or_default());
        self.meter.result(case, hash);
    }

    fn finish(&mut self, case: Case, numbers: &[f32]) {
        self.meter.result(case, hash(numbers));
    }
}

fn case(name: &'static str, macs: usize) -> Case {
    Case {
        name,
        macs: macs as u32,
    }
}

/// The first `length` of `buffer`, with numbers in them.
fn filled(buffer: &mut [f32], length: usize) -> &mut [f32] {
    let buffer = buffer.get_mut(..length).unwrap_or_default();
    buffer.copy_from_slice(floats(buffer.len(), 1800));
    black_box(buffer)
}

fn hash(numbers: &[f32]) -> u64 {
    let mut hash = LogitsHash::new();
    hash.update(numbers);
    hash.finish()
}

/// The next state of a linear congruential generator (Numerical Recipes); its high bits are random.
const fn draw(state: u32) -> u32 {
    state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223)
}

static INTEGERS: [i8; WEIGHTS] = {
    let mut table = [0; WEIGHTS];
    let (mut i, mut state) = (0, 1);
    while i < WEIGHTS {
        state = draw(state);
        let byte = (state >> 24) as i8;
        table[i] = if byte == -128 { 0 } else { byte };
        i += 1;
    }
    table
};

/// Numbers in -1..1; their product with 2^15 is an integer.
static FLOATS: [f32; state_words(CHANNELS)] = {
    let mut table = [0.0; state_words(CHANNELS)];
    let (mut i, mut state) = (0, 2);
    while i < table.len() {
        state = draw(state);
        table[i] = (state >> 16) as i16 as f32 / 32768.0;
        i += 1;
    }
    table
};

/// The first integers as a matrix in the order that is the fastest here.
macro_rules! weights {
    ($rows:literal, $columns:literal) => {
        match INT8 {
            Packing::Dual => {
                const LANES: usize = Packing::Dual.bytes($rows, $columns) / 2;
                static MATRIX: Aligned<[i16; LANES]> = Aligned(dual_lanes($rows, $columns));
                bytemuck::try_cast_slice(&MATRIX.0).unwrap_or_default()
            }
            _ => integers($rows * $columns, 0),
        }
    };
    (int4 $rows:literal, $columns:literal) => {{
        const WORDS: usize = INT4.bytes($rows, $columns) / 4;
        static MATRIX: [u32; WORDS] = int4_words($rows, $columns);
        bytemuck::try_cast_slice(&MATRIX).unwrap_or_default()
    }};
}
use weights;

const fn dual_lanes<const LANES: usize>(rows: usize, columns: usize) -> [i16; LANES] {
    let mut lanes = [0; LANES];
    let mut i = 0;
    while i < rows * columns {
        let (lane, is_a) = dual::place(i / columns, i % columns, columns);
        lanes[lane] += if is_a { 256 } else { 1 } * INTEGERS[i] as i16;
        i += 1;
    }
    lanes
}

/// The first integers by 17, in -7..=7, in groups whose scales are other integers without their sign.
const fn int4_words<const WORDS: usize>(rows: usize, columns: usize) -> [u32; WORDS] {
    let mut words = [0; WORDS];
    let groups = columns.div_ceil(int4::COLUMNS);
    let mut i = 0;
    while i < rows.next_multiple_of(int4::ROWS) * groups * int4::COLUMNS {
        let (row, column) = (i / (groups * int4::COLUMNS), i % (groups * int4::COLUMNS));
        let chunk = (row / int4::ROWS * groups + column / int4::COLUMNS) * int4::WORDS;
        let (word, shift) = int4::place(INT4, row, column);
        let inside = row < rows && column < columns;
        let (weight, scale) = match inside {
            true => (
                INTEGERS[row * columns + column] / 17,
                INTEGERS[row + column],
            ),
            false => (0, 0),
        };
        words[chunk + word] |= int4::nibble(INT4, row, weight) << shift;
        if inside && column % int4::COLUMNS == 0 {
            words[chunk] |= (scale.unsigned_abs() as u32 | 128) << (8 * (row % int4::ROWS));
        }
        i += 1;
    }
    words
}

/// Quantized activations as numbers, as many as there is room for.
fn unpack(q: &[u32], out: &mut [f32]) {
    if INT8 == Packing::Dual {
        let q: &[i16] = bytemuck::try_cast_slice(q).unwrap_or_default();
        out.iter_mut().zip(q).for_each(|(y, q)| *y = f32::from(*q));
    } else {
        let q: &[i8] = bytemuck::try_cast_slice(q).unwrap_or_default();
        out.iter_mut().zip(q).for_each(|(y, q)| *y = f32::from(*q));
    }
}

/// Two real poles, then of complex ones the real part and the square of the imaginary part.
static POLES: [f32; 10] = [-0.5, 0.875, 0.9, 0.01, 0.8, 0.09, 0.5, 0.25, -0.7, 0.04];

fn lanes(rows: usize, start: usize) -> &'static [Lanes] {
    floats(LANES * rows, start).as_chunks().0
}

fn integers(length: usize, start: usize) -> &'static [i8] {
    INTEGERS.get(start..start + length).unwrap_or_default()
}

fn floats(length: usize, start: usize) -> &'static [f32] {
    FLOATS.get(start..start + length).unwrap_or_default()
}

// What is counted: calls as a program makes them, never inlined.

#[inline(never)]
fn dot_f32(x: &[f32], y: &[f32]) -> f32 {
    kernel::dot_f32(x, y)
}

#[inline(never)]
fn dot_i8(x: &[i8], y: &[i8]) -> i32 {
    kernel::dot_i8(x, y)
}

#[inline(never)]
fn quantize(packing: Packing, x: &[f32], q: &mut [u32]) -> f32 {
    kernel::quantize(packing, x, q)
}

#[inline(never)]
fn product(packing: Packing, weights: &[i8], columns: usize, q: &[u32], sums: &mut [i32]) {
    dense::product(packing, weights, columns, q, sums);
}

#[inline(never)]
fn sum_of_squares(x: &[f32]) -> f32 {
    kernel::sum_of_squares(x)
}

#[inline(never)]
fn multiply(matrix: &Matrix<'_>, x: &[f32], q: &mut [u32], y: &mut [f32]) {
    matrix.multiply(x, q, y);
}

#[inline(never)]
fn step(
    operator: &Recurrence<'_>,
    visited: usize,
    state: &mut [f32],
    x: &mut [f32],
    y: &mut [f32],
) {
    recurrence::step(operator, visited, state, x, y, &mut ());
}

#[inline(never)]
fn gates(x: &mut [f32], gate: &[f32]) {
    activate(black_box(Activation::Silu), x);
    kernel::elementwise::multiply(x, gate);
}

#[inline(never)]
fn normalize(kind: Norm, parameters: &[f32], x: &mut [f32]) {
    norm(kind, parameters, x);
}

#[inline(never)]
fn embed(matrix: &Matrix<'_>, row: usize, out: &mut [f32]) {
    matrix.row(row, black_box(1.0), out);
}

#[inline(never)]
fn sample(sampler: &mut Sampler, logits: &[f32]) -> u32 {
    sampler.sample(logits).0
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::collections::BTreeMap;
    use std::vec::Vec;

    #[derive(Default)]
    struct Recorder {
        counted: Vec<Case>,
        hashes: BTreeMap<&'static str, u64>,
    }

    impl Meter for Recorder {
        fn count(&mut self, case: Case, work: impl FnOnce()) {
            self.counted.push(case);
            work();
        }

        fn result(&mut self, case: Case, hash: u64) {
            assert_eq!(self.counted.last(), Some(&case));
            assert_eq!(self.hashes.insert(case.name, hash), None, "{}", case.name);
        }
    }

    fn run<const WORDS: usize>() -> Recorder {
        let mut recorder = Recorder::default();
        Buffers::<WORDS>::new().run(&mut recorder);
        recorder
    }

    #[test]
    fn every_case_computes_something_of_its_own() {
        let all = run::<{ state_words(CHANNELS) }>();
        assert_eq!(all.counted.len(), all.hashes.len());
        let zeros: Vec<u64> = (0..=512).map(|n| hash(&[0.0; 512][..n])).collect();
        let mut seen = BTreeMap::new();
        for (name, hash) in &all.hashes {
            assert!(!zeros.contains(hash), "{name} computes zeros or nothing");
            if !name.starts_with("sampling") {
                assert_eq!(seen.insert(hash, name), None, "{name}");
            }
        }
        assert!(all.hashes.contains_key("recurrence 384x4+8"));
    }

    #[test]
    fn small_memories_take_the_small_recurrence_and_all_else_unchanged() {
        let (mut all, mut few) = (
            run::<{ state_words(CHANNELS) }>(),
            run::<{ state_words(FEW_CHANNELS) }>(),
        );
        assert!(all.hashes.remove("recurrence 384x4+8").is_some());
        assert!(few.hashes.remove("recurrence 96x4+8").is_some());
        assert_eq!(all.hashes, few.hashes);
    }
}
