//! What takes the space of a model.

use crate::blob::{AnyModel, Blob};
use crate::stream;
use toeplite::ModelError;
use toeplite::format::{
    Classifier, ENTRY_BYTES, ElementType, Global, HEADER_BYTES, NO_LAYER, PerLayer, offset,
};

/// What a part of the flash holds, in the order of plots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FlashUse {
    /// The embedding's matrix.
    Embedding,
    /// The head's matrix, where it is not the embedding's.
    Head,
    /// A layer's matrices of a type.
    Matrices(&'static str),
    /// Scales of integer matrices.
    Scales,
    /// Biases.
    Biases,
    /// Taps, poles and residues.
    Recurrence,
    /// Header, section table, padding, norms and the known-answer test.
    Rest,
}

impl FlashUse {
    /// What it is called.
    pub fn name(self) -> String {
        match self {
            Self::Embedding => "embedding".into(),
            Self::Head => "head".into(),
            Self::Matrices(dtype) => format!("matrices, {dtype}"),
            Self::Scales => "scales".into(),
            Self::Biases => "biases".into(),
            Self::Recurrence => "recurrences".into(),
            Self::Rest => "norms, table, self-test".into(),
        }
    }
}

/// What a part of the session memory holds, in the order of plots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemoryUse {
    /// The last inputs, for taps.
    Taps,
    /// States of modes.
    States,
    /// Vectors of one step, and the logits.
    Work,
}

impl MemoryUse {
    /// What it is called.
    pub fn name(self) -> String {
        let name = match self {
            Self::Taps => "inputs for taps",
            Self::States => "states of modes",
            Self::Work => "vectors of a step, logits",
        };
        name.into()
    }
}

/// Bytes of one use; in a layer, or of the model as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<U> {
    /// What for.
    pub of: U,
    /// The layer that they belong to.
    pub layer: Option<usize>,
    /// How many.
    pub bytes: usize,
}

/// A part of the flash.
pub type FlashPart = Part<FlashUse>;
/// A part of the session memory.
pub type MemoryPart = Part<MemoryUse>;

/// Everything that a model takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The blob, all of it.
    pub flash: Vec<FlashPart>,
    /// The session memory, all of it.
    pub memory: Vec<MemoryPart>,
}

impl Sizes {
    /// Of the model in `blob`.
    ///
    /// # Errors
    /// What the runtime finds wrong with the blob.
    pub fn of(blob: &Blob) -> Result<Self, ModelError> {
        let model = blob.any()?;
        Ok(Self {
            flash: flash(blob.bytes()),
            memory: memory(&model),
        })
    }

    /// Bytes of the blob.
    pub fn flash_bytes(&self) -> usize {
        self.flash.iter().map(|part| part.bytes).sum()
    }

    /// Bytes of the session memory.
    pub fn memory_bytes(&self) -> usize {
        self.memory.iter().map(|part| part.bytes).sum()
    }
}

/// The sections of a blob that the runtime has checked, and what is between them.
fn flash(blob: &[u8]) -> Vec<FlashPart> {
    let number =
        |at: usize| u32::from_le_bytes([blob[at], blob[at + 1], blob[at + 2], blob[at + 3]]);
    let half = |at: usize| u16::from_le_bytes([blob[at], blob[at + 1]]);
    let section = |index: usize| {
        let at = HEADER_BYTES + ENTRY_BYTES * index;
        let (kind, layer) = (half(at + 8), half(at + 10));
        let layer = (layer != NO_LAYER).then_some(layer.into());
        FlashPart {
            of: flash_use(kind, layer.is_some(), ElementType::from_byte(blob[at + 12])),
            layer,
            bytes: number(at + 4) as usize,
        }
    };
    let mut parts: Vec<FlashPart> = (0..number(offset::SECTIONS) as usize)
        .map(section)
        .collect();
    let sections: usize = parts.iter().map(|part| part.bytes).sum();
    parts.push(FlashPart {
        of: FlashUse::Rest,
        layer: None,
        bytes: blob.len() - sections,
    });
    parts
}

