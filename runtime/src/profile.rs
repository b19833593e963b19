//! Where the time of a token goes, by a clock of your own (feature `profile`).
//!
//! ```no_run
//! # fn cycles() -> u32 { 0 } // e.g. cortex_m::peripheral::DWT::cycle_count
//! # fn profile(session: &mut toeplite::Session<'_, '_>, sampler: &mut toeplite::sample::Sampler) -> Result<(), toeplite::StepError> {
//! use toeplite::profile::{Profile, Stage};
//!
//! let mut profile = Profile::new(cycles);                        // any clock of 32 bits that wraps
//! let mut token = b'T'.into();
//! for _ in 0..100 {
//!     session.step_with(token, &mut profile)?;
//!     profile.enter(Stage::Sampling);
//!     token = sampler.sample(session.logits());
//!     profile.stop();
//! }
//! for stage in Stage::ALL {
//!     let _ = (stage.name(), profile.total(stage));               // print them
//! }
//! # Ok(()) }
//! ```
//!
//! What the profiling itself costs is measured once and subtracted. [`Session::step`] does not
//! know of any of this: it costs the same with and without the feature.
//!
//! [`Session::step`]: crate::Session::step

pub use crate::probe::{Probe, Stage};

impl Stage {
    /// All stages, in the order of a token.
    pub const ALL: [Self; 8] = [
        Self::Embedding,
        Self::Norm,
        Self::Gates,
        Self::Dense,
        Self::Fir,
        Self::Recurrence,
        Self::Head,
        Self::Sampling,
    ];

    /// A name to print.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::Norm => "norm",
            Self::Gates => "gates",
            Self::Dense => "dense",
            Self::Fir => "fir",
            Self::Recurrence => "recurrence",
            Self::Head => "head",
            Self::Sampling => "sampling",
        }
    }
}

/// Something that counts: cycles, instructions, microseconds.
pub trait Clock {
    /// A reading.
    type Instant: Copy;

    /// Reads the clock. What it takes should not depend on the time.
    fn now(&mut self) -> Self::Instant;

    /// What passed between two readings. Its own time is not counted.
    fn elapsed(&self, start: Self::Instant, end: Self::Instant) -> u64;
}

/// A counter of 32 bits that counts up and wraps; readings less than 2^32 apart.
impl<F: FnMut() -> u32> Clock for F {
    type Instant = u32;

    fn now(&mut self) -> u32 {
        self()
    }

    fn elapsed(&self, start: u32, end: u32) -> u64 {
        end.wrapping_sub(start).into()
    }
}

/// Totals of every stage.
#[derive(Clone, Debug)]
pub struct Profile<C: Clock> {
    clock: C,
    /// The stage that runs, and when it began.
    open: Option<(Stage, C::Instant)>,
    /// What an empty stage counts.
    overhead: u64,
    totals: [u64; Stage::ALL.len()],
}

impl<C: Clock> Profile<C> {
    /// Measures what profiling costs, and starts with totals of 0.
    pub fn new(clock: C) -> Self {
        let mut profile = Self {
            clock,
            open: None,
            overhead: 0,
            totals: [0; Stage::ALL.len()],
        };
        profile.switch(Some(Stage::Embedding));
        profile.switch(None);
        profile.overhead = profile.total(Stage::Embedding);
        profile.clear();
        profile
    }

    /// The stage before ends, and `stage` begins.
    pub fn enter(&mut self, stage: Stage) {
        self.switch(Some(stage));
    }

    /// The stage that runs ends; what follows belongs to none.
    pub fn stop(&mut self) {
        self.switch(None);
    }

    /// All that the clock counted in `stage`.
    pub fn total(&self, stage: Stage) -> u64 {
        self.totals.get(stage as usize).copied().unwrap_or(0)
    }

    /// Totals of 0 again.
    pub fn clear(&mut self) {
        self.totals = [0; Stage::ALL.len()];
    }

    /// Never inlined, so that every call costs the same. The clock is read first and last: what
    /// happens between belongs to no stage.
    #[inline(never)]
    fn switch(&mut self, next: Option<Stage>) {
        let end = self.clock.now();
        if let Some((stage, start)) = self.open {
            let count = self.clock.elapsed(start, end).saturating_sub(self.overhead);
            if let Some(total) = self.totals.get_mut(stage as usize) {
                *total += count;
            }
        }
        self.open = next.map(|stage| (stage, self.clock.now()));
    }
}

impl<C: Clock> Probe for Profile<C> {
    fn enter(&mut self, stage: Stage) {
        self.switch(Some(stage));
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use core::cell::Cell;
    use std::vec::Vec;

    #[test]
    fn every_stage_gets_its_own_time_and_none_of_the_profilings() {
        let time = Cell::new(u32::MAX - 100); // wraps on the way
        let mut profile = Profile::new(|| {
            time.set(time.get().wrapping_add(7)); // reading takes time, too
            time.get()
        });
        let work = |ticks: u32| time.set(time.get().wrapping_add(ticks));
        for _ in 0..2 {
            profile.enter(Stage::Norm);
            work(100);
            profile.enter(Stage::Dense);
            work(1000);
            profile.enter(Stage::Norm);
            work(10);
            profile.stop();
            work(5000);
        }
        let totals: Vec<u64> = Stage::ALL.map(|stage| profile.total(stage)).into();
        assert_eq!(totals, [0, 220, 0, 2000, 0, 0, 0, 0]);
        profile.clear();
        assert_eq!(profile.total(Stage::Dense), 0);
    }

    #[test]
    fn stages_stand_at_their_own_place() {
        for (i, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, i, "{}", stage.name());
        }
    }
}
