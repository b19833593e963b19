//! Rounding by what matrices are given when the network reads a text, or clips.
//!
//! The network runs twice, side by side and a layer at a time: as trained, and as the model will, with
//! the matrices rounded so far and activations of eight bits. Each matrix is rounded so that what it
//! makes of the model's inputs is near what it makes of the trained network's
//! ([`Goal`]), and then takes its part in the model: errors of earlier layers are seen, and in part
//! made up for, by later ones.

use super::compensated::round;
use super::goal::{Goal, NotFinite};
use super::matrix::Matrix;
use super::moment::{halves, mean_product, product};
use super::nearest::WeightType;
use super::network::{Affine, MatrixName, Weights};
use crate::checkpoint::Checkpoint;
use crate::checkpoint::config::Pooling;
use crate::reference::mix::{Mix, Padded};
use crate::reference::{Input, Linear, Maps, Network, Place, ReferenceError};
use ndarray::{Array1, Array2, ArrayView2, Axis, Ix2, concatenate, s};
use rayon::prelude::*;
use toeplite::format::SMALLEST;

pub use super::sample::{MixedClips, Sample};

/// Why a network cannot be calibrated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CalibrationError {
    /// The network cannot read the sample.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The network computes infinities or worse on it.
    #[error("cannot calibrate {matrix}: {source}; are the checkpoint's weights finite?")]
    NotFinite {
        /// Whose inputs they are.
        matrix: String,
        /// What is wrong.
        source: NotFinite,
    },
}

/// Matrices and what is known of them.
#[derive(Clone, Debug)]
pub struct Calibrated {
    /// The matrices.
    pub weights: Weights,
    /// For each of [`Weights::matrices`], in their order: how strong its outputs are beside the
    /// difference from those that the trained network has there, in decibels. The errors of its inputs,
    /// which earlier matrices left, are in the difference.
    pub output_sqnr: Vec<f64>,
}

/// Rounds all matrices of a checkpoint to the types that `weight_type` names, calibrated on `sample`.
///
/// `progress` is told how many layers are done.
///
/// # Errors
/// The sample is empty or not what the network reads, or activations are not finite.
pub fn calibrate(
    checkpoint: &Checkpoint,
    sample: &Sample,
    weight_type: impl Fn(MatrixName) -> WeightType,
    progress: impl Fn(usize),
) -> Result<Calibrated, CalibrationError> {
    let network = Network::<f32>::from_checkpoint(checkpoint)?;
    let trained = network.trained_mix();
    // sequences of a classifier have lengths of their own; in training the longest gave the kernels
    let padding = match checkpoint.config.classifier {
        None => 0,
        Some(_) => checkpoint.config.train_len,
    };
    let mix = Padded::new(trained, padding);
    let mix = |layer: usize, v: ArrayView2<'_, f32>| mix_each(&mix, layer, v, sample.lengths());
    let mut start = match sample.inputs() {
        Input::Tokens(tokens) => read_tokens(checkpoint, &network, tokens, &weight_type, mix)?,
        Input::Frames(frames) => read_frames(checkpoint, frames, &weight_type)?,
    };
    let mut x = start.x;
    let (mut layers, mut layer_sqnr) = (Vec::new(), Vec::new());
    for (i, layer) in network.layers().iter().enumerate() {
        let mut rounding = Rounding {
            layer: i,
            weight_type: &weight_type,
            done: Vec::new(),
            sqnr: Vec::new(),
        };
        x = layer.forward_with(x, |v| mix(i, v), &mut rounding)?;
        let done = rounding.done.try_into();
        layers.push(done.expect("a layer computes its maps in the order of `Place::ALL`"));
        layer_sqnr.extend(rounding.sqnr);
        progress(i + 1);
    }
    let head = if checkpoint.config.tie_embeddings {
        None
    } else {
        network.final_norm().apply(&mut x);
        let classifier = checkpoint.config.classifier.as_ref();
        let inputs = halves(&x).map(|x| match classifier {
            None => x.to_owned(),
            Some(classifier) => pooled(x, classifier.pooling, sample.lengths()),
        });
        let inputs = inputs.each_ref().map(|x| x.view());
        let (name, head) = (MatrixName::Head, network.head().weights());
        let matrix = round_matrix(name, weight_type(name), head, inputs)?;
        start.sqnr.push(outputs(head, &matrix, inputs).1);
        Some(matrix)
    };
    Ok(Calibrated {
        weights: Weights {
            embedding: start.matrix,
            head,
            layers,
        },
        output_sqnr: [start.sqnr, layer_sqnr].concat(),
    })
}