/// What a section of this kind is for.
fn flash_use(kind: u16, of_layer: bool, element: Option<ElementType>) -> FlashUse {
    let is = |kinds: &[PerLayer]| of_layer && kinds.iter().any(|k| *k as u16 == kind);
    let is_global = |kinds: &[Global]| !of_layer && kinds.iter().any(|k| *k as u16 == kind);
    use PerLayer as Of;
    if is_global(&[Global::Embedding]) {
        FlashUse::Embedding
    } else if is_global(&[Global::Head]) {
        FlashUse::Head
    } else if is(&[Of::GtuIn, Of::GtuOut, Of::GluIn, Of::GluOut]) {
        FlashUse::Matrices(match element {
            Some(ElementType::I4) => "int4",
            Some(ElementType::I8) => "int8",
            _ => "f32",
        })
    } else if is_global(&[Global::EmbeddingScale, Global::HeadScale])
        || is(&[
            Of::GtuInScale,
            Of::GtuOutScale,
            Of::GluInScale,
            Of::GluOutScale,
        ])
    {
        FlashUse::Scales
    } else if is(&[Of::GtuInBias, Of::GtuOutBias, Of::GluInBias, Of::GluOutBias])
        || !of_layer && kind == Classifier::FramesBias as u16
    {
        FlashUse::Biases
    } else if is(&[
        Of::Recurrence,
        Of::Taps,
        Of::Poles,
        Of::Residues,
        Of::ChannelDecay,
    ]) {
        FlashUse::Recurrence
    } else {
        FlashUse::Rest
    }
}

fn memory(model: &AnyModel<'_>) -> Vec<MemoryPart> {
    let recurrences = stream::recurrences(model);
    let layers = recurrences.iter().enumerate().flat_map(|(layer, modal)| {
        let state = model.state_bytes(modal.fir_len(), modal.order());
        let part = |of, bytes| MemoryPart {
            of,
            layer: Some(layer),
            bytes,
        };
        [
            part(MemoryUse::Taps, state.taps),
            part(MemoryUse::States, state.modes),
        ]
    });
    let mut parts: Vec<MemoryPart> = layers.collect();
    let states: usize = parts.iter().map(|part| part.bytes).sum();
    parts.push(MemoryPart {
        of: MemoryUse::Work,
        layer: None,
        bytes: model.memory_needed().saturating_sub(states),
    });
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::{WeightType, write, write_fixed};
    use crate::checkpoint::Checkpoint;
    use crate::convert::Modal;

    /// Nothing is missing, nothing counted twice, and each use has what is known of it.
    #[test]
    fn parts_are_the_whole() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../firmware-examples/checkpoints/shakespeare-32x2"
        );
        let checkpoint = Checkpoint::open(std::path::Path::new(path)).unwrap();
        let config = &checkpoint.config;
        let channels = config.channels();
        let layer = Modal::from_taps(ndarray::Array2::ones((3, channels)));
        let layers = vec![layer; config.layers];
        let int4 = write(&checkpoint, &layers, WeightType::Int4).unwrap();
        let fixed = write_fixed(&checkpoint, &layers, |_| WeightType::Int8).unwrap();
        for (blob, dtype, tap) in [(int4, "int4", 4), (fixed, "int8", 2)] {
            let sizes = Sizes::of(&blob).unwrap();
            let model = blob.any().unwrap();
            assert_eq!(sizes.flash_bytes(), blob.bytes().len());
            assert_eq!(sizes.memory_bytes(), model.memory_needed());
            let flash = |of| -> usize {
                let parts = sizes.flash.iter().filter(|part| part.of == of);
                parts.map(|part| part.bytes).sum()
            };
            let weights =
                config.layers * (3 * channels * config.dim + 3 * config.glu_dim * config.dim);
            let bits = if dtype == "int4" { 4 } else { 8 };
            let matrices = flash(FlashUse::Matrices(dtype));
            assert!(matrices >= weights * bits / 8 && matrices < weights * (bits + 2) / 8);
            assert!(flash(FlashUse::Recurrence) >= config.layers * 3 * channels * tap);
            let taps = sizes.memory.iter().find(|part| part.of == MemoryUse::Taps);
            assert_eq!(taps.unwrap().bytes, 3 * channels * tap);
        }
    }
}
