//! The training run: steps, schedule, evaluation, metrics, checkpoints, resume.

mod classes;
mod error;
pub mod evaluate;
mod faults;
pub mod metrics;
mod model;
mod portions;
mod progress;
pub mod report;
mod run;
pub mod schedule;
mod state;
pub mod stop;
mod store;
pub mod streams;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub mod toy;

pub use classes::{Class, Classes};
pub use error::TrainError;
pub use model::{ModelError, ModelInfo, OptimiserState, StepReport, StepValues, Sums, Trainable};
pub use portions::Portions;
pub use run::{Outcome, Run};
pub use state::{Progress, TRAINING};
pub use store::{BEST, Store};
