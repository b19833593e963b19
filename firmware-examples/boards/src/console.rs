//! Text out and exit status, by semihosting.

use crate::semihosting::{self, Stream};

/// Writes to the standard output of QEMU or of a debugger; to standard error with the feature
/// `defmt`, whose frames then have standard output to themselves.
///
/// Every write goes out at once. Output that the host does not take is dropped: there is nowhere
/// to report it.
pub struct Console(Option<usize>);

impl Console {
    /// Opens the console.
    pub fn open() -> Self {
        let stream = if cfg!(feature = "defmt") {
            Stream::Error
        } else {
            Stream::Output
        };
        Self(semihosting::open(stream))
    }

    /// Writes bytes as they are.
    pub fn bytes(&mut self, mut bytes: &[u8]) {
        let Some(handle) = self.0 else { return };
        while !bytes.is_empty() {
            let left = semihosting::write(handle, bytes);
            if left >= bytes.len() {
                return;
            }
            bytes = bytes.get(bytes.len() - left..).unwrap_or_default();
        }
    }

    /// Writes text.
    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// Writes a number in decimal.
    pub fn decimal(&mut self, mut number: u64) {
        let mut digits = [0; 20]; // of u64::MAX
        let mut used = 0;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
            used += 1;
            if number == 0 {
                break;
            }
        }
        self.bytes(digits.get(digits.len() - used..).unwrap_or_default());
    }

    /// Writes where the model comes from; if not from the partition, why, and what is needed and found where that is
    /// the reason.
    pub fn origin(&mut self, name: &str, why: Option<(&str, Option<(usize, usize)>)>) {
        self.line("model_from", name);
        let Some((message, sizes)) = why else { return };
        self.line("partition", message);
        if let Some((needed, found)) = sizes {
            self.number("partition_needs", needed as u64);
            self.number("partition_finds", found as u64);
        }
    }

    /// Writes the last `width` (at most 16) hexadecimal digits of a number.
    fn hexadecimal(&mut self, number: u64, width: usize) {
        let mut digits = [0; 16];
        for (digit, byte) in digits.chunks_exact_mut(2).zip(number.to_be_bytes()) {
            for (digit, nibble) in digit.iter_mut().zip([byte >> 4, byte & 15]) {
                *digit = if nibble < 10 {
                    b'0' + nibble
                } else {
                    b'a' - 10 + nibble
                };
            }
        }
        let start = digits.len().saturating_sub(width);
        self.bytes(digits.get(start..).unwrap_or_default());
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
        self.text(key);
        self.text(": ");
        self.decimal(number);
        self.text("\n");
    }

    /// Writes the line `key: number` with the number as 16 hexadecimal digits.
    pub fn hash(&mut self, key: &str, number: u64) {
        self.text(key);
        self.text(": ");
        self.hexadecimal(number, 16);
        self.text("\n");
    }

    /// Writes the line `key: number` with the number as 8 hexadecimal digits, as the `toeplite`
    /// command shows a model's identity.
    pub fn identity(&mut self, key: &str, number: u32) {
        self.text(key);
        self.text(": ");
        self.hexadecimal(u64::from(number), 8);
        self.text("\n");
    }
}

/// Ends the emulation; QEMU's exit status is `status`.
pub fn exit(status: u8) -> ! {
    semihosting::exit(status)
}
