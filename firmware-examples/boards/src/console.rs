//! Text out and exit status, by semihosting.

use semihosting::io::Write as _;

#[cfg(feature = "defmt")]
use semihosting::io::{Stderr as Stream, stderr as stream};
#[cfg(not(feature = "defmt"))]
use semihosting::io::{Stdout as Stream, stdout as stream};

/// Writes to the standard output of QEMU or of a debugger; to standard error with the feature
/// `defmt`, whose frames then have standard output to themselves.
///
/// Every write goes out at once. Output that the host does not take is dropped: there is nowhere
/// to report it.
pub struct Console(Option<Stream>);

impl Console {
    /// Opens the console.
    pub fn open() -> Self {
        Self(stream().ok())
    }

    /// Writes bytes as they are.
    pub fn bytes(&mut self, mut bytes: &[u8]) {
        let Some(stream) = &mut self.0 else { return };
        while !bytes.is_empty() {
            match stream.write(bytes) {
                Ok(written) if written > 0 => bytes = bytes.get(written..).unwrap_or_default(),
                _ => return,
            }
        }
    }

    /// Writes text.
    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// Writes a number in decimal.
    pub fn decimal(&mut self, number: u64) {
        self.text(itoa::Buffer::new().format(number));
    }

    /// Writes a number as 16 hexadecimal digits.
    pub fn hexadecimal(&mut self, number: u64) {
        let mut digits = [0; 16];
        for (digit, byte) in digits.chunks_exact_mut(2).zip(number.to_be_bytes()) {
            for (digit, nibble) in digit.iter_mut().zip([byte >> 4, byte & 15]) {
                *digit = if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble };
            }
        }
        self.bytes(&digits);
    }

    /// Writes the line `key: text`.
    pub fn line(&mut self, key: &str, text: &str) {
        self.text(key);
        self.text(": ");
        self.text(text);
        self.text("\n");
    }

    /// Writes the line `key: number`.
    pub fn number(&mut self, key: &str, number: u64) {
        self.line(key, itoa::Buffer::new().format(number));
    }

    /// Writes the line `key: number` with the number as 16 hexadecimal digits.
    pub fn hash(&mut self, key: &str, number: u64) {
        self.text(key);
        self.text(": ");
        self.hexadecimal(number);
        self.text("\n");
    }
}

/// Ends the emulation; QEMU's exit status is `status`.
pub fn exit(status: u8) -> ! {
    semihosting::process::exit(i32::from(status))
}
