//! Sums over the processes that train together, by NCCL: one process a GPU.
//!
//! Sums run on a stream of their own, so that they go on beside the backward pass. Both streams
//! wait for each other by events, which a recording keeps.

use super::machine::{Address, Fault, Outcome};
use super::nccl::{Communicator, Nccl};
use crate::data::Shard;
use cudarc::driver::{CudaContext, CudaEvent, CudaStream, DriverError};
use std::sync::Arc;

/// Names this process among those that train together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Which one it is.
    pub shard: Shard,
    /// What [`Membership::new_group`] gave one of them.
    pub group: [u8; 128],
}

impl Membership {
    /// The identity of a new group, to be handed to all its processes; the process that calls this
    /// must live until they have joined.
    ///
    /// # Errors
    /// NCCL is not installed, or cannot open a socket.
    pub fn new_group() -> Result<[u8; 128], String> {
        Nccl::load()?.unique_id()
    }
}

/// This process's place in a group.
pub struct Collective {
    communicator: Communicator,
    stream: Arc<CudaStream>,
    computed: CudaEvent,
    summed: CudaEvent,
}

impl Collective {
    /// Joins a group; returns when all its processes have.
    ///
    /// # Errors
    /// What NCCL or the driver says.
    pub fn join(context: &Arc<CudaContext>, member: Membership) -> Result<Self, String> {
        let nccl = Nccl::load()?;
        let said = |error: DriverError| format!("the driver says {error}");
        context.bind_to_thread().map_err(said)?;
        let Shard { rank, ranks } = member.shard;
        Ok(Self {
            communicator: nccl.join(member.group, rank, ranks)?,
            stream: context.new_stream().map_err(said)?,
            computed: context.new_event(None).map_err(said)?,
            summed: context.new_event(None).map_err(said)?,
        })
    }

    /// Starts to sum `len` f32 after what `after` has been given so far.
    ///
    /// # Safety
    /// They are within one allocation that lives until the sum is done.
    pub unsafe fn start(&self, after: &CudaStream, at: Address, len: usize) -> Outcome<()> {
        self.computed.record(after).map_err(fault)?;
        self.stream.wait(&self.computed).map_err(fault)?;
        let stream = self.stream.cu_stream().cast();
        // SAFETY: the caller vouches for the memory.
        unsafe { self.communicator.sum(at as *mut _, len, stream) }.map_err(Fault::Other)
    }

    /// What `before` is given next waits for all sums.
    pub fn finish(&self, before: &CudaStream) -> Outcome<()> {
        self.summed.record(&self.stream).map_err(fault)?;
        before.wait(&self.summed).map_err(fault)
    }

    /// What went wrong in NCCL's own threads since the group was joined.
    pub fn check(&self) -> Outcome<()> {
        self.communicator.check().map_err(Fault::Other)
    }
}

fn fault(error: DriverError) -> Fault {
    Fault::Other(format!("the driver says {error}"))
}
