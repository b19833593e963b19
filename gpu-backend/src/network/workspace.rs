//! Activations of one batch shape, allocated once: a recorded step finds them where they were.

use super::image::ImageGradients;
use super::layer::Layer;
use super::layout::Layout;
use super::mixing::Mixing;
use super::step::own_positions;
use super::support::{Options, hides_padding};
use crate::data::{Batch, Inputs};
use crate::device::{Device, IGNORE, Result, RpeShape};
use toeplite_checkpoint::Config;
use toeplite_checkpoint::config::Pooling;

/// What a layer's forward pass keeps for its backward pass.
pub(super) struct Kept<D: Device> {
    /// Input of the token mixer and its norm `[T, d]`.
    pub x: D::Act,
    pub x_norm: D::Act,
    /// Gate and values before activation `[2E, T]`, the gated product `[E, T]`.
    pub uv: D::Act,
    pub g: D::Act,
    /// Input of the feature mixer and its norm `[T, d]`.
    pub z: D::Act,
    pub z_norm: D::Act,
    /// Both halves before the gate `[2G, T]`, the gate's output `[G, T]`.
    pub h: D::Act,
    pub a: D::Act,
    /// One, or two of images.
    pub operators: Vec<Operator<D>>,
}

/// What is kept of a Toeplitz operator.
pub(super) struct Operator<D: Device> {
    /// The product `[E, T]`.
    pub y: D::Act,
    /// The kernel `[E, lags]` and the RPE's hidden values.
    pub kernel: D::F32,
    pub hidden: D::F32,
}

/// What a network sees.
pub(super) enum Input<D: Device> {
    Tokens(D::Ids),
    /// `[T, frame_dim]`.
    Frames(D::Act),
}

/// Gradients of activations, used by one layer after the other.
pub(super) struct Gradients<D: Device> {
    pub x: D::Act,
    pub norm: D::Act,
    pub uv: D::Act,
    pub g: D::Act,
    pub h: D::Act,
    pub a: D::Act,
    /// Of the operators' kernels.
    pub kernels: Vec<D::F32>,
    /// What images need besides.
    pub image: Option<ImageGradients<D>>,
    /// Of the sequences' means, where they are pooled so.
    pub pooled: Option<D::Act>,
    /// Stays zero: what `x` is reset from.
    pub zero: D::Act,
}

/// Everything that a step of one batch shape works on.
pub(super) struct Workspace<D: Device> {
    pub batch: usize,
    pub length: usize,
    pub layers: Vec<Layer>,
    pub kept: Vec<Kept<D>>,
    pub mix: Mixing<D>,
    pub input: Input<D>,
    /// Of every position; one a sequence where sequences are pooled by their mean.
    pub targets: D::Ids,
    /// Positions of each sequence before its padding.
    pub own: Vec<usize>,
    /// The same on the device, of classifiers.
    pub counts: Option<D::F32>,
    /// Whether padding must be hidden from the Toeplitz products: a causal one cannot see it from before.
    pub hides: bool,
    /// Means of the sequences `[batch, d]`, of a classifier that pools so.
    pub pooled: Option<D::Act>,
    /// Dropout's, two numbers of 24 bits.
    pub seed: D::F32,
    /// Output of the last layer and its norm `[T, d]`.
    pub last: D::Act,
    pub last_norm: D::Act,
    /// Absent until the first training step: evaluation needs none.
    pub gradients: Option<Gradients<D>>,
}

