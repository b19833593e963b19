//! What tests read of clips.

use super::{FrameSet, TokenClips};

/// The tokens of all sequences of `length`, and their labels.
pub(super) fn sequences(clips: &TokenClips, length: usize) -> (Vec<Vec<u32>>, Vec<u32>) {
    let windows = clips.windows_of(length);
    let sequence = |window| {
        let mut tokens = Vec::new();
        let label = clips.read(&windows, window, 0, &mut tokens);
        (tokens, label)
    };
    (0..windows.len()).map(sequence).unzip()
}

/// `length` frames of all clips, one clip behind another, and their labels.
pub(super) fn all_frames(set: &FrameSet, length: usize) -> (Vec<f32>, Vec<u32>) {
    let mut values = Vec::new();
    let labels = (0..set.len()).map(|clip| set.read(clip, length, &mut values));
    let labels = labels.collect();
    (values, labels)
}
