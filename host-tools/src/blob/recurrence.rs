//! What a recurrence takes in a blob.

use super::fixed;
use super::target::ContractName;
use super::writer::{self, Section, WriteError};
use crate::convert::modal::Modal;
use toeplite::format::ALIGNMENT;

/// Bytes of the taps, poles and residues of layer `layer`.
///
/// # Errors
/// The contract has no such recurrence.
pub fn recurrence_bytes(
    modal: &Modal,
    layer: usize,
    contract: ContractName,
) -> Result<usize, WriteError> {
    let bytes = |sections: &[Section]| {
        let padded = |section: &Section| section.bytes.len().next_multiple_of(ALIGNMENT);
        sections.iter().map(padded).sum()
    };
    Ok(match contract {
        ContractName::F32 => bytes(&writer::recurrence(&modal.to_f32_safe())),
        ContractName::Fixed => bytes(&fixed::recurrence_sections(modal, layer)?),
    })
}
