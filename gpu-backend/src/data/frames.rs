//! Clips of frames with a label each: sounds, or features that another program made.

use super::{Batch, Inputs, Pick, Result, Shift, Source};
use crate::device::IGNORE;
use std::ops::Range;

/// Clips of frames, all in memory, with a label each.
///
/// A clip gives the network `length` frames: of longer ones the first, shorter ones are preceded by
/// frames of zeros, as a device that listens hears silence before a word.
#[derive(Debug)]
pub struct FrameSet {
    pub(super) samples: Vec<f32>,
    pub(super) clips: Vec<Clip>,
    /// Numbers of a frame.
    pub(super) frame: usize,
    /// Numbers from one frame's start to the next one's.
    pub(super) hop: usize,
    /// Frames of a sequence.
    pub(super) length: usize,
    /// Names by label.
    pub(super) classes: Vec<String>,
    /// Samples a second, of sounds.
    pub(super) rate: Option<u32>,
    /// How training clips are moved, of images.
    pub(super) shift: Option<Shift>,
    pub(super) name: String,
}

/// A clip: where its samples lie, and its class.
#[derive(Debug)]
pub(super) struct Clip {
    pub samples: Range<usize>,
    pub label: u32,
}

impl FrameSet {
    fn batch(&self, clips: impl Iterator<Item = Option<usize>>, length: usize) -> Batch {
        let (mut values, mut targets) = (Vec::new(), Vec::new());
        for clip in clips {
            let end = values.len() + length * self.frame;
            if let Some(clip) = clip.map(|c| &self.clips[c]) {
                self.clip_frames(&self.samples[clip.samples.clone()], length, &mut values);
                targets.push(clip.label);
            } else {
                targets.push(IGNORE);
            }
            values.resize(end, 0.0);
        }
        Batch {
            sequences: targets.len(),
            length,
            inputs: Inputs::Frames {
                width: self.frame,
                values,
            },
            targets,
        }
    }

    fn clip_frames(&self, samples: &[f32], length: usize, to: &mut Vec<f32>) {
        // A clip shorter than a frame is one frame, its end filled up.
        let frames = 1 + samples.len().saturating_sub(self.frame) / self.hop;
        let frames = frames.min(length);
        to.resize(to.len() + (length - frames) * self.frame, 0.0);
        for i in 0..frames {
            let start = i * self.hop;
            let end = (start + self.frame).min(samples.len());
            to.extend_from_slice(&samples[start..end]);
            to.resize(to.len() + self.frame - (end - start), 0.0);
        }
    }
}

impl Source for FrameSet {
    fn sequences(&self) -> u64 {
        self.clips.len() as u64
    }

    fn training(&self, picks: &[Pick]) -> Result<Batch> {
        let clips = picks.iter().map(|p| Some(p.index as usize));
        let mut batch = self.batch(clips, self.length);
        if let (Some(shift), Inputs::Frames { values, .. }) = (&self.shift, &mut batch.inputs) {
            let clips = values.chunks_exact_mut(self.length * self.frame);
            clips
                .zip(picks)
                .for_each(|(clip, pick)| shift.apply(clip, pick.noise));
        }
        Ok(batch)
    }

    fn counted(&self, picks: &[Pick]) -> Result<u64> {
        Ok(picks.len() as u64)
    }

    fn evaluation(&self, index: u64, length: usize, sequences: usize) -> Result<Option<Batch>> {
        let sequences = sequences.clamp(1, self.clips.len());
        let first = usize::try_from(index)
            .ok()
            .and_then(|i| i.checked_mul(sequences));
        let Some(first) = first.filter(|f| *f < self.clips.len()) else {
            return Ok(None);
        };
        let clips = (first..first + sequences).map(|c| (c < self.clips.len()).then_some(c));
        Ok(Some(self.batch(clips, length.max(1))))
    }

    fn targets(&self) -> u64 {
        self.sequences()
    }

    fn target_bytes(&self) -> Option<u64> {
        None
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn rate(&self) -> Option<u32> {
        self.rate
    }

    fn describe(&self) -> String {
        format!(
            "{}: {} clips of {} classes, {} frames of {} numbers each",
            self.name,
            self.clips.len(),
            self.classes.len(),
            self.length,
            self.frame
        )
    }
}
