//! A hash of logits, to compare devices bit by bit.

/// FNV-1a, 64 bits, over the little-endian bytes of the logits.
///
/// ```
/// let mut hash = toeplite::LogitsHash::new();
/// hash.update(&[1.0, -2.5]);
/// assert_eq!(hash.finish(), 0x09e6_29ee_2dfd_b3f8);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LogitsHash(u64);

impl LogitsHash {
    /// The hash of nothing.
    pub const fn new() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }

    /// Adds the logits of one step.
    pub fn update(&mut self, logits: &[f32]) {
        self.update_each(logits.iter().copied());
    }

    /// [`update`](Self::update) of logits that lie nowhere.
    pub fn update_each(&mut self, logits: impl Iterator<Item = f32>) {
        logits.for_each(|x| self.add(x.to_le_bytes()));
    }

    /// Adds the logits of one step of the contract [`fixed`](crate::fixed).
    pub fn update_fixed(&mut self, logits: &[i32]) {
        logits.iter().for_each(|x| self.add(x.to_le_bytes()));
    }

    fn add(&mut self, bytes: [u8; 4]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
    }

    /// The hash of everything added.
    pub const fn finish(self) -> u64 {
        self.0
    }
}

impl Default for LogitsHash {
    fn default() -> Self {
        Self::new()
    }
}
