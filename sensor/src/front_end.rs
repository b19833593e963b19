//! From samples to frames.

use crate::config::{Config, ConfigError};

/// Memory of a front end of `N` channels.
#[derive(Clone, Debug)]
pub struct Memory<const N: usize> {
    sums: [i32; N],
    frame: [f32; N],
}

impl<const N: usize> Memory<N> {
    /// Memory of a front end that has taken nothing.
    pub const fn new() -> Self {
        Self {
            sums: [0; N],
            frame: [0.0; N],
        }
    }

    /// What [`FrontEnd::new`] takes.
    pub const fn buffers(&mut self) -> Buffers<'_> {
        Buffers {
            sums: &mut self.sums,
            frame: &mut self.frame,
        }
    }
}

impl<const N: usize> Default for Memory<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// Memory of a front end, a number of each for a channel.
#[derive(Debug)]
pub struct Buffers<'m> {
    /// Sums of the frame that is not whole yet.
    pub sums: &'m mut [i32],
    /// The last frame.
    pub frame: &'m mut [f32],
}

/// Why there is no front end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthError {
    /// The configuration cannot be.
    Config(ConfigError),
    /// Buffers of another length than there are channels.
    Buffers {
        /// Channels.
        needed: usize,
        /// The shorter of the buffers, or the longer one if the shorter fits.
        found: usize,
    },
}

impl core::fmt::Display for LengthError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Config(error) => f.write_str(error.message()),
            Self::Buffers { needed, found } => write!(
                f,
                "the buffers must have {needed} elements, one a channel, not {found}"
            ),
        }
    }
}

impl core::error::Error for LengthError {}

/// Makes frames of samples.
#[derive(Debug)]
pub struct FrontEnd<'c, 'm> {
    config: Config<'c>,
    buffers: Buffers<'m>,
    /// Samples in the sums.
    taken: u32,
}

impl<'c, 'm> FrontEnd<'c, 'm> {
    /// A front end that has taken nothing.
    ///
    /// # Errors
    /// The configuration cannot be, or the buffers have another length than there are channels.
    pub fn new(config: Config<'c>, buffers: Buffers<'m>) -> Result<Self, LengthError> {
        config.check().map_err(LengthError::Config)?;
        let needed = config.channels.len();
        for found in [buffers.sums.len(), buffers.frame.len()] {
            if found != needed {
                return Err(LengthError::Buffers { needed, found });
            }
        }
        let mut front_end = Self {
            config,
            buffers,
            taken: 0,
        };
        front_end.reset();
        Ok(front_end)
    }

    /// Forgets the samples of a frame that is not whole.
    pub fn reset(&mut self) {
        self.buffers.sums.fill(0);
        self.taken = 0;
    }

    /// Takes a sample, an integer a channel; gives a frame, a number a channel, when it was the frame's last. Of more integers than
    /// there are channels the first count, of fewer the missing ones are the channels' offsets.
    pub fn push(&mut self, sample: &[i16]) -> Option<&[f32]> {
        let Buffers { sums, frame } = &mut self.buffers;
        let channels = self.config.channels;
        for ((sum, channel), x) in sums.iter_mut().zip(channels).zip(sample) {
            *sum += i32::from(*x) - i32::from(channel.offset);
        }
        self.taken += 1;
        if self.taken < self.config.average {
            return None;
        }
        self.taken = 0;
        for ((number, channel), sum) in frame.iter_mut().zip(channels).zip(sums.iter_mut()) {
            // at most 128 times 65535, below 2^24: exact
            *number = *sum as f32 * channel.scale;
            *sum = 0;
        }
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::config::{Channel, MAX_AVERAGE};
    use proptest::prelude::*;
    use std::vec::Vec;

    fn channel() -> impl Strategy<Value = Channel> {
        (any::<i16>(), 1e-6f32..10.0).prop_map(|(offset, scale)| Channel { offset, scale })
    }

    proptest! {
        /// The frames of the definition, in binary64, but for the one rounding.
        #[test]
        fn frames_are_scaled_sums(
            channels in prop::collection::vec(channel(), 3),
            average in 1..=MAX_AVERAGE,
            samples in prop::collection::vec(any::<[i16; 3]>(), 0..600),
        ) {
            let config = Config { rate: 50, average, channels: &channels };
            let mut memory = Memory::<3>::new();
            let mut front_end = FrontEnd::new(config, memory.buffers()).unwrap();
            let mut frames = Vec::new();
            for sample in &samples {
                frames.extend(front_end.push(sample).map(<[f32]>::to_vec));
            }
            prop_assert_eq!(frames.len(), samples.len() / average as usize);
            for (frame, samples) in frames.iter().zip(samples.chunks_exact(average as usize)) {
                for (c, channel) in channels.iter().enumerate() {
                    let sum: f64 = samples.iter().map(|s| f64::from(s[c]) - f64::from(channel.offset)).sum();
                    prop_assert_eq!(frame[c], (sum * f64::from(channel.scale)) as f32);
                }
            }
        }
    }

    #[test]
    fn extremes_are_exact() {
        let channels = [Channel {
            offset: i16::MIN,
            scale: 1.0,
        }];
        let config = Config {
            rate: 1,
            average: MAX_AVERAGE,
            channels: &channels,
        };
        let mut memory = Memory::<1>::new();
        let mut front_end = FrontEnd::new(config, memory.buffers()).unwrap();
        for _ in 1..MAX_AVERAGE {
            assert_eq!(front_end.push(&[i16::MAX]), None);
        }
        assert_eq!(front_end.push(&[i16::MAX]), Some(&[65535.0 * 128.0][..]));
    }

    #[test]
    fn a_reset_forgets() {
        let channels = [Channel {
            offset: 10,
            scale: 0.5,
        }; 2];
        let config = Config {
            rate: 50,
            average: 2,
            channels: &channels,
        };
        let mut memory = Memory::<2>::new();
        let mut front_end = FrontEnd::new(config, memory.buffers()).unwrap();
        assert_eq!(front_end.push(&[500, 500]), None);
        front_end.reset();
        assert_eq!(front_end.push(&[12, 10]), None);
        assert_eq!(front_end.push(&[12]), Some(&[2.0, 0.0][..]));
    }

    #[test]
    fn buffers_of_another_length_are_refused() {
        let channels = [Channel {
            offset: 0,
            scale: 1.0,
        }; 2];
        let config = Config {
            rate: 50,
            average: 1,
            channels: &channels,
        };
        let mut memory = Memory::<3>::new();
        let refused = FrontEnd::new(config, memory.buffers()).unwrap_err();
        assert_eq!(
            refused,
            LengthError::Buffers {
                needed: 2,
                found: 3
            }
        );
        let config = Config {
            average: 0,
            ..config
        };
        let mut memory = Memory::<2>::new();
        let refused = FrontEnd::new(config, memory.buffers()).unwrap_err();
        assert_eq!(refused, LengthError::Config(ConfigError::Average));
    }
}
