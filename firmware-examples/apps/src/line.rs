//! Lines of text, from bytes that come one by one.

/// Of a line, or as much of it as is written at once.
pub const LENGTH: usize = 80;

/// A line of text that is not written yet.
#[derive(Clone, Debug)]
pub struct Line<F: FnMut(&[u8])> {
    bytes: [u8; LENGTH],
    used: usize,
    write: F,
}

impl<F: FnMut(&[u8])> Line<F> {
    /// An empty line. `write` takes whole ones, without their ends, and the [`LENGTH`] bytes of which a longer one has more.
    pub fn new(write: F) -> Self {
        let (bytes, used) = ([0; LENGTH], 0);
        Self { bytes, used, write }
    }

    /// The next byte; `\n` ends the line.
    pub fn add(&mut self, byte: u8) {
        if byte == b'\n' {
            return self.end();
        }
        if let Some(slot) = self.bytes.get_mut(self.used) {
            *slot = byte;
            self.used += 1;
        }
        if self.used == LENGTH {
            self.end();
        }
    }

    /// Writes what there is, if only an empty line.
    pub fn end(&mut self) {
        (self.write)(self.bytes.get(..self.used).unwrap_or_default());
        self.used = 0;
    }
}