/// The first matrix, and what it makes of the sample.
struct Start {
    matrix: Matrix,
    /// Of it alone.
    sqnr: Vec<f64>,
    /// Residual streams of the trained network, above those of the model.
    x: Array2<f32>,
}

/// The embedding; where it is the head, too, rounded as that.
fn read_tokens(
    checkpoint: &Checkpoint,
    network: &Network<f32>,
    tokens: &[u32],
    weight_type: impl Fn(MatrixName) -> WeightType,
    mix: impl Fn(usize, ArrayView2<'_, f32>) -> Array2<f32>,
) -> Result<Start, CalibrationError> {
    let exact = network.embed(tokens)?;
    let embedding_type = weight_type(MatrixName::Embedding);
    let (matrix, sqnr) = if checkpoint.config.tie_embeddings {
        // the head must be rounded before the model can read a token
        let head = network.head().weights();
        let mut x = exact.clone();
        for (i, layer) in network.layers().iter().enumerate() {
            x = layer.forward(x, |v| mix(i, v));
        }
        network.final_norm().apply(&mut x);
        let both = [x.view(), x.view()];
        let matrix = round_matrix(MatrixName::Embedding, embedding_type, head, both)?;
        let sqnr = outputs(head, &matrix, both).1;
        (matrix, sqnr)
    } else {
        let weights = checkpoint.tensors["embed.weight"].view();
        let weights = weights.into_dimensionality::<Ix2>().expect(READ);
        let matrix = Matrix::nearest(weights, embedding_type);
        let sqnr = sqnr(weights, matrix.values().view());
        (matrix, sqnr)
    };
    let device = lookup(&matrix, network.embed_scale(), tokens);
    let x = concatenate(Axis(0), &[exact.view(), device.view()]).expect(SAME_WIDTH);
    Ok(Start {
        matrix,
        sqnr: vec![sqnr],
        x,
    })
}

/// The map of frames.
fn read_frames(
    checkpoint: &Checkpoint,
    frames: ArrayView2<'_, f32>,
    weight_type: impl Fn(MatrixName) -> WeightType,
) -> Result<Start, CalibrationError> {
    let (expected, found) = (checkpoint.config.frame_dim(), frames.ncols());
    let expected = expected.ok_or(ReferenceError::ReadsTokens)?;
    if expected != found {
        return Err(ReferenceError::Frames { expected, found }.into());
    }
    let name = MatrixName::Embedding;
    let weights = checkpoint.tensors["frames.weight"].view();
    let weights = weights.into_dimensionality::<Ix2>().expect(READ);
    let matrix = round_matrix(name, weight_type(name), weights, [frames, frames])?;
    let (mut x, sqnr) = outputs(weights, &matrix, [frames, frames]);
    if let Some(bias) = checkpoint.tensors.get("frames.bias") {
        x += bias;
    }
    Ok(Start {
        matrix,
        sqnr: vec![sqnr],
        x,
    })
}

/// Computes a layer's maps for the trained network, in the first half of the rows, and for the model, in
/// the second; rounds the model's before.
struct Rounding<'a, F> {
    layer: usize,
    weight_type: &'a F,
    /// In the order of [`Place::ALL`].
    done: Vec<Affine>,
    /// As `done`.
    sqnr: Vec<f64>,
}

impl<F: Fn(MatrixName) -> WeightType> Maps<f32> for Rounding<'_, F> {
    type Error = CalibrationError;

    fn apply<const N: usize>(
        &mut self,
        place: Place,
        maps: [&Linear<f32>; N],
        x: &Array2<f32>,
    ) -> Result<[Array2<f32>; N], CalibrationError> {
        let weights = maps.map(Linear::weights);
        let weights = concatenate(Axis(0), &weights).expect(SAME_WIDTH);
        let bias: Array1<f32> = maps.iter().flat_map(|map| map.bias_or_zeros()).collect();
        let name = MatrixName::Layer(self.layer, place);
        let weight_type = (self.weight_type)(name);
        let matrix = round_matrix(name, weight_type, weights.view(), halves(x))?;
        let (mut y, sqnr) = outputs(weights.view(), &matrix, halves(x));
        y += &bias;
        self.sqnr.push(sqnr);
        self.done.push(Affine {
            matrix,
            bias: bias.to_vec(),
        });
        let mut start = 0;
        Ok(maps.map(|map| {
            let rows = start..start + map.weights().nrows();
            start = rows.end;
            y.slice(s![.., rows]).to_owned()
        }))
    }
}

