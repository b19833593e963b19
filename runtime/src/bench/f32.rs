//! Cases of the contract `f32`.

use super::data::{POLES, floats, int4_cases, int8_64x64, int8_256x256, lanes, weights};
use super::{
    Bench, CHANNELS, Case, Contract, INT4, INT8, INT8_SHAPES, Meter, Operator, WARM_UP, filled,
};
use crate::format::{LANES, Packing};
use crate::kernel;
use crate::kernel::modes::Modes;
use crate::layer::Recurrence;
use crate::math::activate;
use crate::matrix::Matrix;
use crate::model::{Activation, Norm};
use crate::norm::norm;
use crate::recurrence;
use crate::sample::Sampler;
use core::hint::black_box;

fn case(name: &'static str, macs: usize) -> Case {
    Case::new(name, Contract::F32, macs)
}

impl<M: Meter> Bench<'_, M> {
    /// What this contract and the other have.
    pub(super) fn f32(&mut self) {
        self.inner();
        self.dense();
        for operator in self.operators() {
            self.recurrence(&operator);
        }
        #[cfg(feature = "fft")]
        self.convolutions();
        self.elementwise();
        self.ends();
    }

    /// What only this contract has.
    pub(super) fn only_f32(&mut self) {
        let matrix = Matrix::new_f32(floats(64 * 64, 0), floats(64, 900), 64);
        self.multiply("f32 64x64", matrix, [64, 64]);
    }

    /// Inner loops of matrix products.
    fn inner(&mut self) {
        let x = black_box(floats(256, 0));
        let case = self::case("dot_f32 256", 256);
        let mut sum = 0.0;
        self.meter.count(case, || sum = dot_f32(x, x));
        self.finish(case, &[sum]);

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
        let weights = [
            int8_256x256(),
            weights!(64, 256),
            weights!(128, 512),
            int8_64x64(),
        ];
        for ((name, [rows, columns]), weights) in INT8_SHAPES.into_iter().zip(weights) {
            let (scales, bias) = (floats(rows, 7), floats(rows, 900));
            let matrix = Matrix::new_integers(INT8, weights, scales, bias, columns);
            self.multiply(name, matrix, [rows, columns]);
        }
        for (name, weights, size) in int4_cases() {
            let (scales, bias) = (floats(size, 7), floats(size, 900));
            let matrix = Matrix::new_integers(INT4, weights, scales, bias, size);
            self.multiply(name, matrix, [size, size]);
        }
    }

    fn multiply(&mut self, name: &'static str, matrix: Matrix<'_>, [rows, columns]: [usize; 2]) {
        let case = case(name, rows * columns);
        let matrix = black_box(matrix);
        let x = black_box(floats(columns, 1500));
        let q = black_box(&mut self.quantized[..]);
        let y = black_box(self.y.get_mut(..rows).unwrap_or_default());
        self.meter.count(case, || multiply(&matrix, x, q, y));
        self.finish_y(case, rows);
    }

    /// A step of a layer's whole Toeplitz operator.
    fn recurrence(&mut self, shape: &Operator) {
        let case = shape.case(Contract::F32);
        let &Operator {
            channels,
            taps,
            real,
            complex,
            ..
        } = shape;
        let order = real + 2 * complex;
        let blocks = channels.div_ceil(LANES);
        let operator = black_box(Recurrence {
            counts: shape.counts(),
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
        let x = black_box(self.x.get_mut(..channels).unwrap_or_default());
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

        self.multiply("head 256x128", matrix(), [256, 128]);

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

// What is counted: calls as a program makes them, never inlined.

#[inline(never)]
fn dot_f32(x: &[f32], y: &[f32]) -> f32 {
    kernel::dot_f32(x, y)
}

#[inline(never)]
fn quantize(packing: Packing, x: &[f32], q: &mut [u32]) -> f32 {
    kernel::quantize(packing, x, q)
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
