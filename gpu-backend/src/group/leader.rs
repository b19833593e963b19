//! A network that several processes train, in the process that the user started.

use super::crew::Crew;
use super::message::{Job, Order, Reply};
use super::{GroupError, watch};
use crate::cli::{Backend, Placement};
use crate::data::{Batch, Shard, Source};
use crate::train::evaluate::{Windows, evaluate_batch};
use crate::train::{
    ModelError, ModelInfo, OptimiserState, Run, StepReport, StepValues, Sums, TrainError, Trainable,
};
use std::mem;
use std::thread;
use toeplite_checkpoint::Checkpoint;

/// Norms of gradients that should be equal may differ by this share: GPUs of different models add
/// their squares in another order.
const DRIFT: f32 = 1e-3;

/// A network that this process trains with others: see the [module](super).
pub struct Group {
    /// Always there until this is dropped.
    own: Option<Box<dyn Trainable>>,
    crew: Option<Crew>,
    ranks: usize,
    /// Something has failed: this process may wait for others in vain.
    broken: bool,
}

impl Group {
    /// Starts `processes` processes, this one among them, for a run; returns when all have joined.
    ///
    /// # Errors
    /// There are not enough devices, or a process failed.
    pub fn start(backend: &dyn Backend, run: &Run, processes: usize) -> Result<Self, ModelError> {
        let mut config = run.config.clone();
        let placement = Placement {
            device: config.train.device,
            precision: config.train.precision,
        };
        let meeting = backend.meet(placement, processes)?;
        let job = Job::Train {
            folder: run.folder.clone(),
            config: Box::new(config.clone()),
        };
        let crew = Crew::start(&meeting, &job)?;
        config.train.device = meeting.devices[0];
        let own = crew.or_failure(backend.create(&config, Some(crew.member())))?;
        let mut group = Self {
            own: Some(own),
            crew: Some(crew),
            ranks: processes,
            broken: true,
        };
        group.crew().replies(|device, reply| match reply {
            Reply::Ready => Ok(()),
            _ => Err(unexpected(device)),
        })?;
        group.broken = false;
        Ok(group)
    }

    fn crew(&self) -> &Crew {
        self.crew.as_ref().expect("there until this is dropped")
    }

    fn own(&self) -> &dyn Trainable {
        &**self.own.as_ref().expect("there until this is dropped")
    }

    /// Tells the workers to do something, and does this process's share of it.
    fn together<T>(
        &mut self,
        order: impl Fn(usize) -> Order,
        share: impl FnOnce(&mut dyn Trainable) -> Result<T, ModelError>,
    ) -> Result<T, ModelError> {
        self.broken = true;
        self.crew().tell(order)?;
        let own = self.own.as_mut().expect("there until this is dropped");
        let done = share(&mut **own);
        let done = self.crew().or_failure(done)?;
        self.broken = false;
        Ok(done)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let (own, crew) = (self.own.take(), self.crew.take());
        if self.broken || thread::panicking() {
            // The device may be stuck in a sum that never ends: what waits for it is left to the
            // system.
            watch::exit_soon();
            mem::forget(own);
            return;
        }
        // All processes leave the group at the same time, should leaving wait for the others.
        if let Some(mut crew) = crew {
            crew.dismiss();
            drop(own);
        }
    }
}

impl Trainable for Group {
    fn info(&self) -> ModelInfo {
        let own = self.own().info();
        ModelInfo {
            device: format!("{} x {}", self.ranks, own.device),
            peak_flops: own.peak_flops.map(|peak| peak * self.ranks as f64),
            ..own
        }
    }

    fn shard(&self) -> Shard {
        self.own().shard()
    }

    fn step(&mut self, micro_batches: &[Batch], values: &StepValues) -> Result<(), ModelError> {
        self.together(
            |_| Order::Step(*values),
            |own| own.step(micro_batches, values),
        )
    }

