//! All matrices of a network.

use super::matrix::Matrix;
use crate::checkpoint::Config;
use crate::reference::Place;
use std::fmt;

/// A linear map as a blob stores it.
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    /// `[outputs, inputs]`.
    pub matrix: Matrix,
    /// `[outputs]`.
    pub bias: Vec<f32>,
}

/// The matrices of a network as a blob stores them.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// `[vocabulary, dim]`, without its factor; of a classifier of frames their map, `[dim, frame_dim]`.
    pub embedding: Matrix,
    /// `[vocabulary, dim]`, of a classifier `[classes, dim]`; nothing if it is the embedding's matrix.
    pub head: Option<Matrix>,
    /// Of each layer, in the order of [`Place::ALL`]; maps of one place lie one below the other.
    pub layers: Vec<[Affine; 4]>,
}

/// Which matrix of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatrixName {
    /// The embedding, and the head where they are tied; of a classifier of frames their map.
    Embedding,
    /// The head where it is a matrix of its own.
    Head,
    /// Of a layer.
    Layer(usize, Place),
}

impl MatrixName {
    /// All matrices of a network, in the blob's order.
    pub fn all(config: &Config) -> Vec<Self> {
        let head = (!config.tie_embeddings).then_some(Self::Head);
        let of_layer = |layer| Place::ALL.map(|place| Self::Layer(layer, place));
        let ends = [Self::Embedding].into_iter().chain(head);
        ends.chain((0..config.layers).flat_map(of_layer)).collect()
    }
}

impl fmt::Display for MatrixName {
    /// As in the checkpoint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedding => f.write_str("embed"),
            Self::Head => f.write_str("head"),
            Self::Layer(layer, place) => {
                write!(f, "layers.{layer}.{}", place.maps().join(", "))
            }
        }
    }
}

impl Weights {
    /// All matrices and their names, in the blob's order.
    pub fn matrices(&self) -> impl Iterator<Item = (MatrixName, &Matrix)> {
        let ends = [
            (MatrixName::Embedding, Some(&self.embedding)),
            (MatrixName::Head, self.head.as_ref()),
        ];
        let layers = self.layers.iter().enumerate().flat_map(|(i, layer)| {
            let named = Place::ALL.into_iter().zip(layer);
            named.map(move |(place, map)| (MatrixName::Layer(i, place), &map.matrix))
        });
        let ends = ends.into_iter().filter_map(|(name, m)| Some((name, m?)));
        ends.chain(layers)
    }
}
