//! Cases of the contract `fixed`, see [`bench`](crate::bench).

use super::activation::silu;
use super::dense::{finish, sums};
use super::model::{Matrix, Recurrence};
use super::number::Factor;
use super::quantize::{Mean, quantize};
use super::recurrence::{self, State};
use super::sample::Sampler;
use crate::bench::data::{MODES, int4_cases, integers, longs, residues, shorts};
use crate::bench::{
    Bench, CHANNELS, Case, Contract, INT4, INT8_SHAPES, Meter, Operator, WARM_UP, bits,
};
use crate::format::Packing;
use crate::model::Norm;
use core::hint::black_box;

/// Places after the point of numbers that are quantized.
const FRACTION: i32 = 15;

fn case(name: &'static str, macs: usize) -> Case {
    Case::new(name, Contract::Fixed, macs)
}

impl<M: Meter> Bench<'_, M> {
    /// All cases.
    pub(crate) fn fixed(&mut self) {
        for (name, norm, length) in [
            ("quantize 256", Norm::None, 256),
            ("norm simple-rms 128", Norm::SimpleRms, 128),
            ("norm layer 128", Norm::Layer, 128),
        ] {
            self.input(name, norm, length);
        }
        for (name, shape) in INT8_SHAPES {
            self.rows(name, shape);
        }
        // the contract has only the portable order
        if INT4 == Packing::Groups {
            for (name, weights, size) in int4_cases() {
                self.product(name, Packing::Groups, weights, [size; 2]);
            }
        }
        for operator in self.operators() {
            self.operator(&operator);
        }
        self.gates();
        self.rows("head 256x128", [256, 128]);
        self.draws();
    }

    /// Quantization, which is also where norms are.
    fn input(&mut self, name: &'static str, norm: Norm, length: usize) {
        let case = case(name, 0);
        let x = filled(self.x, length);
        let q = black_box(&mut self.quantized[..]);
        let mean = Mean::over(length);
        let norm = black_box(norm);
        let mut factor = Factor {
            mantissa: 0,
            exponent: 0,
        };
        self.meter
            .count(case, || factor = quantize_after(norm, &mean, x, q));
        let y = bits(self.y);
        let bytes: &[i8] = bytemuck::try_cast_slice(q).unwrap_or_default();
        y.iter_mut().zip(bytes).for_each(|(y, q)| *y = (*q).into());
        if let Some(last) = y.get_mut(length..length + 2) {
            last.copy_from_slice(&[factor.mantissa as i32, factor.exponent]);
        }
        self.finish_y(case, length + 2);
    }

    /// A whole product: quantization of the activations, integers, scales, bias.
    fn product(
        &mut self,
        name: &'static str,
        packing: Packing,
        weights: &[i8],
        [rows, columns]: [usize; 2],
    ) {
        let case = case(name, rows * columns);
        let matrix = black_box(Matrix {
            packing,
            weights,
            multipliers: bytemuck::try_cast_slice(shorts(rows, 7)).unwrap_or_default(),
            low: 7,
            places: 20,
            bias: longs(rows, 900),
        });
        let x = filled(self.x, columns);
        let q = black_box(&mut self.quantized[..]);
        let y = black_box(bits(self.y).get_mut(..rows).unwrap_or_default());
        let mean = Mean::over(columns);
        self.meter.count(case, || multiply(&matrix, &mean, x, q, y));
        self.finish_y(case, rows);
    }

    /// A product with bytes.
    fn rows(&mut self, name: &'static str, shape: [usize; 2]) {
        let [rows, columns] = shape;
        self.product(name, Packing::Rows, integers(rows * columns, 0), shape);
    }

    /// A step of a layer's whole Toeplitz operator.
    fn operator(&mut self, shape: &Operator) {
        let case = shape.case(Contract::Fixed);
        let &Operator {
            channels,
            taps,
            real,
            complex,
            ..
        } = shape;
        let newest = usize::from(real + complex > 0);
        let operator = black_box(Recurrence {
            counts: shape.counts(),
            fraction: 0,
            taps: shorts((taps + newest) * channels, 0),
            modes: MODES.get(2 - real..2 + complex).unwrap_or_default(),
            residues: residues(real * channels, complex * channels),
        });
        let state = bits(self.state);
        state.fill(0);
        let (modes, ring) = state.split_at_mut((real + 2 * complex) * channels);
        let ring = bytemuck::try_cast_slice_mut(ring).unwrap_or_default();
        let mut state = State {
            places: &mut [0; 2],
            ring: black_box(ring.get_mut(..taps * channels).unwrap_or_default()),
            modes: black_box(modes),
        };
        let y = black_box(bits(self.y).get_mut(..channels).unwrap_or_default());
        let x = black_box(bits(self.x).get_mut(..channels).unwrap_or_default());
        for i in 0..WARM_UP {
            activations(x, 100 * i);
            step(&operator, &mut state, x, y);
        }
        activations(x, 100 * WARM_UP);
        self.meter.count(case, || step(&operator, &mut state, x, y));
        self.finish_y(case, channels);
    }

    fn gates(&mut self) {
        let case = case("gates 384", 0);
        let x = black_box(bits(self.y).get_mut(..CHANNELS).unwrap_or_default());
        let gate = black_box(bits(self.x).get_mut(..CHANNELS).unwrap_or_default());
        activations(x, 0);
        activations(gate, 1000);
        self.meter.count(case, || gates(x, gate));
        self.finish_y(case, CHANNELS);
    }

    fn draws(&mut self) {
        for (name, k) in [("sampling 256", 0), ("sampling top-40 256", 40)] {
            let case = case(name, 0);
            let sampler = Sampler::new(42).with_temperature(800).with_top_k(k);
            let mut sampler = black_box(sampler);
            let logits = filled(self.x, 256);
            let mut token = 0;
            self.meter
                .count(case, || token = sample(&mut sampler, logits));
            self.finish(case, &[token as f32]);
        }
    }
}

