//! Windows of a text.

use super::{Batch, DataError, Inputs, Masking, Pick, Result, Source, Tokens};
use crate::device::IGNORE;
use std::path::Path;

/// A text in windows of equal length.
///
/// Training windows lie side by side from a start that every epoch chooses anew, so that each epoch
/// cuts the text elsewhere. Evaluation windows start at 0, n, 2n, ... and know nothing of each other;
/// every token but the first is predicted once.
pub struct TextSet {
    tokens: Tokens,
    length: usize,
    windows: u64,
    masking: Option<Masking>,
    name: String,
}

impl TextSet {
    /// The windows of `length` of `tokens`, which were read from `path`.
    ///
    /// # Errors
    /// There are not enough for one window.
    pub fn new(
        path: &Path,
        tokens: Tokens,
        length: usize,
        masking: Option<Masking>,
    ) -> Result<Self> {
        let count = tokens.len();
        if count <= length {
            return Err(DataError::TooShort {
                path: path.to_owned(),
                tokens: count as u64,
                length,
            });
        }
        // One window less than fits, so that the start can move by up to a window.
        let windows = ((count - length) / length).max(1) as u64;
        Ok(Self {
            tokens,
            length,
            windows,
            masking,
            name: path.display().to_string(),
        })
    }

    fn start(&self, pick: &Pick) -> usize {
        let used = self.windows as usize * self.length;
        let slack = (self.tokens.len() - 1 - used).min(self.length - 1);
        let offset = pick.epoch_noise % (slack as u64 + 1);
        offset as usize + pick.index as usize * self.length
    }

    /// Appends a window's inputs and targets; `count` of its `length` positions are there.
    fn window(&self, start: usize, count: usize, length: usize, noise: u64, to: &mut Parts) {
        let from = to.inputs.len();
        self.tokens.copy(start..start + count, &mut to.inputs);
        match &self.masking {
            None => self
                .tokens
                .copy(start + 1..start + count + 1, &mut to.targets),
            Some(masking) => {
                let vocabulary = self.tokens.vocabulary();
                let hidden = masking.hide(&mut to.inputs[from..], vocabulary, noise);
                to.targets
                    .extend(hidden.into_iter().map(|target| target.unwrap_or(IGNORE)));
            }
        }
        to.inputs.resize(from + length, 0);
        to.targets.resize(from + length, IGNORE);
    }

    /// Positions that an evaluation looks at: a masked network's first token may be hidden too.
    fn judged(&self) -> usize {
        self.tokens.len() - usize::from(self.masking.is_none())
    }
}

#[derive(Default)]
struct Parts {
    inputs: Vec<u32>,
    targets: Vec<u32>,
}

impl Parts {
    fn batch(self, sequences: usize, length: usize) -> Batch {
        Batch {
            sequences,
            length,
            inputs: Inputs::Tokens(self.inputs),
            targets: self.targets,
        }
    }
}

impl Source for TextSet {
    fn sequences(&self) -> u64 {
        self.windows
    }

    fn training(&self, picks: &[Pick]) -> Result<Batch> {
        let mut parts = Parts::default();
        for pick in picks {
            let start = self.start(pick);
            self.window(start, self.length, self.length, pick.noise, &mut parts);
        }
        Ok(parts.batch(picks.len(), self.length))
    }

    fn counted(&self, picks: &[Pick]) -> Result<u64> {
        let count = |pick: &Pick| match &self.masking {
            None => self.length,
            Some(masking) => masking.count(self.length, pick.noise),
        };
        Ok(picks.iter().map(count).sum::<usize>() as u64)
    }

    /// A causal network's last window is filled up with positions whose targets do not count, which
    /// changes nothing before them. A network that looks ahead would see them: its last window is
    /// shorter instead, in a batch of its own.
    fn evaluation(&self, index: u64, length: usize, sequences: usize) -> Result<Option<Batch>> {
        let targets = self.judged();
        let length = length.clamp(1, targets);
        let fill = self.masking.is_none();
        let windows = if fill {
            targets.div_ceil(length)
        } else {
            targets / length
        };
        let sequences = sequences.clamp(1, windows.max(1));
        let noise = |start: usize| self.masking.map_or(0, |m| m.evaluation_noise(start));
        let first = usize::try_from(index)
            .ok()
            .and_then(|i| i.checked_mul(sequences))
            .unwrap_or(usize::MAX);
        let mut parts = Parts::default();
        if first < windows {
            for window in first..first + sequences {
                let start = window.min(windows) * length;
                let count = if window < windows {
                    length.min(targets - start)
                } else {
                    0
                };
                self.window(start.min(targets), count, length, noise(start), &mut parts);
            }
            return Ok(Some(parts.batch(sequences, length)));
        }
        let rest = targets - windows.min(targets / length) * length;
        if !fill && rest > 0 && index as usize == windows.div_ceil(sequences) {
            let start = targets - rest;
            self.window(start, rest, rest, noise(start), &mut parts);
            return Ok(Some(parts.batch(1, rest)));
        }
        Ok(None)
    }

    fn targets(&self) -> u64 {
        let share = self.masking.map_or(1.0, |m| m.probability);
        (self.judged() as f64 * share).round() as u64
    }

    fn target_bytes(&self) -> Option<u64> {
        // Of a masked text only some tokens are predicted: bits a byte would mean nothing.
        self.masking.is_none().then(|| self.tokens.target_bytes())
    }

    fn tokens_are_bytes(&self) -> bool {
        self.tokens.are_bytes()
    }

