//! The gate of a GLU, channel-major.

use super::activation::{Function, with_activation};
use super::blocks::sum;
use super::simd::vectorized;
use crate::device::Activation;
use rayon::prelude::*;

/// Biases of both halves of a channel.
fn biases(bias: &[f32], channel: usize) -> (f32, f32) {
    let at = |i: usize| bias.get(i).copied().unwrap_or(0.0);
    (at(channel), at(bias.len() / 2 + channel))
}

/// `a = act(h[..G] + bias) . (h[G..] + bias)`; `bias` `[2G]` or empty.
pub fn forward(act: Activation, bias: &[f32], tokens: usize, h: &[f32], a: &mut [f32]) {
    let (gates, values) = h.split_at(h.len() / 2);
    let inputs = gates.par_chunks(tokens).zip(values.par_chunks(tokens));
    let rows = a.par_chunks_mut(tokens).zip(inputs).enumerate();
    rows.for_each(|(channel, (a, (gate, value)))| {
        let (gate_bias, value_bias) = biases(bias, channel);
        with_activation!(act, F => vectorized(#[inline(always)] || {
            for ((a, gate), value) in a.iter_mut().zip(gate).zip(value) {
                *a = F::value(gate + gate_bias) * (value + value_bias);
            }
        }));
    });
}

/// Gradients of [`forward`]: `dh` is written, `d_bias` added to.
pub fn backward(
    act: Activation,
    bias: &[f32],
    tokens: usize,
    (h, da): (&[f32], &[f32]),
    dh: &mut [f32],
    d_bias: &mut [f32],
) {
    let channels = da.len() / tokens;
    let (gates, values) = h.split_at(h.len() / 2);
    let (d_gates, d_values) = dh.split_at_mut(h.len() / 2);
    let inputs = gates.par_chunks(tokens).zip(values.par_chunks(tokens));
    let outputs = d_gates
        .par_chunks_mut(tokens)
        .zip(d_values.par_chunks_mut(tokens));
    let rows = outputs.zip(inputs).zip(da.par_chunks(tokens)).enumerate();
    let row = |(channel, ((outputs, inputs), da))| with_activation!(act, F => row_backward::<F>(biases(bias, channel), inputs, da, outputs));
    let sums: Vec<(f32, f32)> = rows.map(row).collect();
    if !d_bias.is_empty() {
        let (gate, value) = d_bias.split_at_mut(channels);
        for ((gate, value), sums) in gate.iter_mut().zip(value).zip(sums) {
            *gate += sums.0;
            *value += sums.1;
        }
    }
}

/// One channel; returns the sums of both gradients.
fn row_backward<F: Function>(
    (gate_bias, value_bias): (f32, f32),
    (gate, value): (&[f32], &[f32]),
    da: &[f32],
    (d_gate, d_value): (&mut [f32], &mut [f32]),
) -> (f32, f32) {
    vectorized(
        #[inline(always)]
        || {
            let outputs = d_gate.iter_mut().zip(d_value.iter_mut());
            for (((d_gate, d_value), (gate, value)), da) in
                outputs.zip(gate.iter().zip(value)).zip(da)
            {
                let (y, slope) = F::both(gate + gate_bias);
                *d_gate = da * (value + value_bias) * slope;
                *d_value = da * y;
            }
            (sum(d_gate) as f32, sum(d_value) as f32)
        },
    )
}
