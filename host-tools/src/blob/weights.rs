//! The matrices of a checkpoint, rounded to nearest; matrices as sections.

use super::pack::{pack_int4, pack_int8};
use super::writer::{Section, Source, WriteError, flushed};
use crate::checkpoint::Checkpoint;
use crate::checkpoint::config::Config;
use crate::quantize::{Affine, Matrix, MatrixName, WeightType, Weights};
use crate::reference::Place;
use ndarray::{Array2, Axis, concatenate};
use toeplite::format::{self, ElementType, WeightOrder};

/// All matrices of `checkpoint`, each rounded to the nearest numbers of the type that `weight_type` names.
///
/// # Errors
/// [`WriteError::Tensor`].
pub fn nearest(
    checkpoint: &Checkpoint,
    weight_type: impl Fn(MatrixName) -> WeightType,
) -> Result<Weights, WriteError> {
    let round = |name| {
        let weights = trained(checkpoint, name)?;
        Ok::<_, WriteError>(Matrix::nearest(weights.view(), weight_type(name)))
    };
    let config = &checkpoint.config;
    let source = Source { checkpoint };
    let layer = |i| {
        let [a, b, c, d] = Place::ALL.map(|place| {
            let matrix = round(MatrixName::Layer(i, place))?;
            let mut bias = vec![0.0; matrix.dim().0];
            if config.bias {
                let rows = bias.len() / place.maps().len();
                for (map, to) in place.maps().iter().zip(bias.chunks_mut(rows)) {
                    to.copy_from_slice(&source.vector(&format!("layers.{i}.{map}.bias"), rows)?);
                }
            }
            Ok::<_, WriteError>(Affine { matrix, bias })
        });
        Ok::<_, WriteError>([a?, b?, c?, d?])
    };
    let tied = config.tie_embeddings;
    Ok(Weights {
        embedding: round(MatrixName::Embedding)?,
        head: (!tied).then(|| round(MatrixName::Head)).transpose()?,
        layers: (0..config.layers).map(layer).collect::<Result<_, _>>()?,
    })
}

/// A matrix as trained; maps of one place one below the other.
///
/// # Errors
/// [`WriteError::Tensor`].
pub fn trained(checkpoint: &Checkpoint, name: MatrixName) -> Result<Array2<f32>, WriteError> {
    let source = Source { checkpoint };
    let config = &checkpoint.config;
    let (rows, columns) = shape(config, name);
    match name {
        MatrixName::Embedding => {
            let name = match config.frame_dim() {
                None => "embed.weight",
                Some(_) => "frames.weight",
            };
            source.matrix(name, rows, columns)
        }
        MatrixName::Head => source.matrix("head.weight", rows, columns),
        MatrixName::Layer(i, place) => {
            let rows = rows / place.maps().len();
            let names = place
                .maps()
                .iter()
                .map(|map| format!("layers.{i}.{map}.weight"));
            let maps = names.map(|name| source.matrix(&name, rows, columns));
            let maps = maps.collect::<Result<Vec<_>, _>>()?;
            let views: Vec<_> = maps.iter().map(|w| w.view()).collect();
            Ok(concatenate(Axis(0), &views).expect("all have the same columns"))
        }
    }
}

/// Rows and columns of a matrix.
fn shape(config: &Config, name: MatrixName) -> (usize, usize) {
    let (dim, channels, glu) = (config.dim, config.channels(), config.glu_dim);
    match name {
        MatrixName::Embedding => match config.frame_dim() {
            None => (config.vocab_size, dim),
            Some(frame) => (dim, frame),
        },
        MatrixName::Head => (config.outputs(), dim),
        MatrixName::Layer(_, Place::GtuIn) => (2 * channels, dim),
        MatrixName::Layer(_, Place::GtuOut) => (dim, channels),
        MatrixName::Layer(_, Place::GluIn) => (2 * glu, dim),
        MatrixName::Layer(_, Place::GluOut) => (dim, glu),
    }
}

/// Checks that `weights` have the sizes of `config`, and are not wider than their types allow.
pub(super) fn check(config: &Config, weights: &Weights) -> Result<(), WriteError> {
    let tied = weights.head.is_none();
    if weights.layers.len() != config.layers || tied != config.tie_embeddings {
        return Err(WriteError::OtherWeights);
    }
    for (name, matrix) in weights.matrices() {
        let (rows, columns) = shape(config, name);
        if matrix.dim() != (rows, columns) {
            return Err(WriteError::OtherWeights);
        }
        if matrix.weight_type() == WeightType::Int4 && columns > format::MAX_COLUMNS_I4 {
            return Err(WriteError::TooWide { columns });
        }
    }
    let maps = weights.layers.iter().flatten();
    match maps.into_iter().all(|m| m.bias.len() == m.matrix.dim().0) {
        true => Ok(()),
        false => Err(WriteError::OtherWeights),
    }
}

/// Weights and scales of a matrix.
pub(super) fn matrix_sections(matrix: &Matrix, order: WeightOrder) -> [Section; 2] {
    let (_, columns) = matrix.dim();
    let (element, bytes, scales) = match matrix {
        Matrix::F32(weights) => {
            return [Section::f32(weights.iter().copied()), Section::empty()];
        }
        Matrix::Int8(q) => (
            ElementType::I8,
            pack_int8(order.int8(), q, columns),
            &q.scales,
        ),
        Matrix::Int4(q) => (
            ElementType::I4,
            pack_int4(order.int4(), q, columns),
            &q.scales,
        ),
    };
    [
        Section { element, bytes },
        Section::f32(scales.iter().copied()),
    ]
}

/// Weights, scales and biases of a linear map.
pub(super) fn affine_sections(map: &Affine, order: WeightOrder) -> [Section; 3] {
    let [weights, scales] = matrix_sections(&map.matrix, order);
    let bias = Section::f32(map.bias.iter().map(|bias| flushed(*bias)));
    [weights, scales, bias]
}
