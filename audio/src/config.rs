//! What is to be computed.

use crate::constants::exp;
use crate::mel::Corners;
use core::fmt;

/// Sampling rate, frames, bands and their compression.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// Samples a second, 4000 to 48000.
    pub rate: u32,
    /// Samples of a frame, 32 to 1024.
    pub frame: usize,
    /// Samples from one frame's start to the next one's, 1 to `frame`.
    pub hop: usize,
    /// Triangles on the mel scale, which are the numbers of a frame's features.
    pub bands: usize,
    /// Where the first triangle begins, in Hz.
    pub low: u32,
    /// Where the last triangle ends, in Hz: at most half the rate.
    pub high: u32,
    /// What becomes of a band's energy.
    pub compression: Compression,
}

/// What becomes of the energy `E` of a band in a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Compression {
    /// `ln(E + floor)`, `floor` from 1e-8 to 1. The energy of a tone of amplitude 1 in the middle of a band is
    /// `(frame / 4)^2`; the floor hides the noise of samples of 16 bits.
    Log {
        /// What is added to each energy.
        floor: f32,
    },
    /// Per-channel energy normalization, [`Pcen`].
    Pcen(Pcen),
    /// Automatic gain control, [`Agc`].
    Agc(Agc),
}

/// Automatic gain control: `ln(E / (epsilon + M) + floor)`, where the level `M` goes `smoothing (T - M)` nearer to the
/// energy `T` of all bands together at every frame, before it is used. The first frame's level is its energy.
///
/// One level for all bands keeps the spectrum's shape, which PCEN flattens; it forgets a recording's level as well.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agc {
    /// How fast the level follows, 1e-4 to 1.
    pub smoothing: f32,
    /// Share of the level that hides what is quieter, 1e-5 to .1.
    pub floor: f32,
    /// What is added to the level, 1e-8 to 1: sounds below it are not made louder.
    pub epsilon: f32,
}

impl Agc {
    /// For frames every `hop` samples of `rate` a second: a level that remembers .4 s, a floor 40 dB below it, and an epsilon
    /// of 1e-4, about the noise of samples of 12 bits.
    pub const fn speech(rate: u32, hop: usize) -> Self {
        Self {
            smoothing: smoothing(rate, hop),
            floor: 1e-4,
            epsilon: 1e-4,
        }
    }
}

/// Per-channel energy normalization ([Wang et al. 2017](https://arxiv.org/abs/1607.05666)), which forgets how loud a
/// recording is while it listens: `(E / (epsilon + M)^gain + bias)^power - bias^power`, where the band's level
/// `M` goes `smoothing (E - M)` nearer to the energy at every frame, before it is used. The first frame's
/// level is its energy.
///
/// The closer `gain` is to 1, the less remains of a recording's level. The result is at most about
/// `smoothing^(-gain power)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pcen {
    /// How fast the level follows, 1e-4 to 1.
    pub smoothing: f32,
    /// How much of the level is taken away, 0 to 1.
    pub gain: f32,
    /// What is added before the power, .01 to 100.
    pub bias: f32,
    /// Exponent, .05 to 1.
    pub power: f32,
    /// What is added to levels, 1e-8 to 1: sounds below it are not made louder.
    pub epsilon: f32,
}

/// Seconds of a level's memory.
const MEMORY: f64 = 0.4;

/// How fast a level follows that remembers so long.
const fn smoothing(rate: u32, hop: usize) -> f32 {
    (1.0 - exp(-(hop as f64) / (rate as f64 * MEMORY))) as f32
}

impl Pcen {
    /// The paper's parameters, for frames every `hop` samples of `rate` a second: gain .98, bias 2, power .5, epsilon
    /// 1e-6, a level that remembers .4 s.
    pub const fn published(rate: u32, hop: usize) -> Self {
        Self {
            smoothing: smoothing(rate, hop),
            gain: 0.98,
            bias: 2.0,
            power: 0.5,
            epsilon: 1e-6,
        }
    }
}

impl Config {
    /// For speech: frames of 25 ms every 20 ms, 32 bands from 60 Hz to half the rate, but 7600 Hz at most, and
    /// the logarithm with a floor of 1e-6.
    pub const fn speech(rate: u32) -> Self {
        Self {
            rate,
            frame: rate as usize / 40,
            hop: rate as usize / 50,
            bands: 32,
            low: 60,
            high: if rate / 2 < 7600 { rate / 2 } else { 7600 },
            compression: Compression::Log { floor: 1e-6 },
        }
    }

    /// With frames of `frame` samples every `hop`.
    pub const fn with_frames(self, frame: usize, hop: usize) -> Self {
        Self { frame, hop, ..self }
    }

    /// With `bands` triangles between `low` and `high` Hz.
    pub const fn with_bands(self, bands: usize, low: u32, high: u32) -> Self {
        Self {
            bands,
            low,
            high,
            ..self
        }
    }

    /// With another compression.
    pub const fn with_compression(self, compression: Compression) -> Self {
        Self {
            compression,
            ..self
        }
    }

