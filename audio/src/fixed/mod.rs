//! The front end in integers, for cores without an FPU.
//!
//! The same frames, window, triangles and compressions as [`LogMel`](crate::LogMel)'s, with the same calls:
//!
//! ```
//! use toeplite_audio::{Config, fixed};
//!
//! const CONFIG: Config = Config::speech(8000).with_pcen();
//! static TABLES: fixed::Tables<{ CONFIG.frame }, { CONFIG.bins() }, { CONFIG.bands }> = fixed::Tables::new(CONFIG);
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut memory = fixed::Memory::<{ CONFIG.frame }, { CONFIG.bins() }, { CONFIG.bands }>::new();
//! let mut front_end = fixed::LogMel::new(TABLES.view(), memory.buffers())?;
//! front_end.push(&[0; 800], |features: &[i16]| {
//!     let first = f32::from(features[0]) / fixed::ONE as f32;
//!     assert!((0.0..0.5).contains(&first));
//! });
//! # Ok(()) }
//! ```
//!
//! # Numbers
//! Integers alone, so the same bits everywhere by themselves:
//! * samples times a window of 15 binary places, rounded to 4 places;
//! * an FFT of 32 bits and twiddles of 15 places, every product rounded. It has no scale and cannot overflow: the largest
//!   frame of 1024 samples reaches 2^29. So quiet sounds are as exact as loud ones, and nothing depends on the data;
//! * powers and energies of 64 bits, with 15 places of the triangles' weights;
//! * logarithms and exponentials by tables of 32 steps of an octave, between which lines are drawn: within 1.6e-4;
//! * features in units of 1 / [`ONE`].
//!
//! # Errors
//! With [`Config::speech`](crate::Config::speech), of `1 + |feature|`: the logarithm is off by at most .004 where a band is less than 70 dB below
//! its frame's loudest one, by .016 in all; the published PCEN by .0034 and .05; gain control by .0005. What is heard in bands that are
//! 80 dB below another are the twiddles. Measured against librosa in f64, and held, by the test `golden`.

mod agc;
mod fft;
mod functions;
mod log_mel;
mod pcen;
mod tables;

pub use log_mel::{Buffers, LogMel, Memory, SharedLogMel};
pub use tables::{Tables, TablesRef};

/// Memory of a [`SharedLogMel`]: `2 FRAME + 8 LEVELS` bytes, for a `static`. `FRAME` and `LEVELS` are
/// [`Config::frame`](crate::Config::frame) and [`Config::levels`](crate::Config::levels).
pub type SharedMemory<const FRAME: usize, const LEVELS: usize> =
    crate::KeptMemory<u64, FRAME, LEVELS>;

/// Binary places of features.
const PLACES: u32 = 11;
/// A feature of 1: those of `f32` times this, within -16 to 16.
pub const ONE: i16 = 1 << PLACES;
