//! Devices by their names.

use crate::cli::Placement;
use crate::config::{DeviceChoice, Precision};
use crate::device::cpu::Cpu;
use crate::device::cuda::{self, Cuda};
use crate::device::{Device, DeviceError};
use crate::train::ModelError;

/// A device, whichever it is.
pub(super) enum Opened {
    Cpu(Cpu),
    Cuda(Cuda),
}

/// Opens what is asked for. `auto` is the first GPU; where that cannot be used, the CPU, and why is
/// said on standard error.
pub(super) fn open(placement: Placement) -> Result<Opened, ModelError> {
    let precision = placement.precision;
    match placement.device {
        DeviceChoice::Cpu => open_cpu(precision),
        DeviceChoice::Cuda(index) => Ok(Opened::Cuda(open_cuda(index, precision)?)),
        DeviceChoice::Auto => match open_cuda(0, precision) {
            Ok(cuda) => Ok(Opened::Cuda(cuda)),
            Err(DeviceError::Unavailable { reason, .. }) => {
                let cpu = open_cpu(precision)?;
                let name = match &cpu {
                    Opened::Cpu(cpu) => cpu.name(),
                    Opened::Cuda(cuda) => cuda.name(),
                };
                eprintln!("device: {name} (no GPU: {reason})");
                Ok(cpu)
            }
            Err(other) => Err(other.into()),
        },
    }
}

fn open_cpu(precision: Precision) -> Result<Opened, ModelError> {
    match precision {
        Precision::Auto | Precision::F32 => Ok(Opened::Cpu(Cpu::new())),
        Precision::Bf16 => Err(DeviceError::Unsupported {
            operation: "precision bf16",
            reason: "the CPU computes in f32; leave the precision out, or use a GPU".into(),
        }
        .into()),
    }
}

fn open_cuda(index: usize, precision: Precision) -> Result<Cuda, DeviceError> {
    let precision = match precision {
        Precision::Auto | Precision::Bf16 => cuda::Precision::Bf16,
        Precision::F32 => cuda::Precision::F32,
    };
    Cuda::open(index, precision)
}
