//! Clips of tokens as batches.

use super::{Batch, Inputs, Pick, Result, Source, TokenClips};
use crate::device::IGNORE;
use toeplite_clips::Windows;

/// A batch of windows, each shifted; `None` is one that does not count. A shorter text is followed by padding
/// ([`IGNORE`]), which networks do not see.
fn batch(
    clips: &TokenClips,
    windows: &Windows,
    chosen: impl Iterator<Item = Option<(usize, usize)>>,
) -> Batch {
    let (mut tokens, mut targets) = (Vec::new(), Vec::new());
    for window in chosen {
        let end = tokens.len() + windows.length();
        let label = window.map(|(window, shift)| clips.read(windows, window, shift, &mut tokens));
        targets.push(label.unwrap_or(IGNORE));
        tokens.resize(end, IGNORE);
    }
    Batch {
        sequences: targets.len(),
        length: windows.length(),
        inputs: Inputs::Tokens(tokens),
        targets,
    }
}

impl Source for TokenClips {
    fn sequences(&self) -> u64 {
        self.windows().len() as u64
    }

    fn training(&self, picks: &[Pick]) -> Result<Batch> {
        let shift = |pick: &Pick| (pick.epoch_noise % self.windows().length() as u64) as usize;
        let chosen = picks.iter().map(|p| Some((p.index as usize, shift(p))));
        Ok(batch(self, self.windows(), chosen))
    }

    fn counted(&self, picks: &[Pick]) -> Result<u64> {
        Ok(picks.len() as u64)
    }

    fn evaluation(&self, index: u64, length: usize, sequences: usize) -> Result<Option<Batch>> {
        let windows = self.windows_of(length.max(1));
        let count = windows.len();
        let sequences = sequences.clamp(1, count);
        let first = usize::try_from(index)
            .ok()
            .and_then(|i| i.checked_mul(sequences));
        let Some(first) = first.filter(|first| *first < count) else {
            return Ok(None);
        };
        let chosen = (first..first + sequences).map(|w| (w < count).then_some((w, 0)));
        Ok(Some(batch(self, &windows, chosen)))
    }

    fn targets(&self) -> u64 {
        self.sequences()
    }

    fn target_bytes(&self) -> Option<u64> {
        None
    }

    fn classes(&self) -> &[String] {
        Self::classes(self)
    }

    fn describe(&self) -> String {
        Self::describe(self)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Sampler, Shard};
    use super::*;
    use toeplite_clips::Cut;

    /// Texts of `lengths` whose tokens count on from one to the next, and labels too.
    fn clips(lengths: &[usize], length: usize, cut: Cut) -> TokenClips {
        let mut next = 0u8;
        let mut text = |len: usize| {
            let start = next;
            next += len as u8;
            (start..next).collect()
        };
        let texts: Vec<(u32, Vec<u8>)> = (0..).zip(lengths.iter().map(|len| text(*len))).collect();
        TokenClips::in_memory(String::new(), Vec::new(), texts, length, cut)
    }

    fn tokens(batch: &Batch) -> &[u32] {
        match &batch.inputs {
            Inputs::Tokens(tokens) => tokens,
            Inputs::Frames { .. } => panic!("tokens are expected"),
        }
    }

    #[test]
    fn beginnings_are_padded_or_cut() {
        let clips = clips(&[2, 5], 3, Cut::Beginning);
        assert_eq!(clips.sequences(), 2);
        let batch = clips.evaluation(0, 3, 8).unwrap().unwrap();
        assert_eq!(tokens(&batch), [0, 1, IGNORE, 2, 3, 4]);
        assert_eq!(batch.targets, [0, 1]);
        let long = clips.evaluation(0, 6, 1).unwrap().unwrap();
        assert_eq!(tokens(&long)[1..], [1, IGNORE, IGNORE, IGNORE, IGNORE]);
        assert!(clips.evaluation(1, 3, 8).unwrap().is_none());
    }

    #[test]
    fn windows_show_every_token_of_their_text_and_no_other() {
        let clips = clips(&[7, 2, 6], 3, Cut::Windows);
        let all: Vec<Batch> = (0..)
            .map_while(|i| clips.evaluation(i, 3, 4).unwrap())
            .collect();
        let seen: Vec<u32> = all.iter().flat_map(|b| tokens(b).to_vec()).collect();
        let n = IGNORE;
        assert_eq!(
            seen,
            [
                0, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8, n, 9, 10, 11, 12, 13, 14, n, n, n, n, n, n
            ]
        );
        assert_eq!(all[0].targets, [0, 0, 0, 1]);
        assert_eq!(all[1].targets, [2, 2, IGNORE, IGNORE]);
        // At another length there are other windows.
        assert_eq!(clips.evaluation(0, 8, 9).unwrap().unwrap().sequences, 3);
        let sampler = Sampler {
            sequences: clips.sequences(),
            batch: 6,
            seed: 1,
        };
        let mut starts = std::collections::BTreeSet::new();
        for step in 1..30 {
            let batch = clips
                .training(&sampler.step(step, 1, Shard::WHOLE)[0])
                .unwrap();
            for (window, label) in tokens(&batch).chunks(3).zip(&batch.targets) {
                let own = [0..7, 7..9, 9..15][*label as usize].clone();
                let inside = |t: &u32| own.contains(t) || (*t == n && *label == 1);
                assert!(window.iter().all(inside), "{window:?} of {label}");
                starts.insert(window[0]);
            }
        }
        // Windows begin at any place of a text that they fit behind.
        assert_eq!(starts, [0, 1, 2, 3, 4, 7, 9, 10, 11, 12].into());
    }
}
