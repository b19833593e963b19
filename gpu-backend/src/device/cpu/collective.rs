//! Sums over the processes that train together.

use super::Cpu;
use crate::data::Shard;
use crate::device::{Device, DeviceError, Result};
use std::fmt::Debug;

/// Carries numbers between the processes that train together.
pub trait Exchange: Debug + Send + Sync {
    /// This process.
    fn shard(&self) -> Shard;

    /// Sums `values` over all processes; each of them must call this with as many. All get the same
    /// bits.
    ///
    /// # Errors
    /// Another process has ended.
    fn sum(&self, values: &mut [f32]) -> Result<(), String>;
}

/// Sums where there are others to sum with.
pub(super) fn sum(cpu: &Cpu, values: &mut [f32]) -> Result<()> {
    let Some(exchange) = &cpu.exchange else {
        return Ok(());
    };
    exchange.sum(values).map_err(|reason| DeviceError::Failed {
        operation: "the sum over processes",
        device: cpu.name(),
        reason,
    })
}
