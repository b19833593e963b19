//! Where the instructions of a token go, stage by stage (feature `profile`); without it, plain steps.

use crate::contract::{Sampler, Session};
use boards::Console;
use toeplite::{StepError, Token};

#[cfg(feature = "profile")]
pub use on::Stages;

#[cfg(not(feature = "profile"))]
pub use off::Stages;

#[cfg(feature = "profile")]
mod on {
    use super::*;
    use boards::instructions::{self, Instant};
    use toeplite::profile::{Clock, Profile, Stage};

    /// The board's count of instructions. On your own board: its cycle counter.
    struct Instructions;

    impl Clock for Instructions {
        type Instant = Instant;

        fn now(&mut self) -> Instant {
            instructions::now()
        }

        fn elapsed(&self, start: Instant, end: Instant) -> u64 {
            instructions::between(start, end)
        }
    }

    /// Totals of the stages.
    pub struct Stages(Profile<Instructions>);

    impl Stages {
        pub fn new() -> Self {
            Self(Profile::new(Instructions))
        }

        pub fn step(
            &mut self,
            session: &mut Session<'_, '_>,
            token: Token,
        ) -> Result<(), StepError> {
            let result = session.step_with(token, &mut self.0).map(|_| ());
            self.0.stop();
            result
        }

        pub fn sample(&mut self, sampler: &mut Sampler, session: &Session<'_, '_>) -> Token {
            self.0.enter(Stage::Sampling);
            let token = sampler.sample(session.logits());
            self.0.stop();
            token
        }

        /// `stage NAME: N` of every stage, the mean of `tokens`.
        pub fn write(&self, console: &mut Console, tokens: u32) {
            for stage in Stage::ALL {
                console.text("stage ");
                console.number(stage.name(), self.0.total(stage) / u64::from(tokens.max(1)));
            }
        }
    }
}

#[cfg(not(feature = "profile"))]
mod off {
    use super::*;

    /// Nothing is counted.
    pub struct Stages;

    impl Stages {
        pub fn new() -> Self {
            Self
        }

        pub fn step(
            &mut self,
            session: &mut Session<'_, '_>,
            token: Token,
        ) -> Result<(), StepError> {
            session.step(token).map(|_| ())
        }

        pub fn sample(&mut self, sampler: &mut Sampler, session: &Session<'_, '_>) -> Token {
            sampler.sample(session.logits())
        }

        pub fn write(&self, _: &mut Console, _: u32) {}
    }
}
