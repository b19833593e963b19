//! The way of tokens through a layer: of one, or of two that share the reading of the weights.

use crate::block::{self, Pass};
use crate::kernel::elementwise;
use crate::layer::Layer;
use crate::math::activate;
use crate::matrix::Matrix;
use crate::memory::take;
use crate::model::{Model, NormPosition, Shape};
use crate::norm::norm;
use crate::probe::{Probe, Stage};
use crate::recurrence;

type Scratch<'m> = block::Scratch<'m, f32>;

/// Input and output of a product: the branch and the start of the work, or a part of the work and
/// the branch.
#[derive(Clone, Copy)]
enum Ends {
    /// As many numbers of work as are given.
    Into(usize),
    /// From the first number on, as many as the second says.
    From(usize, usize),
}

/// A layer, with what tokens need to pass through it.
pub(crate) struct Passage<'p, P> {
    pub shape: &'p Shape,
    pub layer: &'p Layer<'p>,
    /// The block of channels whose tiny states the next token makes zero.
    pub visited: usize,
    /// The layer's taps and modes.
    pub state: &'p mut [f32],
    pub probe: &'p mut P,
}

impl<P: Probe> Pass<f32> for Passage<'_, P> {
    fn pass<const N: usize>(&mut self, tokens: &mut [Scratch<'_>; N], joined: &mut [u32]) {
        self.before_operator(tokens, joined);
        for s in &mut *tokens {
            self.operator(s);
        }
        self.after_operator(tokens, joined);
    }
}