/// The first `length` of `buffer`, with numbers of 20 bits in them.
fn filled(buffer: &mut [f32], length: usize) -> &mut [i32] {
    let buffer = bits(buffer).get_mut(..length).unwrap_or_default();
    buffer.copy_from_slice(longs(length, 300));
    black_box(buffer)
}

/// Fills `x` with what activations may be, in Q11 and mostly below 4.
fn activations(x: &mut [i32], start: usize) {
    let numbers = shorts(x.len(), start);
    x.iter_mut()
        .zip(numbers)
        .for_each(|(x, n)| *x = i32::from(*n) >> 2);
}

// What is counted: calls as a program makes them, never inlined.

#[inline(never)]
fn quantize_after(norm: Norm, mean: &Mean, x: &mut [i32], q: &mut [u32]) -> Factor {
    quantize(norm, mean, FRACTION, x, q)
}

#[inline(never)]
fn multiply(matrix: &Matrix<'_>, mean: &Mean, x: &mut [i32], q: &mut [u32], y: &mut [i32]) {
    let factor = quantize(black_box(Norm::None), mean, FRACTION, x, q);
    sums(matrix, x.len(), q, y);
    finish(matrix, 0, factor, y, |x| x);
}

#[inline(never)]
fn step(operator: &Recurrence<'_>, state: &mut State<'_>, x: &mut [i32], y: &mut [i32]) {
    recurrence::convolve(operator, state, x, y);
    recurrence::advance(operator, state, x, y);
}

#[inline(never)]
fn gates(x: &mut [i32], gate: &[i32]) {
    x.iter_mut().for_each(|x| *x = silu(*x));
    x.iter_mut().zip(gate).for_each(|(x, gate)| *x *= gate);
}

#[inline(never)]
fn sample(sampler: &mut Sampler, logits: &[i32]) -> u32 {
    sampler.sample(logits).0
}
