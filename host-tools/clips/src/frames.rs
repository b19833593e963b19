//! Clips of frames with a label each: sounds, or features that another program made.

use std::ops::Range;
use toeplite_checkpoint::AnyFrontEnd;

/// Clips of frames, all in memory, with a label each.
///
/// A clip gives the network as many frames as it is asked for: of longer ones the first, shorter ones are preceded by
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
    /// What made them, where that is known.
    pub(super) front_end: Option<AnyFrontEnd>,
    /// Who speaks in each clip, where that is known; else empty.
    pub(super) speakers: Vec<Option<String>>,
    pub(super) name: String,
}

/// A clip: where its samples lie, and its class.
#[derive(Debug)]
pub(super) struct Clip {
    pub samples: Range<usize>,
    pub label: u32,
}

impl FrameSet {
    /// How many clips there are.
    pub fn len(&self) -> usize {
        self.clips.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.clips.is_empty()
    }

    /// Numbers of a frame.
    pub fn frame(&self) -> usize {
        self.frame
    }

    /// Frames of a sequence, as asked for.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Names of the classes, by label.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Samples a second, of sounds.
    pub fn rate(&self) -> Option<u32> {
        self.rate
    }

    /// What made the frames, where that is known.
    pub fn front_end(&self) -> Option<&AnyFrontEnd> {
        self.front_end.as_ref()
    }

    /// Who speaks in a clip, where that is known.
    pub fn speaker(&self, clip: usize) -> Option<&str> {
        self.speakers.get(clip)?.as_deref()
    }

    /// Appends `length` frames of a clip to `to`, and says what its label is.
    ///
    /// # Panics
    /// There is no such clip.
    pub fn read(&self, clip: usize, length: usize, to: &mut Vec<f32>) -> u32 {
        let clip = &self.clips[clip];
        self.frames(&self.samples[clip.samples.clone()], length, to);
        clip.label
    }

    fn frames(&self, samples: &[f32], length: usize, to: &mut Vec<f32>) {
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

    /// What they are, in words.
    pub fn describe(&self) -> String {
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
