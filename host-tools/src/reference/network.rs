//! The whole network, tokens to logits.

use super::layer::Layer;
use super::mix::{FftMix, Mix, Trained};
use super::{NormLayer, Params, Real, ReferenceError};
use crate::checkpoint::{Checkpoint, Config};
use ndarray::Array2;

/// Embedding, layers, final norm, head.
#[derive(Clone, Debug)]
pub struct Network<T> {
    /// `[vocab, dim]`, already multiplied by `embed_scale`.
    embed: Array2<T>,
    layers: Vec<Layer<T>>,
    final_norm: NormLayer<T>,
    /// `[vocab, dim]`.
    head: Array2<T>,
}

impl<T: Real> Network<T> {
    /// Reads a checkpoint's parameters.
    ///
    /// # Errors
    /// A tensor is missing or has another shape; there are no layers, tokens, heads or channels.
    pub fn from_checkpoint(checkpoint: &Checkpoint) -> Result<Self, ReferenceError> {
        let Checkpoint { config, tensors } = checkpoint;
        expect_dimensions(config)?;
        let params = Params::new(tensors, "");
        let embed: Array2<T> = params.matrix("embed.weight", config.vocab_size, config.dim)?;
        let head = if config.tie_embeddings {
            embed.clone()
        } else {
            params.matrix("head.weight", config.vocab_size, config.dim)?
        };
        let layers = (0..config.layers)
            .map(|i| Layer::from_params(config, &params.sub(&format!("layers.{i}"))));
        let final_norm = params.sub("final_norm");
        let scale = T::of(config.embed_scale);
        Ok(Self {
            embed: embed.mapv_into(|x| x * scale),
            layers: layers.collect::<Result<_, _>>()?,
            final_norm: NormLayer::from_params(config.final_norm, &final_norm, config.dim)?,
            head,
        })
    }

    /// The layers, in order.
    pub fn layers(&self) -> &[Layer<T>] {
        &self.layers
    }

    /// Tokens that the network knows.
    pub fn vocab(&self) -> usize {
        self.embed.nrows()
    }

    /// Channels of every layer's Toeplitz operator.
    pub fn channels(&self) -> usize {
        self.layers[0].toeplitz().channels()
    }

    /// The trained kernels of all layers.
    pub fn kernels(&self) -> Trained<'_, T> {
        let operators = self.layers.iter().map(Layer::toeplitz).collect();
        Trained::new(operators).expect("one configuration made all layers, at least one")
    }

    /// The network's own token mixing: trained kernels, by FFT.
    pub fn trained_mix(&self) -> FftMix<T, Trained<'_, T>> {
        FftMix::new(self.kernels())
    }

    /// The logits `[n, vocab]` after each of `n` tokens, with `mix` for the token mixing.
    ///
    /// # Errors
    /// There are no tokens, one is not in the vocabulary, or `mix` does not fit the network.
    pub fn forward(&self, tokens: &[u32], mix: &dyn Mix<T>) -> Result<Array2<T>, ReferenceError> {
        self.expect_fitting(mix)?;
        let mut x = self.embed(tokens)?;
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(x, |v| mix.mix(i, v));
        }
        self.final_norm.apply(&mut x);
        Ok(x.dot(&self.head.t()))
    }

    /// [`forward`](Self::forward) as a window scorer of [`evaluate`](super::evaluate::evaluate).
    pub fn scorer(
        &self,
        mix: &dyn Mix<T>,
    ) -> impl Fn(&[u32]) -> Result<Array2<f32>, ReferenceError> + Sync {
        |tokens| {
            let logits = self.forward(tokens, mix)?;
            Ok(logits.mapv(|logit| logit.wide() as f32))
        }
    }

    fn embed(&self, tokens: &[u32]) -> Result<Array2<T>, ReferenceError> {
        if tokens.is_empty() {
            return Err(ReferenceError::EmptySequence);
        }
        let vocab = self.vocab();
        let mut x = Array2::zeros((tokens.len(), self.embed.ncols()));
        for (position, (mut row, &token)) in x.rows_mut().into_iter().zip(tokens).enumerate() {
            let index = usize::try_from(token).ok().filter(|&index| index < vocab);
            let index = index.ok_or(ReferenceError::Token {
                token,
                position,
                vocab,
            })?;
            row.assign(&self.embed.row(index));
        }
        Ok(x)
    }

    fn expect_fitting(&self, mix: &dyn Mix<T>) -> Result<(), ReferenceError> {
        let (layers, channels) = (self.layers.len(), self.channels());
        let (found_layers, found_channels) = (mix.layers(), mix.channels());
        if (layers, channels) == (found_layers, found_channels) {
            return Ok(());
        }
        Err(ReferenceError::Mixer {
            layers,
            channels,
            found_layers,
            found_channels,
        })
    }
}

fn expect_dimensions(config: &Config) -> Result<(), ReferenceError> {
    let dimensions = [
        ("layers", config.layers),
        ("vocab_size", config.vocab_size),
        ("dim", config.dim),
    ];
    match dimensions.into_iter().find(|&(_, size)| size == 0) {
        Some((what, _)) => Err(ReferenceError::Zero { what }),
        None => Ok(()),
    }
}
