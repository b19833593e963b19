//! The command line that the host gives to the firmware: QEMU's `-append "WORDS"`.

use crate::semihosting;

/// What follows the name of the binary on the command line, read into `buffer`; nothing if it does
/// not fit.
pub fn command_line(buffer: &mut [u8]) -> Option<Arguments<'_>> {
    let length = semihosting::command_line(buffer)?;
    let line = buffer.get(..length).unwrap_or_default();
    let end = line
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(line.len());
    let mut arguments = Arguments(line.get(..end).unwrap_or_default());
    arguments.next(); // the binary's own path
    Some(arguments)
}

/// Words of a command line, separated by spaces.
#[derive(Clone, Copy)]
pub struct Arguments<'a>(&'a [u8]);

impl<'a> Arguments<'a> {
    /// The words of `line`.
    pub fn new(line: &'a [u8]) -> Self {
        Self(line)
    }

    /// All that has not been taken yet, spaces included.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }
}

impl<'a> Iterator for Arguments<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|&byte| byte != b' ')?;
        let line = self.0.get(start..)?;
        let end = line
            .iter()
            .position(|&byte| byte == b' ')
            .unwrap_or(line.len());
        self.0 = line.get(end..).unwrap_or_default();
        line.get(..end)
    }
}

/// Bytes of text, `%` and two hexadecimal digits for any of them: QEMU takes several spaces for one.
#[derive(Clone, Copy)]
pub struct Escaped<'a>(pub &'a [u8]);

impl Iterator for Escaped<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (byte, rest) = match *self.0 {
            [b'%', high, low, ref rest @ ..] => match (nibble(high), nibble(low)) {
                (Some(high), Some(low)) => (high << 4 | low, rest),
                _ => (b'%', self.0.get(1..)?),
            },
            [byte, ref rest @ ..] => (byte, rest),
            [] => return None,
        };
        self.0 = rest;
        Some(byte)
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// An unsigned integer.
pub fn integer(digits: &[u8]) -> Option<u64> {
    let add = |sum: u64, &digit: &u8| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    };
    (!digits.is_empty()).then(|| digits.iter().try_fold(0, add))?
}

/// Digits with or without a point: the whole number, the fraction and how many digits it has; `core`'s parser of
/// floats has paths that panic.
pub fn decimal(text: &[u8]) -> Option<(u64, u64, u32)> {
    let point = text.iter().position(|&byte| byte == b'.');
    let (whole, fraction) = match point {
        Some(point) => (text.get(..point)?, text.get(point + 1..)?),
        None => (text, &[][..]),
    };
    let digits = u32::try_from(fraction.len()).ok()?;
    let fraction = if fraction.is_empty() {
        0
    } else {
        integer(fraction)?
    };
    Some((integer(whole)?, fraction, digits))
}

/// A number above 0, at most 1, as [`number`] reads it.
pub fn share(text: &[u8]) -> Option<f32> {
    number(text).filter(|&x| x > 0.0 && x <= 1.0)
}

/// The nearest number, of digits with a point among them; `None` for more than six digits behind it or 24 bits in all.
pub fn number(text: &[u8]) -> Option<f32> {
    let (whole, fraction, digits) = decimal(text)?;
    let scale = 10u64.checked_pow(digits)?;
    let all = whole.checked_mul(scale)?.checked_add(fraction)?;
    // both exact: one rounding
    (all < 1 << 24 && digits <= 6).then(|| all as f32 / scale as f32)
}
