//! Datasets of published tasks, made deterministically from a seed.
//!
//! What a task makes depends on its options and the seed alone, to the byte and on every machine: clip
//! `i` of a split is drawn from a random stream of its own, so that fewer clips are the first ones of
//! more, and how many threads draw them changes nothing.

pub mod digits;
mod error;
mod files;
mod folder;
pub mod keywords;
pub mod listops;
pub mod pathfinder;
pub mod plays;

mod source;

pub use error::TaskError;
pub use files::MadeFile;
pub use folder::NewFolder;
pub use source::Package;

use crate::data::Draw;
use rayon::prelude::*;

/// What making a dataset returns.
pub type Result<T, E = TaskError> = std::result::Result<T, E>;

/// Told how many more clips are made.
pub type Tick<'a> = &'a (dyn Fn(u64) + Sync);

/// Clips of each part of a dataset that is drawn at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// To train on.
    pub train: usize,
    /// To choose by.
    pub valid: usize,
    /// To report.
    pub test: usize,
}

impl Counts {
    /// Clips of all parts.
    pub fn total(&self) -> u64 {
        (self.train + self.valid + self.test) as u64
    }

    /// Names of the parts and how many clips they have.
    fn parts(&self) -> [(&'static str, usize); 3] {
        [
            ("train", self.train),
            ("valid", self.valid),
            ("test", self.test),
        ]
    }
}

/// `count` clips, each from its own stream of random numbers.
fn draw_all<T: Send>(
    seed: u64,
    part: &str,
    count: usize,
    tick: Tick<'_>,
    one: impl Fn(usize, &mut Draw) -> T + Sync,
) -> Vec<T> {
    let clip = |index: usize| {
        let made = one(index, &mut Draw::of(seed, part, index as u64));
        tick(1);
        made
    };
    (0..count).into_par_iter().map(clip).collect()
}
