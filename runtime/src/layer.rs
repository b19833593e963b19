//! One layer's weights, as slices of the blob.

use crate::format::{LANES, PerLayer};
use crate::kernel::modes::{Lanes, Modes};
use crate::matrix::Matrix;
use crate::model::Model;

/// How many taps and modes a layer's recurrence has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Taps M of the FIR head.
    pub taps: usize,
    /// Modes with a real pole.
    pub real: usize,
    /// Modes with a complex pole, which stands for itself and its conjugate.
    pub complex: usize,
    /// Whether poles have a factor a channel.
    pub has_channel_decay: bool,
}

impl Counts {
    /// Real numbers of state of the modes, a channel.
    pub fn order(&self) -> usize {
        self.real + 2 * self.complex
    }

    /// Real numbers of state, a channel: taps and modes.
    pub fn states(&self) -> usize {
        self.taps + self.order()
    }
}

/// A layer's Toeplitz operator as a recurrence: `taps` past inputs and a bank of modes, whose
/// input is the one that leaves the taps. Channels lie in blocks of four.
#[derive(Clone, Copy, Debug)]
pub struct Recurrence<'a> {
    /// Taps and modes.
    pub counts: Counts,
    /// `[blocks][M]`.
    pub taps: &'a [Lanes],
    /// The modes.
    pub modes: Modes<'a>,
}

impl Recurrence<'_> {
    /// Real numbers of state, a channel.
    pub fn states(&self) -> usize {
        self.counts.states()
    }

    /// Tap `lag` of a channel; 0 if there is none.
    pub fn tap(&self, lag: usize, channel: usize) -> f32 {
        at(self.taps, self.counts.taps, lag, channel)
    }

    /// Number `row` of a channel's residues, a row a pole's number; 0 if there is none.
    pub fn residue(&self, row: usize, channel: usize) -> f32 {
        at(self.modes.residues, self.modes.order(), row, channel)
    }

    /// The factor on a channel's poles.
    pub fn decay(&self, channel: usize) -> f32 {
        if self.modes.decay.is_empty() {
            1.0
        } else {
            at(self.modes.decay, 1, 0, channel)
        }
    }
}

/// A channel's number in row `row` of `rows`.
fn at(blocks: &[Lanes], rows: usize, row: usize, channel: usize) -> f32 {
    let block = blocks.get(channel / LANES * rows + row);
    let number = block.and_then(|lanes| lanes.get(channel % LANES));
    number.copied().unwrap_or(0.0)
}

/// One layer.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// `[2 * channels, dim]`: u, then v.
    pub gtu_in: Matrix<'a>,
    /// The Toeplitz operator.
    pub recurrence: Recurrence<'a>,
    /// `[dim, channels]`.
    pub gtu_out: Matrix<'a>,
    /// `[2 * glu_dim, dim]`: the gate, then the value.
    pub glu_in: Matrix<'a>,
    /// `[dim, glu_dim]`.
    pub glu_out: Matrix<'a>,
    /// Parameters of the GTU's norm.
    pub token_norm: &'a [f32],
    /// Parameters of the GLU's norm.
    pub feature_norm: &'a [f32],
    /// Parameters of the norm inside the GTU.
    pub gtu_norm: &'a [f32],
}

impl<'a> Layer<'a> {
    pub(crate) fn new(model: &Model<'a>, index: usize) -> Self {
        let shape = model.shape();
        let matrix = |kind: PerLayer, columns| {
            let section = crate::format::GLOBALS + crate::format::PER_LAYER * index + kind as usize;
            model.matrix(section, Some(section + 2), columns)
        };
        Self {
            gtu_in: matrix(PerLayer::GtuIn, shape.dim),
            recurrence: Self::recurrence(model, index),
            gtu_out: matrix(PerLayer::GtuOut, shape.channels),
            glu_in: matrix(PerLayer::GluIn, shape.dim),
            glu_out: matrix(PerLayer::GluOut, shape.glu_dim),
            token_norm: model.layer_section(index, PerLayer::TokenNorm),
            feature_norm: model.layer_section(index, PerLayer::FeatureNorm),
            gtu_norm: model.layer_section(index, PerLayer::GtuNorm),
        }
    }

    /// What layer `index`'s recurrence section says.
    pub(crate) fn counts(model: &Model<'_>, index: usize) -> Counts {
        match model.layer_section::<u32>(index, PerLayer::Recurrence) {
            [taps, real, complex, decay] => Counts {
                taps: *taps as usize,
                real: *real as usize,
                complex: *complex as usize,
                has_channel_decay: *decay != 0,
            },
            _ => Counts {
                taps: 0,
                real: 0,
                complex: 0,
                has_channel_decay: false,
            },
        }
    }

    fn recurrence(model: &Model<'a>, index: usize) -> Recurrence<'a> {
        let counts = Self::counts(model, index);
        let lanes = |kind| model.layer_section::<f32>(index, kind).as_chunks().0;
        Recurrence {
            counts,
            taps: lanes(PerLayer::Taps),
            modes: Modes {
                poles: model.layer_section(index, PerLayer::Poles),
                real: counts.real,
                residues: lanes(PerLayer::Residues),
                decay: lanes(PerLayer::ChannelDecay),
            },
        }
    }
}
