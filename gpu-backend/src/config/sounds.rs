//! `[data.features]` and `[data.augment]`: what becomes of sounds before a network reads them.

use serde::{Deserialize, Serialize};
use toeplite_audio::{Agc, Compression, Config, Pcen};

/// `[data.features]`: the front end that the device runs. What is left out is what
/// [`Config::speech`] has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FeaturesConfig {
    /// Samples of a frame [default: 25 ms].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame: Option<usize>,
    /// Samples from one frame's start to the next one's [default: 20 ms].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hop: Option<usize>,
    /// Triangles on the mel scale [default: 32].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bands: Option<usize>,
    /// Where the first triangle begins, in Hz [default: 60].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low: Option<u32>,
    /// Where the last triangle ends, in Hz [default: half the rate, but 7600 at most].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high: Option<u32>,
    /// What becomes of the bands' energies.
    pub compression: CompressionKind,
    /// Agc, pcen: share of a new frame in the level [default: that of a memory of 0.4 s].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smoothing: Option<f32>,
    /// Log: what is added to energies; agc: share of the level that hides what is quieter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor: Option<f32>,
    /// Agc, pcen: what is added to levels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f32>,
    /// Pcen: how much of the level is taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gain: Option<f32>,
    /// Pcen: what is added before the power.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bias: Option<f32>,
    /// Pcen: the exponent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power: Option<f32>,
    /// Whether in integers, as models of the contract fixed hear.
    pub integers: bool,
    /// Evaluation: seconds of silence that follow a recording shorter than the clip, at most; the rest
    /// comes before it.
    pub after: f64,
    /// Scale every recording to this level in dB of full scale, which a stream cannot: to see what
    /// levels cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<f64>,
}

/// What becomes of the bands' energies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CompressionKind {
    /// Their logarithm.
    Log,
    /// Their logarithm beside a level of the past of all bands together.
    #[default]
    Agc,
    /// Each divided by a level of its own past.
    Pcen,
}

/// `[data.augment]`: how sounds to train on are changed, each time otherwise. All are off by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AugmentConfig {
    /// Share of the room around a short recording by which it is moved at most, 0 to 1: 1 puts it
    /// anywhere in the clip.
    pub shift: f64,
    /// Louder or quieter by so many dB at most.
    pub gain: f64,
    /// Faster or slower by this share at most, with higher or lower voices: resampled.
    pub speed: f64,
    /// Faster or slower by this share at most, with the same voice.
    pub tempo: f64,
    /// Other microphones: a short filter whose second and third taps are so large at most, below 1.
    pub tone: f64,
    /// Share of the clips that get noise, of a colour between white and brown.
    pub noise: f64,
    /// Its loudness: how many dB the recording is above it, between these.
    pub noise_snr: [f64; 2],
    /// Share of the clips that get voices behind them: up to three other recordings.
    pub babble: f64,
    /// Their loudness, as that of noise.
    pub babble_snr: [f64; 2],
    /// Frames that are hidden at most, one after the other (Park et al. 2019).
    pub time_mask: usize,
    /// Bands that are hidden at most, side by side.
    pub band_mask: usize,
    /// How many masks of each kind there are.
    pub masks: usize,
}

/// `[data.streams]`: sequences to train on are made of several recordings, and the network is asked at every frame: for a word
/// from its end on, for silence in pauses, for other speech all along.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StreamsConfig {
    /// Share of words among the recordings that follow a first one.
    pub words: f64,
    /// Seconds from the end of a recording to the next: `[least, most]`.
    pub pause: [f64; 2],
    /// Seconds after a word's end in which the network is to say it.
    pub late: f64,
    /// Seconds of a recording that is no word, at most.
    pub longest: f64,
}

impl Default for StreamsConfig {
    fn default() -> Self {
        Self {
            words: 0.5,
            pause: [0.05, 1.0],
            late: 0.3,
            longest: 2.5,
        }
    }
}

impl StreamsConfig {
    /// What is wrong, a line each.
    pub(super) fn problems(&self) -> Vec<&'static str> {
        let seconds = |x: f64| (0.0..=60.0).contains(&x);
        let [least, most] = self.pause;
        [
            (
                (0.0..=1.0).contains(&self.words),
                "`data.streams.words` must be 0 to 1",
            ),
            (
                seconds(least) && seconds(most) && least <= most,
                "`data.streams.pause` must be [least, most], 0 to 60 seconds",
            ),
            (
                seconds(self.late),
                "`data.streams.late` must be 0 to 60 seconds",
            ),
            (
                seconds(self.longest) && self.longest >= 0.1,
                "`data.streams.longest` must be 0.1 to 60 seconds",
            ),
        ]
        .into_iter()
        .filter_map(|(good, text)| (!good).then_some(text))
        .collect()
    }
}

