//! The head's cross entropy, in chunks of tokens.

use super::{arguments, expect};
use crate::device::cuda::Cuda;
use crate::device::cuda::machine::{Address, Element, Operands, Product};
use crate::device::cuda::memory::{Act, F32, Ids};
use crate::device::{HeadGradient, Result};

/// What the parts of the loss share.
struct Head<'a> {
    weight: Address,
    classes: usize,
    width: usize,
    /// From one row of logits to the next.
    stride: usize,
    logits: Address,
    x: &'a Act,
}

impl Cuda {
    #[allow(clippy::too_many_arguments, reason = "as the trait")]
    pub(in crate::device::cuda) fn run_head_loss(
        &self,
        weights: &Act,
        weight_at: usize,
        classes: usize,
        x: &Act,
        targets: &Ids,
        sums: &mut F32,
        mut backward: Option<HeadGradient<'_, Self>>,
    ) -> Result<()> {
        let (tokens, width) = (targets.len, x.len() / targets.len);
        expect("weights", weights.len(), weight_at + classes * width);
        expect("sums", sums.len(), 3);
        if let Some(gradient) = &backward {
            let needed = gradient.weight_at + classes * width;
            expect("gradients", gradient.gradients.len(), needed);
            expect("dx", gradient.dx.len(), x.len());
        }
        let stride = classes.next_multiple_of(8);
        let row_bytes = stride * self.element.bytes();
        let chunk = (self.logits_bytes / row_bytes)
            .max(1)
            .next_multiple_of(64)
            .min(tokens);
        let room = (2 * tokens * 4).next_multiple_of(256);
        let losses = self.scratch(room + chunk * row_bytes)?;
        let hits = losses + (tokens * 4) as Address;
        let head = Head {
            weight: weights.address(weight_at),
            classes,
            width,
            stride,
            logits: losses + room as Address,
            x,
        };
        let scale = backward.as_ref().map(|gradient| gradient.scale);
        for first in (0..tokens).step_by(chunk) {
            let rows = chunk.min(tokens - first);
            self.logits(&head, first, rows)?;
            let at = (first * 4) as Address;
            let threads = if classes > 4096 { 512 } else { 128 };
            self.launch(
                "head_loss",
                &format!("cross_entropy_{}", self.type_name()),
                [rows, 1, 1],
                (threads, 0),
                arguments![
                    head.logits,
                    targets.ids() + at,
                    losses + at,
                    hits + at,
                    classes as i32,
                    stride as i32,
                    scale.unwrap_or(0.0),
                    i32::from(scale.is_some())
                ],
            )?;
            if let Some(gradient) = &mut backward {
                self.logits_backward(&head, first, rows, gradient)?;
            }
        }
        self.launch(
            "head_loss",
            "loss_sums",
            [1, 1, 1],
            (512, 0),
            arguments![targets.ids(), losses, hits, sums.address(0), tokens as i32],
        )
    }

    /// `logits = x W^T` for a chunk of tokens.
    fn logits(&self, head: &Head, first: usize, rows: usize) -> Result<()> {
        let product = Product {
            m: rows,
            n: head.classes,
            k: head.width,
            transpose_a: false,
            transpose_b: true,
            accumulate: false,
            strides: [head.width, head.width, head.stride],
            input: self.element,
            output: self.element,
        };
        let operands = Operands {
            a: head.x.address(first * head.width),
            b: head.weight,
            bias: None,
            addend: None,
            c: head.logits,
        };
        self.multiply("head_loss", &product, &operands)
    }

    /// From the logits' gradient those of x and of the weight.
    fn logits_backward(
        &self,
        head: &Head,
        first: usize,
        rows: usize,
        gradient: &mut HeadGradient<'_, Self>,
    ) -> Result<()> {
        let of_x = Product {
            m: rows,
            n: head.width,
            k: head.classes,
            transpose_a: false,
            transpose_b: false,
            accumulate: false,
            strides: [head.stride, head.width, head.width],
            input: self.element,
            output: self.element,
        };
        let operands = Operands {
            a: head.logits,
            b: head.weight,
            bias: None,
            addend: None,
            c: gradient.dx.address(first * head.width),
        };
        self.multiply("head_loss", &of_x, &operands)?;
        let of_weight = Product {
            m: head.classes,
            n: head.width,
            k: rows,
            transpose_a: true,
            accumulate: true,
            output: Element::F32,
            ..of_x
        };
        let operands = Operands {
            a: head.logits,
            b: head.x.address(first * head.width),
            bias: None,
            addend: None,
            c: gradient.gradients.address(gradient.weight_at),
        };
        self.multiply("head_loss", &of_weight, &operands)
    }
}
