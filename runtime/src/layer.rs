//! One layer's weights, as slices of the blob.

use crate::format::PerLayer;
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
/// input is the one that leaves the taps. All rows are `channels` long.
#[derive(Clone, Copy, Debug)]
pub struct Recurrence<'a> {
    /// Taps and modes.
    pub counts: Counts,
    /// `[M, channels]`.
    pub taps: &'a [f32],
    /// `[real]`.
    pub real_poles: &'a [f32],
    /// `[complex, 2]`, real and imaginary parts.
    pub complex_poles: &'a [f32],
    /// A row a real mode, then two rows (real parts, imaginary parts) a complex mode. Those of
    /// complex modes are already doubled: the output is the real part of residue times state.
    pub residues: &'a [f32],
    /// `[channels]`, or empty for poles shared by all channels.
    pub channel_decay: &'a [f32],
}

impl Recurrence<'_> {
    /// Real numbers of state, a channel.
    pub fn states(&self) -> usize {
        self.counts.states()
    }
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
        let poles: &[f32] = model.layer_section(index, PerLayer::Poles);
        let (real_poles, complex_poles) = poles.split_at_checked(counts.real).unwrap_or((&[], &[]));
        Recurrence {
            counts,
            taps: model.layer_section(index, PerLayer::Taps),
            real_poles,
            complex_poles,
            residues: model.layer_section(index, PerLayer::Residues),
            channel_decay: model.layer_section(index, PerLayer::ChannelDecay),
        }
    }
}
