//! Norms over the last dimension, each with its own place for its epsilon.

use super::activation::sigmoid;
use super::{Params, Real, ReferenceError};
use crate::checkpoint::config::Norm;
use ndarray::{Array1, Array2, ArrayViewMut1, Zip};

/// A norm with its learned parameters.
///
/// Sums over a row are taken in f64 whatever `T` is, so that the width costs no accuracy.
#[derive(Clone, Debug)]
pub struct NormLayer<T>(Kind<T>);

#[derive(Clone, Debug)]
enum Kind<T> {
    SimpleRms,
    Rms { scale: Array1<T> },
    GatedRms { scale: Array1<T>, gate: Array1<T> },
    Scale { scala: T },
    Layer { weight: Array1<T>, bias: Array1<T> },
    None,
}

/// Added to the root mean square, outside the root.
const RMS_EPS: f64 = 1e-8;
/// Added to the mean square of a ScaleNorm, inside the root.
const SCALE_EPS: f64 = 1e-5;
/// Added to the variance of a LayerNorm, inside the root.
const LAYER_EPS: f64 = 1e-5;

impl<T: Real> NormLayer<T> {
    /// Reads the parameters of `norm` over rows of `width` numbers.
    ///
    /// # Errors
    /// A tensor is missing or has another shape.
    pub fn from_params(norm: Norm, params: &Params, width: usize) -> Result<Self, ReferenceError> {
        let vector = |name| params.vector(name, width);
        Ok(Self(match norm {
            Norm::SimpleRmsNorm => Kind::SimpleRms,
            Norm::RmsNorm => Kind::Rms {
                scale: vector("scale")?,
            },
            Norm::GatedRmsNorm => Kind::GatedRms {
                scale: vector("scale")?,
                gate: vector("gate")?,
            },
            Norm::ScaleNorm => Kind::Scale {
                scala: params.vector("scala", 1)?[0],
            },
            Norm::LayerNorm => Kind::Layer {
                weight: vector("weight")?,
                bias: vector("bias")?,
            },
            Norm::None => Kind::None,
        }))
    }

    /// A bound of the Euclidean norm of what comes out, for rows of `width` numbers; none without a norm.
    pub fn bound(&self, width: usize) -> Option<f64> {
        let size = |x: &T| x.wide().abs();
        let largest = |xs: &Array1<T>| xs.iter().map(size).fold(0.0, f64::max);
        let root = (width as f64).sqrt();
        match &self.0 {
            Kind::None => None,
            Kind::SimpleRms => Some(root),
            Kind::Rms { scale } | Kind::GatedRms { scale, .. } => Some(root * largest(scale)),
            Kind::Scale { scala } => Some(root * size(scala)),
            Kind::Layer { weight, bias } => Some(root * (largest(weight) + largest(bias))),
        }
    }

    /// Normalizes every row of `[rows, width]`.
    pub fn apply(&self, x: &mut Array2<T>) {
        if let Kind::None = self.0 {
            return;
        }
        for row in x.rows_mut() {
            self.apply_row(row);
        }
    }

    fn apply_row(&self, mut x: ArrayViewMut1<T>) {
        match &self.0 {
            Kind::None => {}
            Kind::SimpleRms => divide_by_rms(&mut x),
            Kind::Rms { scale } => {
                divide_by_rms(&mut x);
                x *= scale;
            }
            Kind::GatedRms { scale, gate } => {
                // The gate looks at the row as it came in, not at the normalized one.
                let open = Zip::from(&x).and(gate).map_collect(|&x, &g| sigmoid(g * x));
                divide_by_rms(&mut x);
                x *= scale;
                x *= &open;
            }
            Kind::Scale { scala } => {
                let factor = T::of(1.0 / (mean_square(&x) + SCALE_EPS).sqrt());
                x.mapv_inplace(|x| x * factor * *scala);
            }
            Kind::Layer { weight, bias } => {
                standardize(&mut x);
                x *= weight;
                x += bias;
            }
        }
    }
}

fn mean_square<T: Real>(x: &ArrayViewMut1<T>) -> f64 {
    x.iter().map(|x| x.wide() * x.wide()).sum::<f64>() / x.len() as f64
}

fn divide_by_rms<T: Real>(x: &mut ArrayViewMut1<T>) {
    let divisor = T::of(mean_square(x).sqrt() + RMS_EPS);
    x.mapv_inplace(|x| x / divisor);
}

fn standardize<T: Real>(x: &mut ArrayViewMut1<T>) {
    let len = x.len() as f64;
    let mean = x.iter().map(|x| x.wide()).sum::<f64>() / len;
    let deviation = |x: &T| x.wide() - mean;
    let variance = x.iter().map(|x| deviation(x).powi(2)).sum::<f64>() / len;
    let factor = 1.0 / (variance + LAYER_EPS).sqrt();
    x.mapv_inplace(|x| T::of((x.wide() - mean) * factor));
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{ArrayD, array};
    use std::collections::BTreeMap;

    fn tensor(values: &[f32]) -> ArrayD<f32> {
        ArrayD::from_shape_vec(vec![values.len()], values.to_vec()).unwrap()
    }

    fn apply(norm: Norm, row: [f64; 3]) -> [f64; 3] {
        let tensors = BTreeMap::from([
            ("n.scale".into(), tensor(&[2.0, 0.5, -1.0])),
            ("n.gate".into(), tensor(&[1.0, -2.0, 0.5])),
            ("n.scala".into(), tensor(&[3.0])),
            ("n.weight".into(), tensor(&[2.0, 0.5, -1.0])),
            ("n.bias".into(), tensor(&[0.25, 0.0, 1.0])),
        ]);
        let layer = NormLayer::from_params(norm, &Params::new(&tensors, "n."), 3).unwrap();
        let mut x = array![row];
        layer.apply(&mut x);
        [x[[0, 0]], x[[0, 1]], x[[0, 2]]]
    }

    /// A row this small tells where each epsilon stands: its mean square is 1e-8.
    #[test]
    fn epsilons_stand_where_the_official_layers_put_them() {
        let a = 1e-4;
        let row = [a, -a, a];
        let rms = 1.0 / (1.0 + 1e-4);
        let close = |got: [f64; 3], want: [f64; 3]| {
            for (g, w) in got.iter().zip(want) {
                assert!((g - w).abs() < 1e-12, "{got:?} {want:?}");
            }
        };
        let sig = |x: f64| 1.0 / (1.0 + (-x).exp());
        close(apply(Norm::None, row), row);
        close(apply(Norm::SimpleRmsNorm, row), [rms, -rms, rms]);
        close(apply(Norm::RmsNorm, row), [2.0 * rms, -0.5 * rms, -rms]);
        close(
            apply(Norm::GatedRmsNorm, row),
            [
                2.0 * rms * sig(a),
                -0.5 * rms * sig(2.0 * a),
                -rms * sig(0.5 * a),
            ],
        );
        let scale = 3.0 * a / (1e-8f64 + 1e-5).sqrt();
        close(apply(Norm::ScaleNorm, row), [scale, -scale, scale]);
        let root = (8e-8f64 / 9.0 + 1e-5).sqrt();
        let (up, down) = (2.0 * a / 3.0 / root, -4.0 * a / 3.0 / root);
        close(
            apply(Norm::LayerNorm, row),
            [2.0 * up + 0.25, 0.5 * down, -up + 1.0],
        );
    }
}
