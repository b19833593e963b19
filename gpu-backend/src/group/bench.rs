//! A benchmark of training steps that several processes do together.

use super::GroupError;
use super::crew::Crew;
use super::message::{Job, Reply};
use crate::bench::NetworkResult;
use crate::cli::Backend;
use crate::cli::bench::NetworkBench;
use crate::train::ModelError;

/// Times training steps of a preset on `processes` processes, this one among them. Every process
/// waits for the others in each step; the times are this one's.
///
/// # Errors
/// There are not enough devices, or a process failed.
pub fn bench(
    backend: &dyn Backend,
    asked: &NetworkBench,
    processes: usize,
) -> Result<NetworkResult, ModelError> {
    let meeting = backend.meet(asked.placement, processes)?;
    let mut crew = Crew::start(&meeting, &Job::Bench(asked.clone()))?;
    let mut own = asked.clone();
    own.placement.device = meeting.devices[0];
    let mut result = crew.or_failure(backend.bench_network(&own, Some(crew.member())))?;
    crew.replies(|device, reply| match reply {
        Reply::Done => Ok(()),
        _ => Err(ModelError::from(GroupError::Worker {
            device: device.to_owned(),
            reason: "it answered something that was not asked".to_owned(),
        })),
    })?;
    crew.dismiss();
    result.device = format!("{processes} x {}", result.device);
    Ok(result)
}
