//! Norms and sums over tokens.

use super::{NOWHERE, arguments, expect};
use crate::device::cuda::Cuda;
use crate::device::cuda::machine::Address;
use crate::device::cuda::memory::{Act, F32};
use crate::device::{Norm, NormShape, Result};

/// Tokens of a block: one warp each.
const TOKENS: usize = 4;

impl Cuda {
    pub(in crate::device::cuda) fn run_norm(
        &self,
        shape: NormShape,
        parameters: &F32,
        x: &Act,
        y: &mut Act,
    ) -> Result<()> {
        let tokens = x.len() / shape.width;
        expect("y", y.len(), tokens * shape.width);
        let weight = weight_of(shape, parameters);
        let (variant, _) = self.variant(shape.width, &[x.address(0), y.address(0)]);
        self.launch(
            "norm",
            &format!("norm_{}_{variant}", name(shape.norm)),
            [tokens.div_ceil(TOKENS), 1, 1],
            (32 * TOKENS, 0),
            arguments![
                x.address(0),
                weight,
                y.address(0),
                tokens as i32,
                shape.width as i32
            ],
        )
    }

    pub(in crate::device::cuda) fn run_norm_backward(
        &self,
        shape: NormShape,
        parameters: &F32,
        x: &Act,
        dy: &Act,
        dx: &mut Act,
        gradients: &mut F32,
    ) -> Result<()> {
        let (width, tokens) = (shape.width, x.len() / shape.width);
        expect("dy", dy.len(), tokens * width);
        expect("dx", dx.len(), tokens * width);
        let (parts, each) = parts_of(tokens);
        let saved = match shape.norm {
            Norm::SimpleRms => NOWHERE,
            Norm::Layer => self.scratch((2 * tokens + parts * 2 * width) * 4)?,
        };
        let addresses = [x.address(0), dy.address(0), dx.address(0)];
        let (variant, _) = self.variant(width, &addresses);
        self.launch(
            "norm_backward",
            &format!("norm_{}_backward_{variant}", name(shape.norm)),
            [tokens.div_ceil(TOKENS), 1, 1],
            (32 * TOKENS, 0),
            arguments![
                x.address(0),
                weight_of(shape, parameters),
                dy.address(0),
                dx.address(0),
                saved,
                tokens as i32,
                width as i32
            ],
        )?;
        if shape.norm == Norm::SimpleRms {
            return Ok(());
        }
        expect("gradients", gradients.len(), shape.weight_at + 2 * width);
        let partials = saved + (2 * tokens * 4) as Address;
        self.launch(
            "norm_backward",
            &format!("norm_parameters_{}", self.type_name()),
            [width.div_ceil(32), parts, 1],
            (256, 0),
            arguments![
                x.address(0),
                dy.address(0),
                saved,
                partials,
                tokens as i32,
                width as i32,
                each as i32
            ],
        )?;
        let to = gradients.address(shape.weight_at);
        self.add_rows("norm_backward", partials, parts, 2 * width, 2 * width, to)
    }

    pub(in crate::device::cuda) fn run_column_sums(
        &self,
        x: &Act,
        width: usize,
        sums: &mut F32,
        sums_at: usize,
    ) -> Result<()> {
        let tokens = x.len() / width;
        expect("sums", sums.len(), sums_at + width);
        let (parts, each) = parts_of(tokens);
        let partials = self.scratch(parts * width * 4)?;
        let (variant, vector) = self.variant(width, &[x.address(0)]);
        self.launch(
            "column_sums",
            &format!("column_sums_{variant}"),
            [width.div_ceil(32 * vector), parts, 1],
            (256, 0),
            arguments![
                x.address(0),
                partials,
                tokens as i32,
                width as i32,
                each as i32
            ],
        )?;
        let to = sums.address(sums_at);
        self.add_rows("column_sums", partials, parts, width, width, to)
    }

    /// `to[j] += sum over p of partials[p * stride + j]`.
    pub(super) fn add_rows(
        &self,
        operation: &'static str,
        partials: Address,
        parts: usize,
        stride: usize,
        width: usize,
        to: Address,
    ) -> Result<()> {
        self.launch(
            operation,
            "reduce_rows",
            [width.div_ceil(32), 1, 1],
            (256, 0),
            arguments![partials, to, parts as i32, stride as i32, width as i32],
        )
    }
}

fn name(norm: Norm) -> &'static str {
    match norm {
        Norm::SimpleRms => "rms",
        Norm::Layer => "layer",
    }
}

fn weight_of(shape: NormShape, parameters: &F32) -> Address {
    match shape.norm {
        Norm::SimpleRms => NOWHERE,
        Norm::Layer => {
            expect(
                "parameters",
                parameters.len(),
                shape.weight_at + 2 * shape.width,
            );
            parameters.address(shape.weight_at)
        }
    }
}

/// How many parts sums over tokens are split into, and the tokens of each.
fn parts_of(tokens: usize) -> (usize, usize) {
    let each = tokens.div_ceil(128).next_multiple_of(32);
    (tokens.div_ceil(each), each)
}
