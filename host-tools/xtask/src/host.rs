//! What the same runtime computes on the host.

use anyhow::{Context, Result, anyhow};
use std::fs;
use std::path::Path;
use toeplite::sample::Sampler;
use toeplite::{Model, Session, Token};

/// Steps that the firmware hashes.
const HASHED_STEPS: usize = 256;

/// Hash of the logits of 256 steps over the tokens `(i * 97 + 13) % vocabulary`, as the firmware
/// prints it.
///
/// # Errors
/// The file is not a model.
pub fn logits_hash(blob: &Path) -> Result<String> {
    with_session(blob, |session| {
        let vocabulary = session.model().vocab_size();
        let tokens = (0..HASHED_STEPS).map(|i| Token(((i * 97 + 13) % vocabulary) as u32));
        Ok(format!("{:016x}", session.hash_steps(tokens)))
    })
}

/// `prompt` and the `tokens` bytes that a byte-level model appends to it.
///
/// # Errors
/// The file is not a model, or not one of bytes.
pub fn generate(blob: &Path, prompt: &[u8], tokens: usize, sampler: Sampler) -> Result<Vec<u8>> {
    with_session(blob, |session| {
        let mut sampler = sampler;
        let mut text = prompt.to_vec();
        let refused = |error: toeplite::StepError| anyhow!("{error}");
        let mut token = sampler.sample(session.prefill(prompt.iter().copied()).map_err(refused)?);
        for _ in 0..tokens {
            text.push(u8::try_from(token.0).context("the vocabulary is not bytes")?);
            token = sampler.sample(session.step(token).map_err(refused)?);
        }
        Ok(text)
    })
}

/// What `work` returns of a session of the model in the file `blob`.
///
/// # Errors
/// The file is not a model; those of `work`.
pub fn with_session<R>(blob: &Path, work: impl FnOnce(&mut Session) -> Result<R>) -> Result<R> {
    let bytes = fs::read(blob).with_context(|| format!("reading {}", blob.display()))?;
    // u128 has the alignment that blobs and session memory need.
    let mut aligned = vec![0u128; bytes.len().div_ceil(16)];
    let blob = &mut bytemuck::cast_slice_mut::<u128, u8>(&mut aligned)[..bytes.len()];
    blob.copy_from_slice(&bytes);
    let model = Model::from_bytes(blob).map_err(|error| anyhow!("{error}"))?;
    let mut memory = vec![0u128; model.memory_needed().div_ceil(16)];
    let memory = bytemuck::cast_slice_mut(&mut memory);
    let mut session = model.session(memory).map_err(|error| anyhow!("{error}"))?;
    work(&mut session)
}
