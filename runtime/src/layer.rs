//! One layer's weights, as slices of the blob.

use crate::format::{BACKWARD, GLOBALS, LANES, PER_LAYER, PerLayer};
use crate::kernel::modes::{Lanes, Modes};
use crate::matrix::Matrix;
use crate::model::Model;
use core::ops::Range;

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
    /// What a recurrence's section of counts says; zeros if there is none.
    pub(crate) fn read(model: &Model<'_>, at: &RecurrenceSections) -> Self {
        let numbers = model.section::<u32>(at.counts);
        let [taps, real, complex, decay] = numbers.first_chunk().copied().unwrap_or_default();
        Self {
            taps: taps as usize,
            real: real as usize,
            complex: complex as usize,
            has_channel_decay: decay != 0,
        }
    }

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

/// Where a recurrence's numbers are: indices in the section table.
pub(crate) struct RecurrenceSections {
    pub counts: usize,
    pub taps: usize,
    pub poles: usize,
    pub residues: usize,
    pub decay: usize,
}

impl RecurrenceSections {
    /// Those of layer `layer`'s forward recurrence.
    pub fn forward(layer: usize) -> Self {
        let index = |kind: PerLayer| GLOBALS + PER_LAYER * layer + kind as usize;
        Self {
            counts: index(PerLayer::Recurrence),
            taps: index(PerLayer::Taps),
            poles: index(PerLayer::Poles),
            residues: index(PerLayer::Residues),
            decay: index(PerLayer::ChannelDecay),
        }
    }

    /// Those of layer `layer`'s backward recurrence, of a model with `layers`: one after the other.
    pub fn backward(layer: usize, layers: usize) -> Self {
        let first = GLOBALS + PER_LAYER * layers + BACKWARD * layer;
        Self {
            counts: first,
            taps: first + 1,
            poles: first + 2,
            residues: first + 3,
            decay: first + 4,
        }
    }
}

impl<'a> Recurrence<'a> {
    pub(crate) fn read(model: &Model<'a>, at: &RecurrenceSections) -> Self {
        let counts = Counts::read(model, at);
        let lanes = |index| model.section::<f32>(index).as_chunks().0;
        Self {
            counts,
            taps: lanes(at.taps),
            modes: Modes {
                poles: model.section(at.poles),
                real: counts.real,
                residues: lanes(at.residues),
                decay: lanes(at.decay),
            },
        }
    }

    /// That of the channels of some blocks of four alone.
    pub(crate) fn blocks(&self, blocks: Range<usize>) -> Self {
        let rows = |all: &'a [Lanes], rows| {
            let range = blocks.start * rows..blocks.end * rows;
            all.get(range).unwrap_or_default()
        };
        Self {
            counts: self.counts,
            taps: rows(self.taps, self.counts.taps),
            modes: Modes {
                residues: rows(self.modes.residues, self.modes.order()),
                decay: rows(self.modes.decay, usize::from(self.counts.has_channel_decay)),
                ..self.modes
            },
        }
    }

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
            let section = GLOBALS + PER_LAYER * index + kind as usize;
            model.matrix(section, Some(section + 2), columns)
        };
        Self {
            gtu_in: matrix(PerLayer::GtuIn, shape.dim),
            recurrence: Recurrence::read(model, &RecurrenceSections::forward(index)),
            gtu_out: matrix(PerLayer::GtuOut, shape.channels),
            glu_in: matrix(PerLayer::GluIn, shape.dim),
            glu_out: matrix(PerLayer::GluOut, shape.glu_dim),
            token_norm: model.layer_section(index, PerLayer::TokenNorm),
            feature_norm: model.layer_section(index, PerLayer::FeatureNorm),
            gtu_norm: model.layer_section(index, PerLayer::GtuNorm),
        }
    }
}