    /// With the published PCEN at this rate and hop.
    pub const fn with_pcen(self) -> Self {
        let pcen = Pcen::published(self.rate, self.hop);
        self.with_compression(Compression::Pcen(pcen))
    }

    /// With automatic gain control for speech at this rate and hop.
    pub const fn with_agc(self) -> Self {
        let agc = Agc::speech(self.rate, self.hop);
        self.with_compression(Compression::Agc(agc))
    }

    /// Points of the FFT: the next power of two that holds a frame, 64 at least.
    pub const fn points(&self) -> usize {
        let points = self.frame.next_power_of_two();
        if points < 64 { 64 } else { points }
    }

    /// Levels that the compression keeps: one a band for PCEN, one for all bands for gain control, none for the logarithm.
    pub const fn levels(&self) -> usize {
        match self.compression {
            Compression::Log { .. } => 0,
            Compression::Pcen(_) => self.bands,
            Compression::Agc(_) => 1,
        }
    }

    /// Bins of the spectrum: half the points.
    pub const fn bins(&self) -> usize {
        self.points() / 2
    }

    /// Frames that are whole once so many samples have come.
    pub const fn frames(&self, samples: usize) -> usize {
        if samples < self.frame {
            return 0;
        }
        1 + (samples - self.frame) / self.hop
    }

    /// Refuses what cannot be computed.
    ///
    /// # Errors
    /// [`ConfigError`] names the field, and what it must be.
    pub const fn check(&self) -> Result<(), ConfigError> {
        if let Err(e) = self.check_numbers() {
            return Err(e);
        }
        let corners = Corners::new(self);
        let mut band = 0;
        while band < self.bands {
            // a bin on the first corner has no weight
            let mut first = corners.first_bin(band);
            if corners.weight(first, band) <= 0.0 {
                first += 1;
            }
            if first >= corners.first_bin(band + 2) {
                return Err(ConfigError::EmptyBand);
            }
            band += 1;
        }
        Ok(())
    }

    /// Refuses numbers out of range, without a look at the triangles, which takes arithmetic in binary64.
    pub(crate) const fn check_numbers(&self) -> Result<(), ConfigError> {
        if self.rate < 4000 || self.rate > 48000 {
            return Err(ConfigError::Rate);
        }
        if self.frame < 32 || self.frame > 1024 {
            return Err(ConfigError::Frame);
        }
        if self.hop < 1 || self.hop > self.frame {
            return Err(ConfigError::Hop);
        }
        if self.low >= self.high || self.high > self.rate / 2 {
            return Err(ConfigError::Edges);
        }
        if self.bands < 1 || self.bands >= self.bins() {
            return Err(ConfigError::Bands);
        }
        if !self.compression.is_valid() {
            return Err(ConfigError::Compression);
        }
        Ok(())
    }
}

impl Compression {
    const fn is_valid(&self) -> bool {
        const fn within(x: f32, least: f32, most: f32) -> bool {
            least <= x && x <= most
        }
        match self {
            Self::Log { floor } => within(*floor, 1e-8, 1.0),
            Self::Pcen(pcen) => {
                // what is rounded to 0 in 16 binary places follows nothing
                within(pcen.smoothing, 1e-4, 1.0)
                    && within(pcen.gain, 0.0, 1.0)
                    && within(pcen.bias, 0.01, 100.0)
                    && within(pcen.power, 0.05, 1.0)
                    && within(pcen.epsilon, 1e-8, 1.0)
            }
            Self::Agc(agc) => {
                within(agc.smoothing, 1e-4, 1.0)
                    && within(agc.floor, 1e-5, 0.1)
                    && within(agc.epsilon, 1e-8, 1.0)
            }
        }
    }
}

/// Why a configuration is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// [`Config::rate`].
    Rate,
    /// [`Config::frame`].
    Frame,
    /// [`Config::hop`].
    Hop,
    /// [`Config::low`] and [`Config::high`].
    Edges,
    /// [`Config::bands`].
    Bands,
    /// [`Config::compression`].
    Compression,
    /// A triangle has no bin inside.
    EmptyBand,
}

impl ConfigError {
    /// What is wrong, and what to do.
    pub const fn message(self) -> &'static str {
        match self {
            Self::Rate => "the rate must be 4000 to 48000 samples a second",
            Self::Frame => "a frame must have 32 to 1024 samples",
            Self::Hop => "the hop must be 1 sample to a whole frame",
            Self::Edges => {
                "bands must begin below where they end, and end at half the rate at most"
            }
            Self::Bands => "there must be at least one band, and fewer than bins of the spectrum",
            Self::Compression => {
                "a number of the compression is out of its range; the documentation of Compression, \
                 Pcen and Agc has the ranges"
            }
            Self::EmptyBand => {
                "a band is narrower than the bins of the spectrum: take fewer bands, a longer \
                 frame, or begin at a higher frequency"
            }
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl core::error::Error for ConfigError {}
