//! Memory that is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes in use, and the most there were.
#[derive(Debug, Default)]
pub struct Counter {
    now: AtomicUsize,
    peak: AtomicUsize,
}

impl Counter {
    /// Bytes at present and at most so far.
    pub fn read(&self) -> (usize, usize) {
        (self.now.load(Relaxed), self.peak.load(Relaxed))
    }
}

/// A share of a [`Counter`]'s bytes, given back when dropped.
#[derive(Debug)]
pub struct Share {
    counter: Arc<Counter>,
    bytes: usize,
}

impl Share {
    /// Counts `bytes`.
    pub fn new(counter: &Arc<Counter>, bytes: usize) -> Self {
        let now = counter.now.fetch_add(bytes, Relaxed) + bytes;
        counter.peak.fetch_max(now, Relaxed);
        let counter = Arc::clone(counter);
        Self { counter, bytes }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.counter.now.fetch_sub(self.bytes, Relaxed);
    }
}

/// Elements of f32.
#[derive(Debug)]
pub struct Buffer {
    pub(super) data: Vec<f32>,
    _share: Share,
}

impl Buffer {
    pub(super) fn new(counter: &Arc<Counter>, len: usize) -> Self {
        Self {
            data: vec![0.0; len],
            _share: Share::new(counter, len * size_of::<f32>()),
        }
    }
}

/// Token identities, and their positions sorted by identity.
#[derive(Debug)]
pub struct Ids {
    pub(super) values: Vec<u32>,
    /// Positions, those of identity `i` at `starts[i]..starts[i + 1]`, ascending.
    pub(super) order: Vec<u32>,
    pub(super) starts: Vec<usize>,
    _share: Share,
}

impl Ids {
    pub(super) fn new(counter: &Arc<Counter>, len: usize, vocabulary: usize) -> Self {
        let bytes = 2 * len * size_of::<u32>() + (vocabulary + 1) * size_of::<usize>();
        let mut ids = Self {
            values: vec![0; len],
            order: vec![0; len],
            starts: vec![0; vocabulary + 1],
            _share: Share::new(counter, bytes),
        };
        ids.sort();
        ids
    }

    pub(super) fn vocabulary(&self) -> usize {
        self.starts.len() - 1
    }

    /// Sorts the positions of all values that the vocabulary has, by counting.
    pub(super) fn sort(&mut self) {
        let vocabulary = self.vocabulary();
        self.starts.fill(0);
        let known = |&id: &u32| (id as usize) < vocabulary;
        for &id in self.values.iter().filter(|id| known(id)) {
            self.starts[id as usize + 1] += 1;
        }
        for i in 0..vocabulary {
            self.starts[i + 1] += self.starts[i];
        }
        let mut next = self.starts.clone();
        for (at, id) in self.values.iter().enumerate().filter(|(_, id)| known(id)) {
            let next = &mut next[*id as usize];
            self.order[*next] = at as u32;
            *next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back() {
        let counter = Arc::new(Counter::default());
        let first = Buffer::new(&counter, 10);
        drop(Buffer::new(&counter, 5));
        assert_eq!(counter.read(), (40, 60));
        drop(first);
        assert_eq!(counter.read(), (0, 60));
    }

    #[test]
    fn positions_are_sorted_by_identity() {
        let mut ids = Ids::new(&Arc::default(), 5, 3);
        ids.values = vec![2, 0, u32::MAX, 2, 0];
        ids.sort();
        assert_eq!(ids.starts, [0, 2, 2, 4]);
        assert_eq!(ids.order[..4], [1, 4, 0, 3]);
    }
}
