//! Running a converted model on the host, through the very runtime that devices run.

use crate::blob::SessionMemory;
use crate::convert::modal::Modal;
use ndarray::Array2;
use num_complex::Complex64;
use toeplite::layer::Recurrence;
use toeplite::{Model, StepError};

/// The logits `[n, vocab]` after each of `tokens`, from the start of a sequence.
///
/// # Errors
/// A token is not in the vocabulary.
pub fn logits(model: &Model<'_>, tokens: &[u32]) -> Result<Array2<f32>, StepError> {
    let mut memory = SessionMemory::for_model(model);
    let mut session = model
        .session(memory.as_mut_slice())
        .expect("memory of the size that the model asks for");
    let mut out = Array2::zeros((tokens.len(), model.vocab_size()));
    for (token, mut row) in tokens.iter().zip(out.rows_mut()) {
        let logits = session.step(*token)?;
        row.iter_mut()
            .zip(logits)
            .for_each(|(to, from)| *to = *from);
    }
    Ok(out)
}

/// The recurrences of all layers as the blob holds them.
pub fn recurrences(model: &Model<'_>) -> Vec<Modal> {
    (0..model.layers())
        .map(|i| recurrence(&model.layer(i).recurrence, model.shape().channels))
        .collect()
}

fn recurrence(r: &Recurrence<'_>, channels: usize) -> Modal {
    let wide = |x: &[f32]| -> Vec<f64> { x.iter().map(|x| f64::from(*x)).collect() };
    let counts = r.counts;
    let taps = Array2::from_shape_vec((counts.taps, channels), wide(r.taps));
    let mut poles: Vec<Complex64> = wide(r.real_poles)
        .iter()
        .map(|p| Complex64::new(*p, 0.0))
        .collect();
    poles.extend(
        wide(r.complex_poles)
            .chunks_exact(2)
            .map(|p| Complex64::new(p[0], p[1])),
    );
    let rows = wide(r.residues);
    let residues = Array2::from_shape_fn((poles.len(), channels), |(k, c)| {
        let at = |row: usize| rows[row * channels + c];
        match k.checked_sub(counts.real) {
            None => Complex64::new(at(k), 0.0),
            Some(j) => Complex64::new(at(counts.real + 2 * j), at(counts.real + 2 * j + 1)),
        }
    });
    Modal {
        taps: taps.expect("the runtime checked the sizes"),
        poles,
        residues,
        channel_decay: (!r.channel_decay.is_empty()).then(|| wide(r.channel_decay)),
    }
}
