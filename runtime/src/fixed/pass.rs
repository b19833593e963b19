//! The way of tokens through a layer: of one, or of two that share the reading of the weights.

use super::ACTIVATION_BITS;
use super::activation::{activate, silu};
use super::dense::{finish, sums, sums_of_two};
use super::model::{Layer, Matrix, Model};
use super::number::{Factor, bits, clamp};
use super::quantize::quantize;
use super::recurrence::{self, State};
use crate::block::{self, Pass};
use crate::memory::take;
use crate::model::{Activation, Norm};
use crate::probe::{Probe, Stage};

type Scratch<'m> = block::Scratch<'m, i32>;

/// A layer, with what tokens need to pass through it.
pub(super) struct Passage<'p, P> {
    pub model: &'p Model<'p>,
    pub layer: &'p Layer<'p>,
    pub state: State<'p>,
    pub probe: &'p mut P,
}

impl<P: Probe> Pass<i32> for Passage<'_, P> {
    fn pass<const N: usize>(&mut self, tokens: &mut [Scratch<'_>; N], joined: &mut [u32]) {
        self.gtu(tokens, joined);
        self.glu(tokens, joined);
    }
}

impl<P: Probe> Passage<'_, P> {
    /// `x += W_o norm(u * TNO(v))` with `u, v = act(W norm(x))`.
    fn gtu<const N: usize>(&mut self, tokens: &mut [Scratch<'_>; N], joined: &mut [u32]) {
        let (shape, layer) = (self.model.shape(), self.layer);
        let mut factors = self.inputs(tokens);
        self.probe.enter(Stage::Dense);
        into_work(
            &layer.gtu_in,
            tokens,
            [shape.dim, 2 * shape.channels],
            joined,
        );
        for (s, factor) in tokens.iter_mut().zip(&mut factors) {
            *factor = self.mix(s, *factor);
        }
        self.probe.enter(Stage::Dense);
        self.add_product(&layer.gtu_out, tokens, (shape.channels, factors), joined);
    }

    /// `x += W_3 (act(W_1 norm(x)) * (W_2 norm(x)))`.
    fn glu<const N: usize>(&mut self, tokens: &mut [Scratch<'_>; N], joined: &mut [u32]) {
        let (shape, layer) = (self.model.shape(), self.layer);
        let mut factors = self.inputs(tokens);
        self.probe.enter(Stage::Dense);
        into_work(
            &layer.glu_in,
            tokens,
            [shape.dim, 2 * shape.glu_dim],
            joined,
        );
        for (s, factor) in tokens.iter_mut().zip(&mut factors) {
            *factor = self.gate(s, *factor);
        }
        self.probe.enter(Stage::Dense);
        self.add_product(&layer.glu_out, tokens, (shape.glu_dim, factors), joined);
    }

    /// The quantized residual streams; their factors.
    fn inputs<const N: usize>(&self, tokens: &mut [Scratch<'_>; N]) -> [Factor; N] {
        let norm = self.model.shape().norm;
        tokens.each_mut().map(|s| s.input(self.model, norm))
    }

    /// Adds the product with the first `columns` quantized numbers of each token, in units of its factor,
    /// to its residual stream.
    #[inline(always)]
    fn add_product<const N: usize>(
        &mut self,
        matrix: &Matrix<'_>,
        tokens: &mut [Scratch<'_>; N],
        (columns, factors): (usize, [Factor; N]),
        joined: &mut [u32],
    ) {
        let ends = tokens
            .each_mut()
            .map(|s| (&mut *s.quantized, &mut *s.branch));
        product(matrix, columns, ends, joined);
        for (s, factor) in tokens.iter_mut().zip(factors) {
            finish(matrix, 0, factor, s.branch, |x| x);
        }
        self.probe.enter(Stage::Norm);
        for s in tokens {
            add(s.branch, s.x);
        }
    }

    /// Quantizes `y = norm(act(u) * TNO(act(v)))`, from sums in the units of `factor`; returns its factor.
    fn mix(&mut self, s: &mut Scratch<'_>, factor: Factor) -> Factor {
        let (shape, layer) = (self.model.shape(), self.layer);
        let mut rest = &mut *s.work;
        let uv = take(&mut rest, 2 * shape.channels);
        let y = take(&mut rest, shape.channels);
        self.probe.enter(Stage::Gates);
        activated(shape.gtu_act, &layer.gtu_in, factor, uv);
        let Some((u, v)) = uv.split_at_mut_checked(shape.channels) else {
            return factor; // never: the work has u, v and y
        };
        self.probe.enter(Stage::Fir);
        let r = &layer.recurrence;
        recurrence::convolve(r, &self.state, v, y);
        self.probe.enter(Stage::Recurrence);
        recurrence::advance(r, &mut self.state, v, y);
        self.probe.enter(Stage::Gates);
        let places = gate(u, y);
        self.probe.enter(Stage::Norm);
        // Q of u, of v, and what the recurrence adds
        let fraction = 2 * ACTIVATION_BITS + r.fraction - places;
        let [_, mean] = &self.model.means;
        let factor = quantize(shape.gtu_norm, mean, fraction, y, s.quantized);
        // the blob's places are those without the shift
        let shifted = if shape.gtu_norm == Norm::None {
            places
        } else {
            0
        };
        Factor {
            exponent: factor.exponent + shifted,
            ..factor
        }
    }

    /// Quantizes `act(gate) * value`, from sums in the units of `factor`; returns its factor.
    fn gate(&mut self, s: &mut Scratch<'_>, factor: Factor) -> Factor {
        let (shape, layer) = (self.model.shape(), self.layer);
        let mut rest = &mut *s.work;
        let gate = take(&mut rest, shape.glu_dim);
        let value = take(&mut rest, shape.glu_dim);
        self.probe.enter(Stage::Gates);
        activated(shape.glu_act, &layer.glu_in, factor, gate);
        finish(&layer.glu_in, shape.glu_dim, factor, value, clamp);
        for (gate, value) in gate.iter_mut().zip(&*value) {
            *gate *= value;
        }
        self.probe.enter(Stage::Norm);
        let [mean, _] = &self.model.means;
        quantize(Norm::None, mean, 0, gate, s.quantized)
    }
}

/// Sums of the first `columns` quantized numbers of each token into the first `rows` of its work.
#[inline(always)]
fn into_work<const N: usize>(
    matrix: &Matrix<'_>,
    tokens: &mut [Scratch<'_>; N],
    [columns, rows]: [usize; 2],
    joined: &mut [u32],
) {
    let ends = tokens.each_mut().map(|s| {
        let out = s.work.get_mut(..rows).unwrap_or_default();
        (&mut *s.quantized, out)
    });
    product(matrix, columns, ends, joined);
}

/// The sums of a matrix of `columns` with a vector of each token.
#[inline(always)]
fn product<const N: usize>(
    matrix: &Matrix<'_>,
    columns: usize,
    mut ends: [(&mut [u32], &mut [i32]); N],
    joined: &mut [u32],
) {
    match ends.as_mut_slice() {
        [(q, out)] => sums(matrix, columns, q, out),
        [(q0, out0), (q1, out1)] => sums_of_two(matrix, columns, [q0, q1], joined, [out0, out1]),
        _ => const { assert!(N == 1 || N == 2) },
    }
}

impl Scratch<'_> {
    /// Quantizes the residual stream after `norm`; returns the factor of its numbers.
    pub(super) fn input(&mut self, model: &Model<'_>, norm: Norm) -> Factor {
        let x = if norm == Norm::Layer {
            copy(self.x, self.branch);
            &mut *self.branch
        } else {
            &mut *self.x
        };
        let [mean, _] = &model.means;
        quantize(norm, mean, model.fraction(), x, self.quantized)
    }
}

/// Numbers of 16 bits from sums, and `activation` of them.
fn activated(activation: Activation, matrix: &Matrix<'_>, factor: Factor, sums: &mut [i32]) {
    // a loop of its own for the usual one, without a choice in it
    match activation {
        Activation::Silu => finish(matrix, 0, factor, sums, silu),
        other => finish(matrix, 0, factor, sums, |x| activate(other, clamp(x))),
    }
}

/// `y = (y >> n) * u` with `n` such that all `y >> n` have 16 bits, which is returned.
fn gate(u: &[i32], y: &mut [i32]) -> i32 {
    let all = y.iter().fold(0, |all, y| all | (y ^ (y >> 31)) as u32);
    let places = (bits(all) - 15).max(0);
    for (y, u) in y.iter_mut().zip(u) {
        *y = (*y >> places as u32) * u;
    }
    places
}

/// `x += branch`, saturating.
fn add(branch: &[i32], x: &mut [i32]) {
    for (x, branch) in x.iter_mut().zip(branch) {
        *x = x.saturating_add(*branch);
    }
}

fn copy(from: &[i32], to: &mut [i32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}