impl<D: Device> Workspace<D> {
    pub fn new(
        device: &D,
        config: &Config,
        options: &Options,
        layout: &Layout,
        gamma: f32,
        (batch, length): (usize, usize),
    ) -> Result<Self> {
        let layers: Vec<_> = (0..config.layers)
            .map(|index| Layer::new(config, options, layout, index, length))
            .collect();
        let tokens = batch * length;
        let (d, e, g) = (config.dim, config.channels(), config.glu_dim);
        let act = |width: usize| device.new_act(width * tokens);
        let pooling = config.classifier.as_ref().map(|c| c.pooling);
        let mean = pooling == Some(Pooling::Mean);
        let operator = |rpe: &RpeShape| {
            Ok(Operator {
                y: act(e)?,
                kernel: device.new_f32(e * rpe.lags())?,
                hidden: device.new_f32(rpe.hidden_len())?,
            })
        };
        let kept = layers.iter().map(|layer| {
            Ok(Kept {
                x: act(d)?,
                x_norm: act(d)?,
                uv: act(2 * e)?,
                g: act(e)?,
                z: act(d)?,
                z_norm: act(d)?,
                h: act(2 * g)?,
                a: act(g)?,
                operators: layer.rpes.iter().map(operator).collect::<Result<_>>()?,
            })
        });
        let kept = kept.collect::<Result<_>>()?;
        Ok(Self {
            batch,
            length,
            layers,
            kept,
            mix: Mixing::new(device, config, options, gamma, (batch, length))?,
            input: match config.frame_dim() {
                Some(frame) => Input::Frames(act(frame)?),
                None => Input::Tokens(device.new_ids(tokens, config.vocab_size)?),
            },
            targets: device.new_targets(if mean { batch } else { tokens }, config.outputs())?,
            own: vec![length; batch],
            counts: pooling.map(|_| device.new_f32(batch)).transpose()?,
            hides: hides_padding(config),
            pooled: mean.then(|| device.new_act(d * batch)).transpose()?,
            seed: device.new_f32(2)?,
            last: act(d)?,
            last_norm: act(d)?,
            gradients: None,
        })
    }

    /// Puts a batch that fits in place. A classifier that pools by the last position has targets
    /// there alone: the last one before the padding.
    pub fn write(&mut self, device: &D, batch: &Batch) -> Result<()> {
        match (&mut self.input, &batch.inputs) {
            (Input::Tokens(ids), Inputs::Tokens(tokens)) => {
                device.write_ids(ids, tokens)?;
                let sequences = tokens.chunks_exact(self.length);
                self.own = sequences.map(own_positions).collect();
            }
            (Input::Frames(to), Inputs::Frames { values, .. }) => {
                device.write_act(to, 0, values)?
            }
            _ => unreachable!("the shape's check refuses inputs of the other kind"),
        }
        if let Some(counts) = &mut self.counts {
            let own: Vec<f32> = self.own.iter().map(|own| *own as f32).collect();
            device.write_f32(counts, 0, &own)?;
        }
        if self.pooled.is_some() || batch.targets.len() == self.positions() {
            return device.write_ids(&mut self.targets, &batch.targets);
        }
        let mut targets = vec![IGNORE; self.positions()];
        for (last, class) in self.last_positions().zip(&batch.targets) {
            targets[last] = *class;
        }
        device.write_ids(&mut self.targets, &targets)
    }

    /// The last position before the padding of each sequence; of a sequence that is nothing else, its
    /// first.
    fn last_positions(&self) -> impl Iterator<Item = usize> {
        let firsts = (0..self.positions()).step_by(self.length);
        let own = self.own.iter();
        firsts
            .zip(own)
            .map(|(first, own)| first + own.saturating_sub(1))
    }

    /// Of `rows` of equal width, one a position, those of each sequence's last position.
    pub fn last_rows(&self, rows: &[f32]) -> Vec<f32> {
        let width = rows.len() / self.positions();
        let row = |last: usize| &rows[last * width..][..width];
        self.last_positions().flat_map(row).copied().collect()
    }

    /// Positions of all sequences.
    pub fn positions(&self) -> usize {
        self.batch * self.length
    }

    /// Makes room for the backward pass, if there is none yet.
    pub fn prepare_gradients(&mut self, device: &D, config: &Config) -> Result<()> {
        if self.gradients.is_some() {
            return Ok(());
        }
        let tokens = self.positions();
        let (d, e, g) = (config.dim, config.channels(), config.glu_dim);
        let rpes = self.layers.first().map_or(&[][..], |layer| &layer.rpes);
        let kernels = rpes.iter().map(|rpe| device.new_f32(e * rpe.lags()));
        let act = |width: usize| device.new_act(width * tokens);
        self.gradients = Some(Gradients {
            x: act(d)?,
            norm: act(d)?,
            uv: act(2 * e)?,
            g: act(e)?,
            h: act(2 * g)?,
            a: act(g)?,
            kernels: kernels.collect::<Result<_>>()?,
            image: match config.toeplitz.image {
                Some(_) => Some(ImageGradients::new(device, e, self.length, tokens)?),
                None => None,
            },
            pooled: match self.pooled {
                Some(_) => Some(device.new_act(d * self.batch)?),
                None => None,
            },
            zero: act(d)?,
        });
        Ok(())
    }
}