const READ: &str = "the network read it";
const SAME_WIDTH: &str = "maps of the same inputs, outputs of the same map";
const NOT_EMPTY: &str = "sequences of a sample are not empty";

/// Rounds the matrix that has the inputs `exact` in the trained network and `device` in the model.
fn round_matrix(
    name: MatrixName,
    weight_type: WeightType,
    weights: ArrayView2<'_, f32>,
    [exact, device]: [ArrayView2<'_, f32>; 2],
) -> Result<Matrix, CalibrationError> {
    if weight_type != WeightType::Int4 {
        // measured: what compensation changes with 8 bits is too little to tell
        return Ok(Matrix::nearest(weights, weight_type));
    }
    let device = as_read(device, weight_type);
    let second = mean_product(device.view(), device.view());
    let cross = mean_product(exact, device.view());
    let goal = Goal::new(&cross, &second).map_err(|source| CalibrationError::NotFinite {
        matrix: name.to_string(),
        source,
    })?;
    Ok(Matrix::Int4(round(weights, &goal)))
}

/// What `weights` make of `exact`, above what `matrix` makes of `device`; the first beside the difference,
/// in decibels.
fn outputs(
    weights: ArrayView2<'_, f32>,
    matrix: &Matrix,
    [exact, device]: [ArrayView2<'_, f32>; 2],
) -> (Array2<f32>, f64) {
    let device = as_read(device, matrix.weight_type());
    let device = product(device.view(), matrix.values().view());
    let exact = product(exact, weights);
    let sqnr = sqnr(exact.view(), device.view());
    let both = concatenate(Axis(0), &[exact.view(), device.view()]);
    (both.expect(SAME_WIDTH), sqnr)
}

/// The squares of `exact` beside those of its difference from `found`, in decibels; infinite where there is
/// none.
pub fn sqnr(exact: ArrayView2<'_, f32>, found: ArrayView2<'_, f32>) -> f64 {
    let squares = |x: f32| f64::from(x).powi(2);
    let signal: f64 = exact.iter().map(|x| squares(*x)).sum();
    let noise: f64 = exact.iter().zip(&found).map(|(a, b)| squares(a - b)).sum();
    10.0 * (signal / noise).log10()
}

/// The vectors `x` as matrices of a type read them: those of integers, rounded to signed bytes with a
/// scale a vector.
fn as_read(x: ArrayView2<'_, f32>, weight_type: WeightType) -> Array2<f32> {
    let mut x = x.to_owned();
    if weight_type == WeightType::F32 {
        return x;
    }
    for mut row in x.rows_mut() {
        let largest = row.iter().fold(0f32, |m, x| m.max(x.abs()));
        // what is not finite stays: the means of products will show it
        if largest >= SMALLEST && largest.is_finite() {
            row.mapv_inplace(|x| (x * (127.0 / largest)).round_ties_even() * (largest / 127.0));
        }
    }
    x
}

/// Rows of the embedding, times its factor.
fn lookup(embedding: &Matrix, scale: f32, tokens: &[u32]) -> Array2<f32> {
    let table = embedding.values();
    let mut x = Array2::zeros((tokens.len(), table.ncols()));
    for (mut row, token) in x.rows_mut().into_iter().zip(tokens) {
        row.assign(&table.row(*token as usize));
    }
    x * scale
}

/// The token mixing of `layer` in sequences of these lengths that know nothing of each other; as often as they
/// are there.
fn mix_each(
    mix: &dyn Mix<f32>,
    layer: usize,
    v: ArrayView2<'_, f32>,
    lengths: &[usize],
) -> Array2<f32> {
    let sequences: Vec<_> = sequences(v, lengths).collect();
    let sequences = sequences.into_par_iter();
    let mixed: Vec<_> = sequences.map(|v| mix.mix(layer, v)).collect();
    let views: Vec<_> = mixed.iter().map(|mixed| mixed.view()).collect();
    concatenate(Axis(0), &views).expect("all have the operator's channels")
}

/// The vector that the head is given of each sequence, `[sequences, dim]`.
fn pooled(x: ArrayView2<'_, f32>, pooling: Pooling, lengths: &[usize]) -> Array2<f32> {
    let mut out = Array2::zeros((lengths.len(), x.ncols()));
    for (mut row, x) in out.rows_mut().into_iter().zip(sequences(x, lengths)) {
        match pooling {
            Pooling::Mean => row.assign(&x.mean_axis(Axis(0)).expect(NOT_EMPTY)),
            Pooling::Last => row.assign(&x.rows().into_iter().next_back().expect(NOT_EMPTY)),
        }
    }
    out
}

/// The rows of sequences of these lengths, over and over.
fn sequences<'a>(
    rows: ArrayView2<'a, f32>,
    lengths: &[usize],
) -> impl Iterator<Item = ArrayView2<'a, f32>> {
    let mut rest = rows;
    let fits = move |length: &usize| {
        let (first, after) = (rest.nrows() >= *length).then(|| rest.split_at(Axis(0), *length))?;
        rest = after;
        Some(first)
    };
    lengths.iter().cycle().map_while(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::testing;

    fn sample(tokens: usize) -> Sample {
        let text = testing::checkpoint_folder("shakespeare-32x2").join("val.txt");
        let text: Vec<u32> = std::fs::read(text)
            .unwrap()
            .into_iter()
            .map(u32::from)
            .collect();
        Sample::spread(&text, 128, tokens)
    }

    #[test]
    fn outputs_are_nearer_than_by_nearest() {
        let checkpoint = testing::checkpoint("shakespeare-32x2");
        let calibrated =
            |weight_type| calibrate(&checkpoint, &sample(1024), |_| weight_type, |_| ()).unwrap();
        let [exact, eight, four] =
            [WeightType::F32, WeightType::Int8, WeightType::Int4].map(calibrated);
        // without rounding the model is the trained network
        assert!(
            exact.output_sqnr.iter().all(|sqnr| *sqnr > 100.0),
            "{:?}",
            exact.output_sqnr
        );
        assert!(
            eight.output_sqnr.iter().all(|sqnr| *sqnr > 30.0),
            "{:?}",
            eight.output_sqnr
        );
        let names = four.weights.matrices().zip(&four.output_sqnr);
        for ((name, matrix), sqnr) in names {
            let bits = 8.0 * matrix.bytes() as f64 / matrix.values().len() as f64;
            // 4.25, and a scale a row, which counts in rows as short as these
            assert!(
                bits <= 4.25 + 32.0 / matrix.dim().1 as f64,
                "{name}: {bits}"
            );
            assert!(*sqnr > 12.0, "{name}: {sqnr}");
        }
    }

    #[test]
    fn types_may_differ_by_matrix() {
        let checkpoint = testing::checkpoint("shakespeare-32x2");
        let mixed = |name| match name {
            MatrixName::Embedding | MatrixName::Head => WeightType::Int8,
            MatrixName::Layer(0, _) => WeightType::Int4,
            MatrixName::Layer(..) => WeightType::F32,
        };
        let weights = calibrate(&checkpoint, &sample(256), mixed, |_| ())
            .unwrap()
            .weights;
        for (name, matrix) in weights.matrices() {
            assert_eq!(matrix.weight_type(), mixed(name), "{name}");
        }
    }

    #[test]
    fn activations_that_are_no_numbers_are_named() {
        let mut checkpoint = testing::checkpoint("shakespeare-32x2");
        let name = "layers.1.token_mixer.o.weight";
        checkpoint.tensors.get_mut(name).unwrap().fill(f32::NAN);
        checkpoint.config.tie_embeddings = false;
        let embedding = checkpoint.tensors["embed.weight"].clone();
        checkpoint.tensors.insert("head.weight".into(), embedding);
        let error = calibrate(&checkpoint, &sample(256), |_| WeightType::Int4, |_| ()).unwrap_err();
        let expected = "cannot calibrate layers.1.feature_mixer.l1, feature_mixer.l2: its inputs are not finite";
        assert!(error.to_string().starts_with(expected), "{error}");
        let unknown = Sample::spread(&[1, 256], 2, 2);
        let error = calibrate(&checkpoint, &unknown, |_| WeightType::Int4, |_| ()).unwrap_err();
        assert!(matches!(
            error,
            CalibrationError::Reference(ReferenceError::Token { .. })
        ));
    }
}
