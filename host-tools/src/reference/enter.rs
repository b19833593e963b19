//! The start of the residual stream: an embedding of tokens, or a linear map of frames.

use super::{Linear, Params, Real, ReferenceError};
use crate::checkpoint::Config;
use ndarray::{Array2, ArrayView2};

/// What a network reads.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A token a position.
    Tokens(&'a [u32]),
    /// Some numbers a position, `[n, frame_dim]`.
    Frames(ArrayView2<'a, f32>),
}

impl Input<'_> {
    /// Positions.
    pub fn len(&self) -> usize {
        match self {
            Self::Tokens(tokens) => tokens.len(),
            Self::Frames(frames) => frames.nrows(),
        }
    }

    /// Whether there is no position.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How a position becomes a row of the residual stream.
#[derive(Clone, Debug)]
pub(super) enum Enter<T> {
    Embedding {
        /// `[vocab, dim]`, already multiplied by the factor.
        rows: Array2<T>,
        scale: T,
    },
    Frames(Linear<T>),
}

impl<T: Real> Enter<T> {
    /// Reads the embedding or the map of frames, whichever `config` asks for.
    pub fn from_params(config: &Config, params: &Params) -> Result<Self, ReferenceError> {
        if let Some(frame) = config.frame_dim() {
            let map = Linear::from_params(&params.sub("frames"), frame, config.dim, config.bias);
            return map.map(Self::Frames);
        }
        let scale = T::of(config.embed_scale);
        let rows: Array2<T> = params.matrix("embed.weight", config.vocab_size, config.dim)?;
        Ok(Self::Embedding {
            rows: rows.mapv_into(|x| x * scale),
            scale,
        })
    }

    /// The factor on the embedding; frames have none.
    pub fn scale(&self) -> T {
        match self {
            Self::Embedding { scale, .. } => *scale,
            Self::Frames(_) => T::of(1.0),
        }
    }

    /// The map of frames.
    pub fn frames(&self) -> Option<&Linear<T>> {
        match self {
            Self::Embedding { .. } => None,
            Self::Frames(map) => Some(map),
        }
    }

    /// Tokens that have a row.
    pub fn vocab(&self) -> usize {
        match self {
            Self::Embedding { rows, .. } => rows.nrows(),
            Self::Frames(_) => 0,
        }
    }

    /// `[n, dim]`.
    pub fn apply(&self, input: Input<'_>) -> Result<Array2<T>, ReferenceError> {
        if input.is_empty() {
            return Err(ReferenceError::EmptySequence);
        }
        match (self, input) {
            (Self::Embedding { rows, .. }, Input::Tokens(tokens)) => embedded(rows, tokens),
            (Self::Frames(map), Input::Frames(frames)) if frames.ncols() == map.inputs() => {
                Ok(map.forward(&frames.mapv(|x| T::of(x.into()))))
            }
            (Self::Frames(map), Input::Frames(frames)) => Err(ReferenceError::Frames {
                expected: map.inputs(),
                found: frames.ncols(),
            }),
            (Self::Frames(map), Input::Tokens(_)) => Err(ReferenceError::ReadsFrames {
                width: map.inputs(),
            }),
            (Self::Embedding { .. }, Input::Frames(_)) => Err(ReferenceError::ReadsTokens),
        }
    }
}

/// The rows of `tokens`.
fn embedded<T: Real>(rows: &Array2<T>, tokens: &[u32]) -> Result<Array2<T>, ReferenceError> {
    let vocab = rows.nrows();
    let mut x = Array2::zeros((tokens.len(), rows.ncols()));
    for (position, (mut row, &token)) in x.rows_mut().into_iter().zip(tokens).enumerate() {
        let index = usize::try_from(token).ok().filter(|&index| index < vocab);
        let index = index.ok_or(ReferenceError::Token {
            token,
            position,
            vocab,
        })?;
        row.assign(&rows.row(index));
    }
    Ok(x)
}
