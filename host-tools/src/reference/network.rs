//! The whole network: tokens to logits, or of a classifier tokens or frames to the logits of classes.

use super::enter::{Enter, Input};
use super::layer::Layer;
use super::mix::{FftMix, Mix, Trained};
use super::{Linear, NormLayer, Params, Real, ReferenceError};
use crate::checkpoint::config::{ClassifierConfig, Pooling};
use crate::checkpoint::{Checkpoint, Config};
use ndarray::{Array1, Array2, ArrayView2, Axis};

/// Embedding or map of frames, layers, final norm, head; of a classifier pooling before the head.
#[derive(Clone, Debug)]
pub struct Network<T> {
    enter: Enter<T>,
    layers: Vec<Layer<T>>,
    final_norm: NormLayer<T>,
    /// Of classifiers.
    pooling: Option<Pooling>,
    head: Linear<T>,
    tied: bool,
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
        let head = params.sub(if config.tie_embeddings {
            "embed"
        } else {
            "head"
        });
        let layers = (0..config.layers)
            .map(|i| Layer::from_params(config, &params.sub(&format!("layers.{i}"))));
        let final_norm = params.sub("final_norm");
        let classifier = config.classifier.as_ref();
        Ok(Self {
            enter: Enter::from_params(config, &params)?,
            layers: layers.collect::<Result<_, _>>()?,
            final_norm: NormLayer::from_params(config.final_norm, &final_norm, config.dim)?,
            pooling: classifier.map(|classifier: &ClassifierConfig| classifier.pooling),
            head: Linear::from_params(&head, config.dim, config.outputs(), false)?,
            tied: config.tie_embeddings,
        })
    }

    /// The layers, in order.
    pub fn layers(&self) -> &[Layer<T>] {
        &self.layers
    }

    /// The factor on the embedding.
    pub fn embed_scale(&self) -> T {
        self.enter.scale()
    }

    /// Whether the head is the embedding's matrix.
    pub fn is_tied(&self) -> bool {
        self.tied
    }

    /// The norm before the head.
    pub fn final_norm(&self) -> &NormLayer<T> {
        &self.final_norm
    }

    /// The head.
    pub fn head(&self) -> &Linear<T> {
        &self.head
    }

    /// Tokens that the network knows; none of a classifier of frames.
    pub fn vocab(&self) -> usize {
        self.enter.vocab()
    }

    /// Rows of the head: tokens, or classes.
    pub fn outputs(&self) -> usize {
        self.head.weights().nrows()
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

    /// The logits `[n, vocab]` of a language model after each of `n` tokens, with `mix` for the token mixing.
    ///
    /// # Errors
    /// There are no tokens, one is not in the vocabulary, `mix` does not fit the network, or it is a classifier.
    pub fn forward(&self, tokens: &[u32], mix: &dyn Mix<T>) -> Result<Array2<T>, ReferenceError> {
        if self.pooling.is_some() {
            return Err(ReferenceError::Classifier);
        }
        let x = self.before_head(Input::Tokens(tokens), mix)?;
        Ok(self.head.forward(&x))
    }

    /// The logits `[classes]` that a classifier gives a whole sequence, with `mix` for the token mixing: those of
    /// the mean over its positions, or of the last one.
    ///
    /// # Errors
    /// The sequence is empty or not what the network reads, `mix` does not fit the network, or it is no
    /// classifier.
    pub fn classify(
        &self,
        input: Input<'_>,
        mix: &dyn Mix<T>,
    ) -> Result<Array1<T>, ReferenceError> {
        let pooling = self.pooling.ok_or(ReferenceError::NoClassifier)?;
        let x = self.before_head(input, mix)?;
        let pooled = pooled(x.view(), pooling).insert_axis(Axis(0));
        Ok(self.head.forward(&pooled).remove_axis(Axis(0)))
    }

    /// How a classifier makes one vector of a sequence, after the final norm.
    pub fn pooling(&self) -> Option<Pooling> {
        self.pooling
    }

    /// The map of frames.
    pub fn frames(&self) -> Option<&Linear<T>> {
        self.enter.frames()
    }

    /// What the final norm makes of a sequence, `[n, dim]`.
    fn before_head(&self, input: Input<'_>, mix: &dyn Mix<T>) -> Result<Array2<T>, ReferenceError> {
        self.expect_fitting(mix)?;
        let mut x = self.enter.apply(input)?;
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(x, |v| mix.mix(i, v));
        }
        self.final_norm.apply(&mut x);
        Ok(x)
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

    /// The embedding `[n, dim]` of `n` tokens, times its factor.
    ///
    /// # Errors
    /// There are no tokens, one is not in the vocabulary, or the network reads frames.
    pub fn embed(&self, tokens: &[u32]) -> Result<Array2<T>, ReferenceError> {
        self.enter(Input::Tokens(tokens))
    }

    /// The residual stream's start `[n, dim]`: [`embed`](Self::embed), or what the map makes of frames.
    ///
    /// # Errors
    /// There is nothing to read, or it is not what the network reads.
    pub fn enter(&self, input: Input<'_>) -> Result<Array2<T>, ReferenceError> {
        self.enter.apply(input)
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

/// One vector `[dim]` of a sequence `[n, dim]` after the final norm, at least one position.
pub fn pooled<T: Real>(x: ArrayView2<'_, T>, pooling: Pooling) -> Array1<T> {
    let count = x.nrows();
    match pooling {
        // in f64, so that the length costs no accuracy
        Pooling::Mean => x.map_axis(Axis(0), |column| {
            T::of(column.iter().map(|x| x.wide()).sum::<f64>() / count as f64)
        }),
        Pooling::Last => x.row(count - 1).to_owned(),
    }
}

fn expect_dimensions(config: &Config) -> Result<(), ReferenceError> {
    if config.toeplitz.image.is_some() {
        return Err(ReferenceError::Image);
    }
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

#[cfg(test)]
mod tests {
    use super::super::mix::{DenseMix, Given};
    use super::super::recurrence::ModalMix;
    use super::super::testing;
    use super::*;
    use crate::checkpoint::config::NormPosition;
    use crate::convert::modal::Modal;
    use crate::reference::evaluate::argmax;

    fn network<T: Real>(name: &str) -> Network<T> {
        Network::from_checkpoint(&testing::checkpoint(name)).unwrap()
    }

    /// Tokens and logits computed by the official layers in f32.
    fn golden(name: &str) -> (Vec<u32>, Array2<f32>) {
        let path = testing::checkpoint_folder(name).join("golden.safetensors");
        let mut tensors = testing::tensors(&path);
        let tokens = tensors["tokens"].iter().map(|&t| t as u32).collect();
        let logits = tensors.remove("logits").unwrap();
        (tokens, logits.into_dimensionality().unwrap())
    }

    fn largest_difference<T: Real>(a: &Array2<T>, b: &Array2<f32>) -> f64 {
        assert_eq!(a.dim(), b.dim());
        let differences = a.iter().zip(b).map(|(a, b)| (a.wide() - b.wide()).abs());
        differences.fold(0.0, f64::max)
    }

    fn assert_golden<T: Real>(name: &str, tolerance: f64) {
        let (tokens, want) = golden(name);
        let network = network::<T>(name);
        let logits = network.forward(&tokens, &network.trained_mix()).unwrap();
        let difference = largest_difference(&logits, &want);
        assert!(difference < tolerance, "{name}: {difference}");
        for (got, want) in logits.rows().into_iter().zip(want.rows()) {
            assert_eq!(argmax(got.mapv(|x| x.wide() as f32).view()), argmax(want));
        }
    }

    #[test]
    fn logits_are_the_official_ones() {
        assert_golden::<f32>("shakespeare-64x9", 2e-4);
        assert_golden::<f64>("shakespeare-64x9", 5e-5);
        assert_golden::<f32>("shakespeare-32x2", 2e-4);
    }

    #[test]
    fn every_way_of_mixing_the_trained_kernel_gives_the_same_logits() {
        let (tokens, _) = golden("shakespeare-32x2");
        let tokens = &tokens[..150];
        let network = network::<f64>("shakespeare-32x2");
        let fft = network.forward(tokens, &network.trained_mix()).unwrap();
        let fft = fft.mapv(|x| x as f32);
        let kernels: Vec<_> = network
            .layers()
            .iter()
            .map(|layer| layer.toeplitz().kernel(0..150, 150))
            .collect();
        let taps = |kernel: &Array2<f64>| Modal {
            taps: kernel.clone(),
            poles: vec![],
            residues: Array2::zeros((0, kernel.ncols())),
            channel_decay: None,
        };
        let modal: Vec<_> = kernels.iter().map(taps).collect();
        let ways: [&dyn Mix<f64>; 3] = [
            &DenseMix::new(network.kernels()),
            &FftMix::new(Given::new(&kernels).unwrap()),
            &ModalMix::new(&modal).unwrap(),
        ];
        for way in ways {
            let logits = network.forward(tokens, way).unwrap();
            assert!(largest_difference(&logits, &fft) < 1e-5);
        }
    }

    #[test]
    fn a_causal_network_does_not_look_ahead() {
        let (mut tokens, _) = golden("shakespeare-32x2");
        tokens.truncate(64);
        let network = network::<f64>("shakespeare-32x2");
        let mix = network.trained_mix();
        let whole = network.forward(&tokens, &mix).unwrap();
        for n in [1, 2, 63] {
            let part = network.forward(&tokens[..n], &mix).unwrap();
            let whole = whole.slice(ndarray::s![..n, ..]).mapv(|x| x as f32);
            assert!(largest_difference(&part, &whole) < 1e-5, "n = {n}");
        }
    }

    #[test]
    fn tied_head_is_the_embedding_without_its_scale() {
        let mut checkpoint = testing::checkpoint("shakespeare-32x2");
        let embed = checkpoint.tensors["embed.weight"].clone();
        checkpoint.tensors.insert("head.weight".into(), embed);
        checkpoint.config.embed_scale = 3.0;
        let untied = Network::<f64>::from_checkpoint(&checkpoint).unwrap();
        checkpoint.tensors.remove("head.weight");
        checkpoint.config.tie_embeddings = true;
        let tied = Network::<f64>::from_checkpoint(&checkpoint).unwrap();
        let logits = |network: &Network<f64>| {
            let mix = network.trained_mix();
            network.forward(&[84, 104, 101], &mix).unwrap()
        };
        assert_eq!(logits(&tied), logits(&untied));
        checkpoint.config.embed_scale = 1.0;
        let unscaled = Network::<f64>::from_checkpoint(&checkpoint).unwrap();
        assert_ne!(logits(&tied), logits(&unscaled));
    }

    #[test]
    fn post_norms_bound_what_they_stand_behind() {
        let mut checkpoint = testing::checkpoint("shakespeare-32x2");
        checkpoint.config.prenorm = false;
        let dim = checkpoint.config.dim as f64;
        let x = Array2::from_shape_fn((9, 32), |(i, c)| ((i * 7 + c * 3) % 11) as f64 - 5.0);
        let mut forward = |position| {
            checkpoint.config.norm_position = position;
            let network = Network::<f64>::from_checkpoint(&checkpoint).unwrap();
            let mix = network.trained_mix();
            network.layers()[0].forward(x.clone(), |v| mix.mix(0, v))
        };
        let squares = |x: &Array2<f64>| (x * x).sum_axis(ndarray::Axis(1));
        let residual = forward(Some(NormPosition::PostResidual));
        assert!(
            squares(&residual)
                .iter()
                .all(|s| (s / dim - 1.0).abs() < 1e-6)
        );
        let branch = forward(Some(NormPosition::PostBranch));
        // Two branches, each of root mean square 1.
        let added = squares(&(&branch - &x));
        assert!(added.iter().all(|&s| s > 0.0 && s / dim < 4.0 + 1e-6));
        assert_eq!(branch, forward(None));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let mut checkpoint = testing::checkpoint("shakespeare-32x2");
        let network = Network::<f32>::from_checkpoint(&checkpoint).unwrap();
        let mix = network.trained_mix();
        let error = network.forward(&[1, 256], &mix).unwrap_err().to_string();
        assert_eq!(
            error,
            "token 256 at position 1 is outside the vocabulary of 256"
        );
        assert!(network.forward(&[], &mix).is_err());
        let short = Given::new(&[Array2::zeros((4, 96))]).unwrap();
        let error = network.forward(&[1], &FftMix::new(short)).unwrap_err();
        assert!(matches!(
            error,
            ReferenceError::Mixer {
                found_layers: 1,
                ..
            }
        ));
        checkpoint.config.dim = 16;
        let error = Network::<f32>::from_checkpoint(&checkpoint).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("`embed.weight` has shape [256, 32]")
        );
        checkpoint.tensors.remove("embed.weight");
        let error = Network::<f32>::from_checkpoint(&checkpoint).unwrap_err();
        assert!(error.to_string().contains("`embed.weight` is missing"));
    }
}
