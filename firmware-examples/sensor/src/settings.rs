//! The command line: `samples=FILE [key=value ...]`.

use crate::failure::Failure;
use boards::{Arguments, Escaped, integer, number, share};
use toeplite_sensor::activity;

/// All that can be chosen.
#[derive(Clone, Copy)]
pub struct Settings<'a> {
    /// `samples=`: the file.
    pub samples: Escaped<'a>,
    /// `every=`: frames from one decision to the next.
    pub every: u32,
    /// `half-life=`: what is so many frames old counts half, in models that take the mean.
    pub half_life: f32,
    /// `smoothing=` and `threshold=`.
    pub tracker: activity::Settings,
}

impl Default for Settings<'_> {
    fn default() -> Self {
        Self {
            samples: Escaped(b""),
            every: 5,
            half_life: 25.0,
            tracker: activity::Settings {
                smoothing: 0.2,
                threshold: 0.6,
            },
        }
    }
}

impl<'a> Settings<'a> {
    /// These settings, changed by what `arguments` say.
    pub fn with(mut self, arguments: Arguments<'a>) -> Result<Self, Failure> {
        for word in arguments {
            self.set(word).ok_or(Failure::Arguments)?;
        }
        Ok(self)
    }

    fn set(&mut self, word: &'a [u8]) -> Option<()> {
        let equals = word.iter().position(|&byte| byte == b'=')?;
        let value = word.get(equals + 1..)?;
        match word.get(..equals)? {
            b"samples" => self.samples = Escaped(value),
            b"every" => self.every = u32::try_from(integer(value)?).ok().filter(|&n| n > 0)?,
            b"half-life" => self.half_life = number(value)?,
            b"smoothing" => self.tracker.smoothing = share(value)?,
            b"threshold" => self.tracker.threshold = share(value)?,
            _ => return None,
        }
        Some(())
    }
}