// The GTU: `branch = W_o norm(u * TNO(v))` with `u, v = act(W branch)`.
impl<P: Probe> Passage<'_, P> {
    /// Up to u and v, before their activation.
    pub fn before_operator<const N: usize>(
        &mut self,
        tokens: &mut [Scratch<'_>; N],
        joined: &mut [u32],
    ) {
        let (shape, layer) = (self.shape, self.layer);
        for s in &mut *tokens {
            s.branch_in(shape, layer.token_norm);
        }
        self.probe.enter(Stage::Dense);
        product(
            &layer.gtu_in,
            tokens,
            Ends::Into(2 * shape.channels),
            joined,
        );
    }

    /// From y to the end of the layer.
    pub fn after_operator<const N: usize>(
        &mut self,
        tokens: &mut [Scratch<'_>; N],
        joined: &mut [u32],
    ) {
        let (shape, layer) = (self.shape, self.layer);
        self.probe.enter(Stage::Dense);
        let y = Ends::From(2 * shape.channels, shape.channels);
        product(&layer.gtu_out, tokens, y, joined);
        self.probe.enter(Stage::Norm);
        for s in &mut *tokens {
            s.branch_out(shape, layer.token_norm);
            s.branch_in(shape, layer.feature_norm);
        }
        self.glu(tokens, joined);
        self.probe.enter(Stage::Norm);
        for s in tokens {
            s.branch_out(shape, layer.feature_norm);
        }
    }

    /// The Toeplitz operator, a step: `y = norm(u * TNO(v))`.
    fn operator(&mut self, s: &mut Scratch<'_>) {
        self.probe.enter(Stage::Gates);
        let (uv, y) = s.gtu(self.shape);
        activate(self.shape.gtu_act, uv);
        let Some((u, v)) = uv.split_at_mut_checked(self.shape.channels) else {
            return;
        };
        recurrence::step(
            &self.layer.recurrence,
            self.visited,
            self.state,
            v,
            y,
            self.probe,
        );
        self.gate(u, y);
    }

    /// `y = norm(u * y)`, where `y` is what the operator made of the next token.
    pub fn gate(&mut self, u: &[f32], y: &mut [f32]) {
        self.visited = self.shape.visited_after(self.visited);
        self.probe.enter(Stage::Gates);
        elementwise::multiply(y, u);
        self.probe.enter(Stage::Norm);
        norm(self.shape.gtu_norm, self.layer.gtu_norm, y);
    }

    /// `branch = act(W_3 (act(W_1 branch) * (W_2 branch)))`.
    fn glu<const N: usize>(&mut self, tokens: &mut [Scratch<'_>; N], joined: &mut [u32]) {
        let (shape, layer) = (self.shape, self.layer);
        let width = shape.glu_dim;
        self.probe.enter(Stage::Dense);
        product(&layer.glu_in, tokens, Ends::Into(2 * width), joined);
        self.probe.enter(Stage::Gates);
        for s in &mut *tokens {
            s.gate(shape);
        }
        self.probe.enter(Stage::Dense);
        product(&layer.glu_out, tokens, Ends::From(0, width), joined);
        self.probe.enter(Stage::Gates);
        for s in tokens {
            activate(shape.glu_final_act, s.branch);
        }
    }
}

/// The products of a matrix with a vector of each token.
#[inline(always)]
fn product<const N: usize>(
    matrix: &Matrix<'_>,
    tokens: &mut [Scratch<'_>; N],
    ends: Ends,
    joined: &mut [u32],
) {
    match tokens.as_mut_slice() {
        [one] => {
            let (x, q, y) = one.ends(ends);
            matrix.multiply(x, q, y);
        }
        [first, second] => matrix.multiply_two(first.ends(ends), second.ends(ends), joined),
        _ => const { assert!(N == 1 || N == 2) },
    }
}

impl Scratch<'_> {
    /// u and v of the GTU, and its y.
    pub fn gtu(&mut self, shape: &Shape) -> (&mut [f32], &mut [f32]) {
        let mut rest = &mut *self.work;
        let uv = take(&mut rest, 2 * shape.channels);
        (uv, take(&mut rest, shape.channels))
    }

    /// Input, quantized input and output of a product.
    #[inline(always)]
    fn ends(&mut self, ends: Ends) -> (&[f32], &mut [u32], &mut [f32]) {
        let (work, quantized) = (&mut *self.work, &mut *self.quantized);
        match ends {
            Ends::Into(n) => (
                self.branch,
                quantized,
                work.get_mut(..n).unwrap_or_default(),
            ),
            Ends::From(start, n) => {
                let x = work.get(start..).and_then(|x| x.get(..n));
                (x.unwrap_or_default(), quantized, self.branch)
            }
        }
    }

    /// `branch = x`, normalized if norms stand before.
    fn branch_in(&mut self, shape: &Shape, params: &[f32]) {
        copy(self.x, self.branch);
        if shape.norm_position == NormPosition::Pre {
            norm(shape.norm, params, self.branch);
        }
    }

    /// `x += branch`, with the norm where it stands.
    fn branch_out(&mut self, shape: &Shape, params: &[f32]) {
        if shape.norm_position == NormPosition::PostBranch {
            norm(shape.norm, params, self.branch);
        }
        elementwise::add(self.x, self.branch);
        if shape.norm_position == NormPosition::PostResidual {
            norm(shape.norm, params, self.x);
        }
    }

    /// The final norm and the head: the logits of the branch, a copy of the residual stream.
    pub fn head<P: Probe>(&mut self, model: &Model<'_>, probe: &mut P) -> &[f32] {
        norm(model.shape().final_norm, model.final_norm(), self.branch);
        self.head_of_normed(model, probe)
    }

    /// The head alone: the logits of the branch, to which the final norm was applied.
    #[inline(always)]
    pub fn head_of_normed<P: Probe>(&mut self, model: &Model<'_>, probe: &mut P) -> &[f32] {
        let outputs = model.shape().outputs;
        let logits = self.work.get_mut(..outputs).unwrap_or(&mut []);
        probe.enter(Stage::Head);
        model.head().multiply(self.branch, self.quantized, logits);
        logits
    }

    /// The first half of the work times the second, which it is the gate of.
    fn gate(&mut self, shape: &Shape) {
        let mut rest = &mut *self.work;
        let gate = take(&mut rest, shape.glu_dim);
        activate(shape.glu_act, gate);
        elementwise::multiply(gate, take(&mut rest, shape.glu_dim));
    }
}

/// `to = from`.
pub(crate) fn copy(from: &[f32], to: &mut [f32]) {
    elementwise::zip(to, from, |_, from| from);
}
