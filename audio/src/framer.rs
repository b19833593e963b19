//! Samples of any chunks as frames that overlap.

/// The samples of a frame, as far as they have come.
#[derive(Debug)]
pub(crate) struct Framer<'m> {
    samples: &'m mut [i16],
    hop: usize,
    filled: usize,
}

impl<'m> Framer<'m> {
    /// `hop` is at most the number of `samples`.
    pub fn new(samples: &'m mut [i16], hop: usize) -> Self {
        Self {
            samples,
            hop,
            filled: 0,
        }
    }

    /// Forgets all samples.
    pub fn reset(&mut self) {
        self.filled = 0;
    }

    /// Takes samples from the front of `chunk`, until a frame is whole or all are taken. The frame must be gone
    /// on from with [`Self::advance`].
    pub fn take(&mut self, chunk: &mut &[i16]) -> Option<&[i16]> {
        let free = self.samples.get_mut(self.filled..)?;
        let count = free.len().min(chunk.len());
        let (now, later) = chunk.split_at_checked(count)?;
        for (slot, sample) in free.iter_mut().zip(now) {
            *slot = *sample;
        }
        *chunk = later;
        self.filled += count;
        (self.filled == self.samples.len()).then_some(&*self.samples)
    }

    /// Makes room for the next frame's new samples.
    pub fn advance(&mut self) {
        if self.hop <= self.samples.len() {
            self.samples.copy_within(self.hop.., 0);
            self.filled = self.samples.len() - self.hop;
        }
    }
}