    fn describe(&self) -> String {
        let note = self.tokens.note().map(|n| format!(" ({n})"));
        format!(
            "{}: {} bytes, {} tokens, {} windows of {}{}",
            self.name,
            self.tokens.bytes(),
            self.tokens.len(),
            self.windows,
            self.length,
            note.unwrap_or_default()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Sampler, Shard};
    use super::*;
    use proptest::prelude::*;

    fn set(text: &[u8], length: usize, masking: Option<Masking>) -> Result<TextSet> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.txt");
        std::fs::write(&path, text).unwrap();
        TextSet::new(&path, Tokens::open(&path, None, 257)?, length, masking)
    }

    fn evaluation(set: &TextSet, length: usize, sequences: usize) -> Vec<Batch> {
        let batch = |i| set.evaluation(i, length, sequences).unwrap();
        let batches: Vec<Batch> = (0..).map_while(batch).collect();
        for b in &batches {
            assert_eq!(b.targets.len(), b.positions());
        }
        batches
    }

    fn tokens(batch: &Batch) -> &[u32] {
        match &batch.inputs {
            Inputs::Tokens(t) => t,
            Inputs::Frames { .. } => panic!("tokens are expected"),
        }
    }

    proptest! {
        #[test]
        fn training_windows_are_pieces_of_the_text(len in 2usize..90, length in 1usize..30, seed: u64) {
            let text: Vec<u8> = (0..len as u8).collect();
            let Ok(set) = set(&text, length, None) else {
                prop_assert!(len <= length);
                return Ok(());
            };
            let sampler = Sampler { sequences: set.sequences(), batch: 3, seed };
            for step in 1..6 {
                let picks = sampler.step(step, 1, Shard::WHOLE).concat();
                let batch = set.training(&picks).unwrap();
                let inputs = tokens(&batch);
                prop_assert_eq!(inputs.len(), 3 * length);
                for (window, targets) in inputs.chunks(length).zip(batch.targets.chunks(length)) {
                    for i in 0..length {
                        prop_assert_eq!(window[i], window[0] + i as u32);
                        prop_assert_eq!(targets[i], window[i] + 1);
                    }
                }
            }
        }

        #[test]
        fn evaluation_predicts_every_token_after_the_first_once(len in 2usize..200, length in 1usize..60, sequences in 1usize..7) {
            let text: Vec<u8> = (0..len as u8).collect();
            let set = set(&text, 1, None).unwrap();
            let batches = evaluation(&set, length, sequences);
            let mut seen = Vec::new();
            for batch in &batches {
                for (input, target) in tokens(batch).iter().zip(&batch.targets) {
                    if *target != IGNORE {
                        prop_assert_eq!(*target, input + 1);
                        seen.push(*target);
                    }
                }
            }
            prop_assert!(seen.into_iter().eq(1..len as u32));
            // All of one shape: devices plan once.
            prop_assert!(batches.iter().all(|b| (b.sequences, b.length) == (batches[0].sequences, batches[0].length)));
        }

        #[test]
        fn masked_evaluation_shows_every_token_and_no_filling(len in 2usize..200, length in 1usize..60, sequences in 1usize..7) {
            let text: Vec<u8> = (0..len as u8).collect();
            let masking = Masking { probability: 1.0, token: 256, seed: 1 };
            let set = set(&text, 1, Some(masking)).unwrap();
            let targets: Vec<u32> = evaluation(&set, length, sequences).iter().flat_map(|b| b.targets.clone()).filter(|t| *t != IGNORE).collect();
            prop_assert!(targets.into_iter().eq(0..len as u32));
        }
    }

    #[test]
    fn targets_are_those_of_the_batch() {
        let text: Vec<u8> = (0..200).collect();
        let masking = Masking {
            probability: 0.3,
            token: 256,
            seed: 1,
        };
        for masking in [None, Some(masking)] {
            let set = set(&text, 16, masking).unwrap();
            let sampler = Sampler {
                sequences: set.sequences(),
                batch: 5,
                seed: 3,
            };
            for picks in sampler.step(2, 5, Shard::WHOLE) {
                let batch = set.training(&picks).unwrap();
                assert_eq!(set.counted(&picks).unwrap(), batch.counted());
            }
        }
    }

    #[test]
    fn epochs_cut_the_text_elsewhere() {
        let text: Vec<u8> = (0..200).collect();
        let set = set(&text, 32, None).unwrap();
        let sampler = Sampler {
            sequences: set.sequences(),
            batch: 1,
            seed: 3,
        };
        let phase = |step| {
            tokens(
                &set.training(&sampler.step(step, 1, Shard::WHOLE)[0])
                    .unwrap(),
            )[0] % 32
        };
        let per = set.sequences();
        let phases: Vec<u32> = (0..8).map(|epoch| phase(1 + epoch * per)).collect();
        assert!(phases.iter().any(|p| *p != phases[0]), "{phases:?}");
        assert!((1..=per).all(|step| phase(step) == phases[0]));
    }

    #[test]
    fn short_and_missing_texts_are_refused_with_what_to_do() {
        let error = set(b"four", 4, None).err().unwrap().to_string();
        assert!(
            error.contains("has 4 tokens") && error.contains("need 5"),
            "{error}"
        );
        let error = set(b"", 4, None).err().unwrap().to_string();
        assert!(error.contains("0 tokens"), "{error}");
        let missing = Tokens::open(Path::new("/no/such/text"), None, 256)
            .err()
            .unwrap();
        assert!(missing.to_string().contains("/no/such/text"));
        let folder = tempfile::tempdir().unwrap();
        let error = Tokens::open(folder.path(), None, 256).err().unwrap();
        assert!(error.to_string().contains("folder"), "{error}");
    }

    #[test]
    fn vocabulary_must_hold_the_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.txt");
        std::fs::write(&path, [1u8, 200]).unwrap();
        let error = Tokens::open(&path, None, 128).err().unwrap().to_string();
        assert!(error.contains("vocab_size = 201"), "{error}");
    }
}
