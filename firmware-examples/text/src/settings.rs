//! The command line: `[generate|hash|cost] [key=value ...] [prompt=text to the end of the line]`.
//!
//! QEMU takes several spaces for one and drops the last: in a prompt, `%20` is a space, `%0A` the end
//! of a line, and so on for any byte.

use crate::contract::{DEFAULT_TEMPERATURE, Temperature, temperature};
use crate::failure::Failure;
use boards::{Arguments, Escaped, integer};

/// What to do.
#[derive(Clone, Copy)]
pub enum Mode {
    /// Stream text, then hash and report.
    Generate,
    /// Hash the logits of 256 fixed steps.
    Hash,
    /// Count the instructions of every one of many steps.
    Cost,
}

/// All that can be chosen.
#[derive(Clone, Copy)]
pub struct Settings<'a> {
    /// `generate`, `hash` or `cost`.
    pub mode: Mode,
    /// `prompt=`: what the text starts with; takes the rest of the line, spaces included.
    pub prompt: Escaped<'a>,
    /// `tokens=`: tokens to generate.
    pub tokens: u32,
    /// `steps=`: steps of mode `cost`.
    pub steps: u32,
    /// `temperature=`: 0 always takes the likeliest token.
    pub temperature: Temperature,
    /// `top-k=`: draw from that many likeliest tokens; 0 from all.
    pub top_k: usize,
    /// `seed=`: of the draws.
    pub seed: u64,
}

impl Default for Settings<'_> {
    /// What `toeplite run` draws by, so that both stream the same text.
    fn default() -> Self {
        Self {
            mode: Mode::Generate,
            prompt: Escaped(b"%0A"),
            tokens: 200,
            steps: 1000,
            temperature: DEFAULT_TEMPERATURE,
            top_k: 0,
            seed: 42,
        }
    }
}

impl<'a> Settings<'a> {
    /// These settings, changed by what `arguments` say.
    pub fn with(mut self, arguments: Arguments<'a>) -> Result<Self, Failure> {
        let mut words = arguments;
        loop {
            let rest = words.rest();
            let start = rest
                .iter()
                .position(|&byte| byte != b' ')
                .unwrap_or(rest.len());
            if let Some(prompt) = rest
                .get(start..)
                .and_then(|rest| rest.strip_prefix(b"prompt="))
            {
                self.prompt = Escaped(prompt);
                return Ok(self);
            }
            let Some(word) = words.next() else {
                return Ok(self);
            };
            self.set(word).ok_or(Failure::Arguments)?;
        }
    }

    fn set(&mut self, word: &[u8]) -> Option<()> {
        match word {
            b"generate" => self.mode = Mode::Generate,
            b"hash" => self.mode = Mode::Hash,
            b"cost" => self.mode = Mode::Cost,
            _ => {
                let equals = word.iter().position(|&byte| byte == b'=')?;
                let value = word.get(equals + 1..)?;
                match word.get(..equals)? {
                    b"tokens" => self.tokens = u32::try_from(integer(value)?).ok()?,
                    b"steps" => self.steps = u32::try_from(integer(value)?).ok()?,
                    b"temperature" => self.temperature = decimal(value)?,
                    b"top-k" => self.top_k = usize::try_from(integer(value)?).ok()?,
                    b"seed" => self.seed = integer(value)?,
                    _ => return None,
                }
            }
        }
        Some(())
    }
}

/// Digits with or without a point.
fn decimal(text: &[u8]) -> Option<Temperature> {
    let (whole, fraction, digits) = boards::decimal(text)?;
    temperature(whole, fraction, digits)
}
