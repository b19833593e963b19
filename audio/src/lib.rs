//! Log-mel features of a microphone's samples, with automatic gain control or PCEN, frame by frame: on a microcontroller without a heap, and
//! on the host for training, with the same bits.
//!
//! ```
//! use toeplite_audio::{Config, LogMel, Memory, Tables};
//!
//! const CONFIG: Config = Config::speech(8000);        // frames of 25 ms every 20 ms, 32 bands
//! static TABLES: Tables<{ CONFIG.frame }, { CONFIG.bins() }, { CONFIG.bands }> = Tables::new(CONFIG);
//!
//! # fn microphone() -> [i16; 80] { [0; 80] }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut memory = Memory::<{ CONFIG.frame }, { CONFIG.bins() }, { CONFIG.bands }>::new();
//! let mut front_end = LogMel::new(TABLES.view(), memory.buffers())?;
//! for _ in 0..100 {
//!     let chunk: [i16; 80] = microphone();            // however many samples there are
//!     let mut samples = &chunk[..];
//!     while let Some(features) = front_end.next(&mut samples) {
//!         assert_eq!(features.len(), CONFIG.bands);   // to the network
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! Cores without an FPU take [`fixed::LogMel`], which has the same calls and gives `i16`. [`SharedLogMel`] and [`fixed::SharedLogMel`]
//! work in memory that they are lent at each call.
//!
//! # What is computed
//! Frames of [`Config::frame`] samples begin every [`Config::hop`] samples; the first one with the first sample. Each is
//! 1. multiplied by a periodic Hann window, as samples from -1 to 1, and filled with zeros to a power of two;
//! 2. transformed: the power `|X|^2` of each bin, without any scale;
//! 3. summed into [`Config::bands`] triangles whose corners are equally far apart on the mel scale of HTK,
//!    `2595 log10(1 + f / 700)`, each of height 1;
//! 4. compressed: [`Compression::Log`], `ln(E + floor)`, [`Compression::Pcen`] or [`Compression::Agc`].
//!
//! librosa's `feature.melspectrogram(center=False, power=2, htk=True, norm=None)` does the same; how close they come is in
//! the test `golden`.
//!
//! # Numbers
//! One numeric contract: the same bits on every target and in every build, whatever the chunks in which samples come.
//! [`LogMel`] computes in IEEE 754 binary32, every operation rounded on its own, in the order that the code has: no fused
//! multiply-add, no reassociation, no platform's library. The FFT is that of the crate microfft, plain operations on
//! tables. [`fixed::LogMel`] computes with integers alone. The tables are constants, which the compiler or the host works
//! out in binary64 by the operations of [`constants`].
//!
//! A frame takes about the same number of instructions whatever is heard: what differs are rows of a table, and floats where
//! they are software. Nothing in this crate panics, allocates or recurses at run time.
#![no_std]
#![forbid(unsafe_code)]

/// The guide, whose examples are compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod guide {}

mod agc;
mod config;
pub mod constants;
pub mod detect;
pub mod fixed;
mod framer;
mod log_mel;
pub mod math;
mod mel;
mod pcen;
mod shared;
pub mod stored;
mod tables;
pub mod wav;

pub use config::{Agc, Compression, Config, ConfigError, Pcen};
pub use log_mel::{Buffers, LogMel, Memory, SharedLogMel};
pub use shared::{Kept, Memory as KeptMemory};
pub use tables::{TableError, Tables, TablesRef};

/// Memory of a [`SharedLogMel`]: `2 FRAME + 4 LEVELS` bytes, for a `static`. `FRAME` and `LEVELS` are [`Config::frame`] and
/// [`Config::levels`].
pub type SharedMemory<const FRAME: usize, const LEVELS: usize> = KeptMemory<f32, FRAME, LEVELS>;

/// Buffers or tables that do not have the lengths of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LengthError {
    /// What does not fit.
    pub what: &'static str,
    /// Elements that it must have.
    pub needed: usize,
    /// Elements that it has.
    pub found: usize,
}

impl core::fmt::Display for LengthError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self {
            what,
            needed,
            found,
        } = self;
        write!(
            f,
            "{what} must have {needed} elements, not {found}: take its length from the Config"
        )
    }
}

impl core::error::Error for LengthError {}

/// Refuses another length than the configuration's.
const fn check(what: &'static str, needed: usize, found: usize) -> Result<(), LengthError> {
    if needed == found {
        return Ok(());
    }
    Err(LengthError {
        what,
        needed,
        found,
    })
}
