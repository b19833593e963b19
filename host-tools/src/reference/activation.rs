//! Activations, as PyTorch defines them.

use super::Real;
use crate::checkpoint::config::Activation;
use ndarray::Array2;
use num_traits::Float;

/// Applies `activation` to every entry.
pub(super) fn activate<T: Real>(activation: Activation, x: &mut Array2<T>) {
    let one = T::one();
    match activation {
        Activation::Silu => x.mapv_inplace(|x| x / (one + (-x).exp())),
        Activation::Relu => x.mapv_inplace(|x| Float::max(x, T::zero())),
        Activation::Gelu => x.mapv_inplace(gelu),
        Activation::Elu => x.mapv_inplace(elu),
        Activation::Sigmoid => x.mapv_inplace(sigmoid),
        Activation::Exp => x.mapv_inplace(|x| x.exp()),
        Activation::LeakyRelu => x.mapv_inplace(leaky_relu),
        Activation::OnePlusElu => x.mapv_inplace(|x| one + elu(x)),
        Activation::TwoPlusElu => x.mapv_inplace(|x| one + one + elu(x)),
        Activation::None => {}
    }
}

/// `(a, b)` with `|activation(x)| <= a |x| + b` for all `x`; none for one that grows faster.
pub(super) fn size_after(activation: Activation) -> Option<(f64, f64)> {
    match activation {
        Activation::None
        | Activation::Relu
        | Activation::LeakyRelu
        | Activation::Elu
        | Activation::Silu
        | Activation::Gelu => Some((1.0, 0.0)),
        Activation::Sigmoid => Some((0.0, 1.0)),
        Activation::OnePlusElu => Some((1.0, 1.0)),
        Activation::TwoPlusElu => Some((1.0, 2.0)),
        Activation::Exp => None,
    }
}

/// `1 / (1 + exp(-x))`.
pub(super) fn sigmoid<T: Real>(x: T) -> T {
    T::one() / (T::one() + (-x).exp())
}

/// `x * Phi(x)` with the exact normal distribution function, PyTorch's default.
fn gelu<T: Real>(x: T) -> T {
    T::of(0.5) * x * (-x * T::of(std::f64::consts::FRAC_1_SQRT_2)).erfc()
}

fn elu<T: Real>(x: T) -> T {
    if x > T::zero() { x } else { x.exp_m1() }
}

fn leaky_relu<T: Real>(x: T) -> T {
    if x > T::zero() { x } else { x * T::of(0.01) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Activation::*;

    /// Values of the definitions in `torch.nn.functional`, computed in float64 by another program,
    /// at -1.5 and 0.75.
    #[test]
    fn values_of_pytorch() {
        let table = [
            (Silu, -0.273_638_285_709_534_5, 0.509_384_024_381_544_7),
            (Relu, 0.0, 0.75),
            (Gelu, -0.100_210_801_903_287_01, 0.580_029_485_717_348_8),
            (Elu, -0.776_869_839_851_570_2, 0.75),
            (Sigmoid, 0.182_425_523_806_356_35, 0.679_178_699_175_393_1),
            (Exp, 0.223_130_160_148_429_82, 2.117_000_016_612_675),
            (LeakyRelu, -0.015, 0.75),
            (OnePlusElu, 0.223_130_160_148_429_8, 1.75),
            (TwoPlusElu, 1.223_130_160_148_43, 2.75),
            (None, -1.5, 0.75),
        ];
        for (activation, low, high) in table {
            let mut x = ndarray::array![[-1.5f64, 0.75]];
            activate(activation, &mut x);
            assert!((x[[0, 0]] - low).abs() < 1e-14, "{activation:?} {x}");
            assert!((x[[0, 1]] - high).abs() < 1e-14, "{activation:?} {x}");
        }
    }

    #[test]
    fn silu_of_large_numbers_is_finite() {
        let mut x = ndarray::array![[-1e4f32, 1e4]];
        activate(Silu, &mut x);
        assert_eq!(x, ndarray::array![[0.0, 1e4]]);
    }
}