impl FeaturesConfig {
    /// The front end for sounds of `rate` samples a second.
    pub fn front_end(&self, rate: u32) -> Config {
        let usual = Config::speech(rate);
        let hop = self.hop.unwrap_or(usual.hop);
        usual
            .with_frames(self.frame.unwrap_or(usual.frame), hop)
            .with_bands(
                self.bands(),
                self.low.unwrap_or(usual.low),
                self.high.unwrap_or(usual.high),
            )
            .with_compression(self.compression(rate, hop))
    }

    /// Numbers of a frame.
    pub fn bands(&self) -> usize {
        self.bands.unwrap_or(Config::speech(8000).bands)
    }

    fn compression(&self, rate: u32, hop: usize) -> Compression {
        match self.compression {
            CompressionKind::Log => Compression::Log {
                floor: self.floor.unwrap_or(1e-6),
            },
            CompressionKind::Agc => {
                let usual = Agc::speech(rate, hop);
                Compression::Agc(Agc {
                    smoothing: self.smoothing.unwrap_or(usual.smoothing),
                    floor: self.floor.unwrap_or(usual.floor),
                    epsilon: self.epsilon.unwrap_or(usual.epsilon),
                })
            }
            CompressionKind::Pcen => {
                let usual = Pcen::published(rate, hop);
                Compression::Pcen(Pcen {
                    smoothing: self.smoothing.unwrap_or(usual.smoothing),
                    gain: self.gain.unwrap_or(usual.gain),
                    bias: self.bias.unwrap_or(usual.bias),
                    power: self.power.unwrap_or(usual.power),
                    epsilon: self.epsilon.unwrap_or(usual.epsilon),
                })
            }
        }
    }

    /// What is wrong, a line each.
    pub(super) fn problems(&self) -> Vec<&'static str> {
        let kind = self.compression;
        let pcen = kind == CompressionKind::Pcen;
        let log = kind == CompressionKind::Log;
        let levels = self.smoothing.is_some() || self.epsilon.is_some();
        let powers = self.gain.is_some() || self.bias.is_some() || self.power.is_some();
        [
            (
                log && levels,
                "`data.features.smoothing` and `.epsilon` are for compression = \"agc\" or \"pcen\"",
            ),
            (
                !pcen && powers,
                "`data.features.gain`, `.bias` and `.power` are for compression = \"pcen\"",
            ),
            (
                pcen && self.floor.is_some(),
                "`data.features.floor` is for compression = \"agc\" or \"log\"",
            ),
            (
                !(0.0..=60.0).contains(&self.after),
                "`data.features.after` must be 0 to 60 seconds",
            ),
            (
                self.level.is_some_and(|l| !(-100.0..=0.0).contains(&l)),
                "`data.features.level` must be -100 to 0 dB",
            ),
        ]
        .into_iter()
        .filter_map(|(wrong, text)| wrong.then_some(text))
        .collect()
    }
}

impl AugmentConfig {
    /// What is wrong, a line each.
    pub(super) fn problems(&self) -> Vec<&'static str> {
        let share = |x: f64| (0.0..=1.0).contains(&x);
        let range = |[low, high]: [f64; 2]| low <= high && low >= -60.0 && high <= 120.0;
        [
            (share(self.shift), "`data.augment.shift` must be 0 to 1"),
            (
                (0.0..=60.0).contains(&self.gain),
                "`data.augment.gain` must be 0 to 60 dB",
            ),
            (
                (0.0..=0.5).contains(&self.speed),
                "`data.augment.speed` must be 0 to 0.5",
            ),
            (
                (0.0..=0.5).contains(&self.tempo),
                "`data.augment.tempo` must be 0 to 0.5",
            ),
            (
                (0.0..1.0).contains(&self.tone),
                "`data.augment.tone` must be 0 to below 1",
            ),
            (
                share(self.noise) && share(self.babble),
                "`data.augment.noise` and `.babble` must be 0 to 1",
            ),
            (
                range(self.noise_snr) && range(self.babble_snr),
                "`data.augment.noise_snr` and `.babble_snr` must be [least, most], -60 to 120 dB",
            ),
            (self.masks <= 16, "`data.augment.masks` must be 0 to 16"),
        ]
        .into_iter()
        .filter_map(|(good, text)| (!good).then_some(text))
        .collect()
    }
}
