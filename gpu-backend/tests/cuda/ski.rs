//! The product of SKI against its dense matrix, and its long sequences against the CPU.

use super::device;
use toeplite_train::device::cpu::Cpu;
use toeplite_train::device::cuda::Precision;
use toeplite_train::device::{Activation, SkiShape, checks};

fn shape(batch: usize, length: usize, rank: usize, taps: usize, act: Activation) -> SkiShape {
    SkiShape {
        batch,
        length,
        channels: 2,
        act,
        rank,
        taps,
    }
}

/// One position; fewer positions than points; several sequences a block, and a last one of fewer; both widths of
/// the convolution; lengths that are multiples of four, and that are not.
#[test]
fn outputs_and_gradients_are_those_of_the_dense_matrix() {
    use Activation::{Gelu, None, Relu, Silu};
    for (precision, tolerance) in [(Precision::F32, 2e-5), (Precision::Bf16, 2e-2)] {
        let device = device(precision);
        for (seed, shape) in [
            shape(3, 1, 3, 1, Silu),
            shape(9, 5, 9, 3, Gelu),
            shape(2, 8, 2, 9, Relu),
            shape(10, 12, 5, 11, Silu),
            shape(3, 18, 4, 33, None),
        ]
        .into_iter()
        .enumerate()
        {
            let error = checks::ski(&device, shape, seed % 2 == 0, seed as u64).unwrap();
            assert!(error < tolerance, "{error} of {shape:?}, {precision:?}");
        }
    }
}

#[test]
fn kernels_of_warped_lags_and_gradients() {
    let device = device(Precision::F32);
    for (length, spacing) in [(1, 1.0), (5, 0.4), (9, 30.0)] {
        let (shape, count) = checks::warped_shape(length, (12, 1, 4), spacing);
        let error = checks::rpe(&device, &shape, count, 1).unwrap();
        assert!(error < 2e-5, "{error} of {shape:?}");
    }
}

/// More sequences than a block holds, and sequences of several tiles.
#[test]
fn long_sequences_are_those_of_the_cpu() {
    let device = device(Precision::F32);
    for shape in [
        shape(9, 510, 64, 9, Activation::Silu),
        shape(1, 8200, 130, 3, Activation::Silu),
        shape(1, 4099, 64, 9, Activation::Silu),
    ] {
        let found = checks::ski_outputs(&device, shape, 5).unwrap();
        let expected = checks::ski_outputs(&Cpu::new(), shape, 5).unwrap();
        for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let largest = expected.iter().fold(0f32, |m, x| m.max(x.abs()));
            let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 2e-5 * largest;
            let same = found.iter().zip(expected).all(close);
            assert!(same, "output {index} of {shape:?}");
        }
    }
}
