//! What networks learn from and are judged by: files of clips with a class each, and the tokens that are hidden from
//! masked language models ([`Masking`]).
//!
//! A clip is a sequence of tokens or of frames, and the class that it belongs to. They come from these kinds of data:
//!
//! | what is given | what the classifier reads | read by |
//! | --- | --- | --- |
//! | a safetensors file with `tokens`, `lengths` and `labels` | tokens | [`TokenClips::file`] |
//! | a folder with one folder of text files a class | bytes | [`TextFolders::open`] |
//! | an npz or safetensors file with `features` and `labels` | frames | [`FrameSet::features`] |
//! | a folder with one folder of wav files a class | frames of samples | [`FrameSet::sounds`] |
//! | the same | what a device's audio front end makes of them | [`FrameSet::recordings`] |
//!
//! [`ClipSet`] opens any of them, by what the classifier reads and whether it is a file or a folder.

mod classes;
mod clips;
mod error;
mod features;
mod file;
mod folders;
mod frames;
mod masking;
mod npy;
mod npz;
mod recordings;
mod sensors;
mod set;
mod sounds;
mod tensor;
#[cfg(test)]
mod testing;
mod text_folders;
mod token_classes;
mod token_clips;
mod wav;

pub use classes::{Class, Classes, Speakers};
pub use clips::{Clips, Reads, are_named, task_name};
pub use error::ClipError;
pub use file::{check_vocabulary, map};
pub use frames::FrameSet;
pub use masking::{Masking, mix};
pub use npy::NpyError;
pub use recordings::{ClipFeatures, Recording, Recordings};
pub use sensors::{SensorClip, SensorRecordings, sensor_of_windows};
pub use set::{ClipSet, Input};
pub use sounds::Framing;
pub use text_folders::TextFolders;
pub use token_clips::{Cut, TokenClips, Windows};
pub use wav::{Sound, decode as decode_sound, read as read_sound, to_pcm};

/// What readers of clips return.
pub type Result<T, E = ClipError> = std::result::Result<T, E>;
