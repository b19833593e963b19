//! Log messages by defmt; nothing without the feature.

use crate::contract::Model;
use crate::failure::Failure;
use toeplite::Token;

/// The model was accepted.
pub fn started(model: &Model<'_>) {
    #[cfg(feature = "defmt")]
    defmt::info!(
        "model {=u32:08x}: {=usize} layers, {=usize} bytes of flash, {=usize} bytes of session memory",
        model.identity(),
        model.layers(),
        model.blob_bytes(),
        model.memory_needed()
    );
    #[cfg(not(feature = "defmt"))]
    let _ = model;
}

/// A token was drawn.
pub fn token(token: Token) {
    #[cfg(feature = "defmt")]
    defmt::debug!("token {=u32}", token.0);
    #[cfg(not(feature = "defmt"))]
    let _ = token;
}

/// The program ends early.
pub fn failed(failure: Failure) {
    #[cfg(feature = "defmt")]
    defmt::error!("{=str}", failure.message());
    #[cfg(not(feature = "defmt"))]
    let _ = failure;
}
