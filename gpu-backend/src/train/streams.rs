//! A network's decisions on long recordings.

use super::model::Trainable;
use super::{ModelError, TrainError};
use crate::data::{Batch, Inputs};
use crate::device::IGNORE;
use toeplite_streams::Listening;

/// Frames that are computed at a time, and those before them that are computed again: what lies farther back is
/// forgotten by then.
const PORTION: usize = 16_384;
const BEFORE: usize = 2_048;

/// Logits `[frames, classes]` of a stream of `features` `[frames, width]`.
///
/// # Errors
/// The network failed.
pub fn frame_logits(
    model: &mut dyn Trainable,
    features: &[f32],
    width: usize,
) -> Result<Vec<f32>, TrainError> {
    let frames = features.len() / width;
    let (mut logits, mut done) = (Vec::new(), 0);
    while done < frames {
        let first = done.saturating_sub(BEFORE);
        let end = frames.min(done + PORTION);
        let length = end - first;
        let batch = Batch {
            sequences: 1,
            length,
            inputs: Inputs::Frames {
                width,
                values: features[first * width..end * width].to_vec(),
            },
            targets: vec![IGNORE],
        };
        let found: Result<_, ModelError> = model.position_logits(&batch);
        let found = found.map_err(TrainError::Model)?;
        let classes = found.len() / length;
        logits.extend_from_slice(&found[(done - first) * classes..]);
        done = end;
    }
    Ok(logits)
}

/// Decisions `[decisions, classes]` on a recording whose frames have the logits `[frames, classes]`: the mean of all frames
/// so far that forgets, as a device's session with a decay has it.
pub fn decide(logits: &[f32], classes: usize, listening: &Listening) -> Vec<f32> {
    let (decay, mut weight) = (listening.decay(), 0.0);
    let (mut sums, mut decisions) = (vec![0.0; classes], Vec::new());
    for (index, frame) in logits.chunks_exact(classes).enumerate() {
        weight = decay * weight + 1.0;
        for (sum, logit) in sums.iter_mut().zip(frame) {
            *sum = decay * *sum + f64::from(*logit);
        }
        if (index + 1) % listening.every == 0 {
            decisions.extend(sums.iter().map(|sum| (sum / weight) as f32));
        }
    }
    decisions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_are_means_that_forget() {
        let listening = |half_life, every| Listening { half_life, every };
        let decided = |listening: Listening, logits: &[f32]| decide(logits, 2, &listening);
        let logits = [1.0, 0.0, 4.0, 0.0, 0.0, 7.0];
        assert_eq!(decided(listening(Some(1.0), 2), &logits), [3.0, 0.0]);
        assert_eq!(decided(listening(None, 1), &logits), logits);
        let all = decided(listening(Some(1e300), 3), &[1.0, 0.0, 4.0, 0.0, 1.0, 6.0]);
        assert_eq!(all, [2.0, 2.0]);
    }
}
