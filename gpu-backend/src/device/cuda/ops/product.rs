//! Matrix products: by cuBLASLt, or by an own kernel where rows begin at odd places.

use super::{NOWHERE, arguments, expect};
use crate::device::cuda::Cuda;
use crate::device::cuda::machine::{Argument, Element, Operands, Product};
use crate::device::cuda::memory::{Act, F32};
use crate::device::{DeviceError, Gemm, Result};

/// Rows and columns of a block of `kernels/product.cu`, and its threads.
const SIDE: usize = 64;
const THREADS: usize = 256;
/// What rows of bf16 matrices must begin at multiples of for the tensor cores.
const ALIGNMENT: usize = 16;

impl Cuda {
    /// `C = op(A) op(B) (+ addend) (+ bias)` of activations.
    pub(in crate::device::cuda) fn act_product(
        &self,
        shape: Gemm,
        [a, b]: [(&Act, usize); 2],
        bias: Option<(&Act, usize)>,
        addend: Option<&Act>,
        c: &mut Act,
    ) -> Result<()> {
        let Gemm { m, n, k, .. } = shape;
        expect("A", a.0.len(), a.1 + m * k);
        expect("B", b.0.len(), b.1 + k * n);
        expect("C", c.len(), m * n);
        let operands = Operands {
            a: a.0.address(a.1),
            b: b.0.address(b.1),
            bias: bias.map(|(bias, at)| {
                expect("bias", bias.len(), at + n);
                bias.address(at)
            }),
            addend: addend.map(|addend| {
                expect("addend", addend.len(), m * n);
                addend.address(0)
            }),
            c: c.address(0),
        };
        self.multiply("gemm", &self.product(shape, self.element), &operands)
    }

    /// `C += op(A) op(B)` of activations, into f32 from element `c_at` on.
    pub(in crate::device::cuda) fn gradient_product(
        &self,
        shape: Gemm,
        [a, b]: [(&Act, usize); 2],
        c: &mut F32,
        c_at: usize,
    ) -> Result<()> {
        let Gemm { m, n, k, .. } = shape;
        expect("A", a.0.len(), a.1 + m * k);
        expect("B", b.0.len(), b.1 + k * n);
        expect("C", c.len(), c_at + m * n);
        let shape = Gemm {
            accumulate: true,
            ..shape
        };
        let operands = Operands {
            a: a.0.address(a.1),
            b: b.0.address(b.1),
            bias: None,
            addend: None,
            c: c.address(c_at),
        };
        let product = self.product(shape, Element::F32);
        self.multiply("gemm_gradient", &product, &operands)
    }

    fn product(&self, shape: Gemm, output: Element) -> Product {
        let Gemm { m, n, k, .. } = shape;
        Product {
            m,
            n,
            k,
            transpose_a: shape.transpose_a,
            transpose_b: shape.transpose_b,
            accumulate: shape.accumulate,
            strides: [
                if shape.transpose_a { m } else { k },
                if shape.transpose_b { k } else { n },
                n,
            ],
            input: self.element,
            output,
        }
    }

    pub(super) fn multiply(
        &self,
        operation: &'static str,
        product: &Product,
        operands: &Operands,
    ) -> Result<()> {
        if product.m == 0 || product.n == 0 || product.k == 0 {
            return Err(DeviceError::Unsupported {
                operation,
                reason: format!("a product of shape {product:?}; every side is at least 1"),
            });
        }
        if product.input == Element::Bf16 && !aligned(product, operands) {
            return self.multiply_unaligned(operation, product, operands);
        }
        // SAFETY: the callers check the operands' lengths by `expect`.
        unsafe { self.machine().multiply(product, operands) }
            .map_err(|fault| self.failed(operation, fault))
    }

    fn multiply_unaligned(
        &self,
        operation: &'static str,
        product: &Product,
        operands: &Operands,
    ) -> Result<()> {
        let kernel = match product.output {
            Element::F32 => "product_f32",
            Element::Bf16 => "product_bf16",
        };
        let grid = [product.n.div_ceil(SIDE), product.m.div_ceil(SIDE), 1];
        let arguments = arguments![
            operands.a,
            operands.b,
            operands.bias.unwrap_or(NOWHERE),
            operands.added_to(),
            operands.c,
            Argument::Struct(words(product)),
        ];
        self.launch(operation, kernel, grid, (THREADS, 0), arguments)
    }
}

/// Whether all rows, and the bias, begin where cuBLASLt wants them.
fn aligned(product: &Product, operands: &Operands) -> bool {
    let [a, b, c] = product.strides;
    let (input, output) = (product.input.bytes(), product.output.bytes());
    let steps = [a * input, b * input, c * output];
    let starts = [
        operands.a,
        operands.b,
        operands.c,
        operands.added_to(),
        operands.bias.unwrap_or(NOWHERE),
    ];
    steps.iter().all(|bytes| bytes.is_multiple_of(ALIGNMENT))
        && starts.iter().all(|at| at.is_multiple_of(ALIGNMENT as u64))
}

/// The struct `ProductArgs` of the kernel.
fn words(product: &Product) -> Vec<u32> {
    let steps = |stride, transposed| if transposed { [1, stride] } else { [stride, 1] };
    let [a, b, c] = product.strides;
    let [a_row, a_column] = steps(a, product.transpose_a);
    let [b_row, b_column] = steps(b, product.transpose_b);
    let accumulate = usize::from(product.accumulate);
    let fields = [
        product.m, product.n, product.k, a_row, a_column, b_row, b_column, c, accumulate,
    ];
    fields.map(|field| field as u32).to_vec()
}
