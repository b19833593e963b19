//! The command line: `wav=FILE [key=value ...]`.

use crate::failure::Failure;
use apps::keyword;
use boards::{Arguments, Escaped, integer, number, share};

/// All that can be chosen.
#[derive(Clone, Copy)]
pub struct Settings<'a> {
    /// `wav=`: the recording.
    pub wav: Escaped<'a>,
    /// `every=`, `half-life=`, `smoothing=`, `sure=`, `threshold=`, `share=` and `rest=`.
    pub ear: keyword::Settings,
}

impl Default for Settings<'_> {
    fn default() -> Self {
        Self {
            wav: Escaped(b""),
            ear: keyword::Settings::default(),
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
            b"wav" => self.wav = Escaped(value),
            b"every" => self.ear.every = count(value).filter(|&every| every > 0)?,
            b"half-life" => self.ear.half_life = number(value)?,
            b"smoothing" => self.ear.detector.smoothing = share(value)?,
            b"sure" => self.ear.detector.sure = share(value)?,
            b"share" => self.ear.detector.share = share(value)?,
            b"threshold" => self.ear.detector.threshold = share(value)?,
            b"rest" => self.ear.detector.rest = count(value)?,
            _ => return None,
        }
        Some(())
    }
}

fn count(digits: &[u8]) -> Option<u32> {
    u32::try_from(integer(digits)?).ok()
}
