//! Matrix products: by cuBLASLt, or by an own kernel where rows begin at odd places.

use super::{NOWHERE, arguments};
use crate::device::cuda::Cuda;
use crate::device::cuda::machine::{Argument, Element, Operands, Product};
use crate::device::{DeviceError, Result};

/// Rows and columns of a block of `kernels/product.cu`, and its threads.
const SIDE: usize = 64;
const THREADS: usize = 256;
/// What rows of bf16 matrices must begin at multiples of for the tensor cores.
const ALIGNMENT: usize = 16;

impl Cuda {
    pub(in crate::device::cuda) fn multiply(
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
