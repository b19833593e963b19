//! Running a converted model on the host, through the very runtime that devices run.

use crate::blob::SessionMemory;
use crate::convert::modal::Modal;
use crate::convert::rounding::DOUBLE;
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
    let wide = |x: &f32| f64::from(*x);
    let (real, complex) = r.modes.poles.split_at(r.counts.real);
    let mut poles: Vec<Complex64> = real.iter().map(|p| Complex64::new(wide(p), 0.0)).collect();
    let squares = complex.chunks_exact(2);
    let imaginary = |square: f64| if square == 0.0 { DOUBLE } else { square.sqrt() };
    poles.extend(squares.map(|p| Complex64::new(wide(&p[0]), imaginary(wide(&p[1])))));
    let residues = Array2::from_shape_fn((poles.len(), channels), |(k, c)| {
        let at = |row: usize| f64::from(r.residue(row, c));
        match k.checked_sub(r.counts.real) {
            None => Complex64::new(at(k), 0.0),
            Some(j) => {
                let row = r.counts.real + 2 * j;
                Complex64::new(at(row), -at(row + 1) / poles[k].im)
            }
        }
    });
    let decays = (0..channels).map(|c| f64::from(r.decay(c)));
    Modal {
        taps: Array2::from_shape_fn((r.counts.taps, channels), |(i, c)| f64::from(r.tap(i, c))),
        poles,
        residues,
        channel_decay: r.counts.has_channel_decay.then(|| decays.collect()),
    }
}
