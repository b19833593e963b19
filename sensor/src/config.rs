//! What is computed of samples.

/// Most samples of a frame: their sum is exact in an `f32`.
pub const MAX_AVERAGE: u32 = 128;
/// Most channels.
pub const MAX_CHANNELS: usize = 64;
/// Largest scale: frames stay within what a network takes.
const MAX_SCALE: f32 = 1e6;

/// How a channel's samples become numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Channel {
    /// What is subtracted from each sample: the mean of the training data.
    pub offset: i16,
    /// By what a frame's sum is multiplied: one over the standard deviation of the training data and over the samples of a frame.
    pub scale: f32,
}

/// What is computed of samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config<'a> {
    /// Samples a second, of each channel.
    pub rate: u32,
    /// Samples that are one frame.
    pub average: u32,
    /// All channels, in the order in which a sample has them.
    pub channels: &'a [Channel],
}

/// Why a configuration is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A sampling rate of nothing, or beyond what sums of milliseconds take.
    Rate,
    /// Frames of no samples, or of too many.
    Average,
    /// No channels, or too many.
    Channels,
    /// A scale that is not a number above 0.
    Scale,
}

impl ConfigError {
    /// What is wrong, and what is expected.
    pub const fn message(self) -> &'static str {
        match self {
            Self::Rate => "the rate must be 1 to 1000000 samples a second",
            Self::Average => "a frame must have 1 to 128 samples",
            Self::Channels => "there must be 1 to 64 channels",
            Self::Scale => "a channel's scale must be above 0 and at most 1000000",
        }
    }
}

impl core::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.message())
    }
}

impl core::error::Error for ConfigError {}

impl Config<'_> {
    /// Refuses what cannot be computed.
    ///
    /// # Errors
    /// [`ConfigError`] says what is wrong.
    pub const fn check(&self) -> Result<(), ConfigError> {
        if self.rate == 0 || self.rate > 1_000_000 {
            return Err(ConfigError::Rate);
        }
        if self.average == 0 || self.average > MAX_AVERAGE {
            return Err(ConfigError::Average);
        }
        if self.channels.is_empty() || self.channels.len() > MAX_CHANNELS {
            return Err(ConfigError::Channels);
        }
        let mut rest = self.channels;
        while let [first, others @ ..] = rest {
            // NaN is neither
            if !(first.scale > 0.0 && first.scale <= MAX_SCALE) {
                return Err(ConfigError::Scale);
            }
            rest = others;
        }
        Ok(())
    }

    /// When sample `number`, counted from 1, has come: milliseconds after the first one's period began.
    pub const fn milliseconds(&self, number: u64) -> u64 {
        match (number.saturating_mul(1000)).checked_div(self.rate as u64) {
            Some(milliseconds) => milliseconds,
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_refused() {
        const GOOD: Channel = Channel {
            offset: 1,
            scale: 0.5,
        };
        let channels = [GOOD; MAX_CHANNELS + 1];
        fn of(rate: u32, average: u32, channels: &[Channel]) -> Result<(), ConfigError> {
            Config {
                rate,
                average,
                channels,
            }
            .check()
        }
        assert_eq!(of(50, 2, &channels[..1]), Ok(()));
        assert_eq!(of(1, MAX_AVERAGE, &channels[..MAX_CHANNELS]), Ok(()));
        assert_eq!(of(0, 2, &channels[..1]), Err(ConfigError::Rate));
        assert_eq!(of(50, 0, &channels[..1]), Err(ConfigError::Average));
        assert_eq!(of(50, 129, &channels[..1]), Err(ConfigError::Average));
        assert_eq!(of(50, 2, &[]), Err(ConfigError::Channels));
        assert_eq!(of(50, 2, &channels), Err(ConfigError::Channels));
        for scale in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            let bad = [GOOD, Channel { scale, ..GOOD }];
            assert_eq!(of(50, 2, &bad), Err(ConfigError::Scale));
        }
    }

    #[test]
    fn times_are_those_of_the_rate() {
        let config = Config {
            rate: 50,
            average: 2,
            channels: &[],
        };
        assert_eq!(config.milliseconds(1), 20);
        assert_eq!(config.milliseconds(180_000), 3_600_000);
        assert_eq!(Config { rate: 0, ..config }.milliseconds(1), 0);
    }
}