    fn report(&mut self) -> Result<StepReport, ModelError> {
        let mut report = self.together(|_| Order::Report, |own| own.report())?;
        let ours = report.gradient_norm;
        let replies = self.crew().replies(|device, reply| match reply {
            Reply::Report(measured) => {
                let theirs = StepReport::from(measured);
                same(device, ours, theirs.gradient_norm)?;
                Ok(theirs.sums)
            }
            _ => Err(unexpected(device)),
        });
        self.broken = replies.is_err();
        replies?.into_iter().for_each(|sums| report.sums += sums);
        Ok(report)
    }

    fn evaluate(&mut self, batch: &Batch) -> Result<Sums, ModelError> {
        let own = self.own.as_mut().expect("there until this is dropped");
        own.evaluate(batch)
    }

    fn evaluate_batches(
        &mut self,
        source: &dyn Source,
        windows: Windows,
        index: u64,
    ) -> Result<Vec<Sums>, TrainError> {
        let order = |rank| Order::Evaluate {
            windows,
            index: index + rank as u64,
        };
        let share = |own: &mut dyn Trainable| {
            let evaluated = evaluate_batch(&mut |b| own.evaluate(b), source, windows, index);
            Ok(evaluated?)
        };
        let own = self.together(order, share).map_err(TrainError::Model)?;
        let replies = self.crew().replies(|device, reply| match reply {
            Reply::Evaluated(measured) => Ok(measured.map(|m| StepReport::from(m).sums)),
            _ => Err(unexpected(device)),
        });
        self.broken = replies.is_err();
        let all = [own].into_iter().chain(replies.map_err(TrainError::Model)?);
        Ok(all.map_while(|sums| sums).collect())
    }

    fn classify(&mut self, batch: &Batch) -> Result<(Sums, Vec<f32>), ModelError> {
        let own = self.own.as_mut().expect("there until this is dropped");
        own.classify(batch)
    }

    fn position_logits(&mut self, batch: &Batch) -> Result<Vec<f32>, ModelError> {
        let own = self.own.as_mut().expect("there until this is dropped");
        own.position_logits(batch)
    }

    fn next_logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>, ModelError> {
        let own = self.own.as_mut().expect("there until this is dropped");
        own.next_logits(tokens)
    }

    fn export(&self) -> Result<Checkpoint, ModelError> {
        self.crew().or_failure(self.own().export())
    }

    fn optimiser_state(&self) -> Result<OptimiserState, ModelError> {
        self.crew().or_failure(self.own().optimiser_state())
    }

    fn restore(
        &mut self,
        step: u64,
        parameters: &Checkpoint,
        state: &OptimiserState,
    ) -> Result<(), ModelError> {
        self.together(
            |_| Order::Restore { step },
            |own| own.restore(step, parameters, state),
        )
    }
}

/// Checks that a process has the gradients that this one has; a loss that is no number is told by
/// the run.
fn same(device: &str, ours: f32, theirs: f32) -> Result<(), GroupError> {
    let numbers = ours.is_finite() && theirs.is_finite();
    let close = (ours - theirs).abs() <= DRIFT * ours.abs().max(theirs.abs());
    if (numbers && close) || (!ours.is_finite() && !theirs.is_finite()) {
        return Ok(());
    }
    Err(GroupError::Drift {
        device: device.to_owned(),
        ours,
        theirs,
    })
}

fn unexpected(device: &str) -> ModelError {
    GroupError::Worker {
        device: device.to_owned(),
        reason: "it answered something that was not asked".to_owned(),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn gradients_that_differ_are_noticed() {
        for (ours, theirs, expected) in [
            (0.0, 0.0, true),
            (2.0, 2.000_1, true),
            (2.0, 2.1, false),
            (f32::NAN, f32::INFINITY, true),
            (f32::INFINITY, 1.0, false),
            (1.0, f32::NAN, false),
        ] {
            assert_eq!(same("cuda:1", ours, theirs).is_ok(), expected);
        }
    }
}
