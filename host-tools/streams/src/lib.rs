//! What a classifier of words makes of long recordings, as a device hears them: events against what was said when.
//!
//! A recording becomes features by the [front end](toeplite_checkpoint::FrontEnd) of the network's training; the network
//! makes a decision every few of them ([`Listening`]); a [`Detector`](toeplite_audio::detect::Detector) makes events of the
//! decisions, which [`hear`] counts against the words of a [label track](track). [`Options::run`] does all of it for any
//! network, by the options that `toeplite-train eval --stream` and `toeplite eval --stream` share.

mod error;
mod heard;
mod options;
mod posteriors;
mod recording;
mod table;
mod track;

pub use error::StreamsError;
pub use heard::{Heard, Spoken, Stream, hear};
pub use options::{Decide, Ear, Options};
pub use recording::{Listening, wav_files};
pub use track::track;
