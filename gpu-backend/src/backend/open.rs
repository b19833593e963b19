//! Devices by their names.

use crate::cli::Placement;
use crate::config::{DeviceChoice, Precision};
use crate::device::cpu::Cpu;
use crate::device::cuda::{self, Cuda, Membership};
use crate::device::{Device, DeviceError};
use crate::group::{GroupError, Meeting, Member, SumsBy};
use crate::train::ModelError;

/// A device, whichever it is.
pub(super) enum Opened {
    Cpu(Cpu),
    Cuda(Cuda),
}

/// Opens what is asked for, alone or for one of the processes that train together. `auto` is the
/// first GPU; where that cannot be used, the CPU, and why is said on standard error.
pub(super) fn open(placement: Placement, member: Option<Member>) -> Result<Opened, ModelError> {
    let precision = placement.precision;
    match placement.device {
        DeviceChoice::Cpu => open_cpu(precision, member),
        DeviceChoice::Cuda(index) => Ok(Opened::Cuda(open_cuda(index, precision, member)?)),
        DeviceChoice::Auto => match open_cuda(0, precision, member.clone()) {
            Ok(cuda) => Ok(Opened::Cuda(cuda)),
            Err(DeviceError::Unavailable { reason, .. }) => {
                let cpu = open_cpu(precision, member)?;
                let name = match &cpu {
                    Opened::Cpu(cpu) => cpu.name(),
                    Opened::Cuda(cuda) => cuda.name(),
                };
                toeplite_terminal::tell(format_args!("device: {name} (no GPU: {reason})"));
                Ok(cpu)
            }
            Err(other) => Err(other.into()),
        },
    }
}

/// A device for each of the processes that train together. `auto` are GPUs where there is one, else
/// the CPU for all, and why is said on standard error.
pub(super) fn meet(placement: Placement, processes: usize) -> Result<Meeting, ModelError> {
    let first = match placement.device {
        DeviceChoice::Cpu => return Ok(on_cpu(processes)),
        DeviceChoice::Cuda(first) => first,
        DeviceChoice::Auto => match Cuda::count() {
            Ok(0) => {
                toeplite_terminal::tell("device: CPU (no GPU: the driver has none)");
                return Ok(on_cpu(processes));
            }
            Err(reason) => {
                toeplite_terminal::tell(format_args!("device: CPU (no GPU: {reason})"));
                return Ok(on_cpu(processes));
            }
            Ok(_) => 0,
        },
    };
    let unavailable = |reason| DeviceError::Unavailable {
        device: format!("cuda:{first}"),
        reason,
    };
    let found = Cuda::count().map_err(unavailable)?;
    if found.saturating_sub(first) < processes {
        return Err(GroupError::TooFewGpus {
            processes,
            first,
            found,
        }
        .into());
    }
    Ok(Meeting {
        devices: (first..first + processes).map(DeviceChoice::Cuda).collect(),
        nccl: Some(Membership::new_group().map_err(unavailable)?),
    })
}

fn on_cpu(processes: usize) -> Meeting {
    Meeting {
        devices: vec![DeviceChoice::Cpu; processes],
        nccl: None,
    }
}

fn open_cpu(precision: Precision, member: Option<Member>) -> Result<Opened, ModelError> {
    if precision == Precision::Bf16 {
        let reason = "the CPU computes in f32; leave the precision out, or use a GPU";
        return Err(unsupported("precision bf16", reason));
    }
    let Some(Member { shard, sums }) = member else {
        return Ok(Opened::Cpu(Cpu::new()));
    };
    let SumsBy::Sockets(exchange) = sums else {
        return Err(unsupported("the sum over processes", "NCCL sums on GPUs"));
    };
    share_cores(shard.ranks);
    Ok(Opened::Cpu(Cpu::member(exchange)))
}

/// Lets this process compute on its share of the cores, unless RAYON_NUM_THREADS says on how many.
fn share_cores(ranks: usize) {
    if std::env::var_os("RAYON_NUM_THREADS").is_some() {
        return;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = (cores / ranks).max(1);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    // Fails where threads run already; more of them give the same result.
    let _ = pool.build_global();
}

fn open_cuda(
    index: usize,
    precision: Precision,
    member: Option<Member>,
) -> Result<Cuda, DeviceError> {
    let precision = match precision {
        Precision::Auto | Precision::Bf16 => cuda::Precision::Bf16,
        Precision::F32 => cuda::Precision::F32,
    };
    let Some(Member { shard, sums }) = member else {
        return Cuda::open(index, precision);
    };
    let SumsBy::Nccl(group) = sums else {
        return Err(DeviceError::Unsupported {
            operation: "the sum over processes",
            reason: "sockets sum on CPUs".into(),
        });
    };
    Cuda::open_member(index, precision, Some(Membership { shard, group }))
}

fn unsupported(operation: &'static str, reason: &str) -> ModelError {
    let reason = reason.to_owned();
    DeviceError::Unsupported { operation, reason }.into()
}
