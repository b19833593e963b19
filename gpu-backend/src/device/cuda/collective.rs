//! Sums over the processes that train together, by NCCL: one process a GPU.
//!
//! Sums run on a stream of their own, so that they go on beside the backward pass. Both streams
//! wait for each other by events, which a recording keeps.

use super::machine::{Address, Fault, Outcome};
use cudarc::driver::{CudaContext, CudaEvent, CudaStream, DriverError};
use cudarc::nccl::{result, sys};
use std::ffi::c_void;
use std::sync::Arc;

/// Names this process among those that train together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Number of this process, from 0.
    pub rank: usize,
    /// Processes.
    pub world: usize,
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
        load()?;
        let id = result::get_uniqueid().map_err(|error| format!("NCCL says {error:?}"))?;
        Ok(id.internal.map(|c| c as u8))
    }
}

/// NCCL's library, loaded for good.
fn load() -> Result<(), String> {
    if super::hardware::load(&["libnccl.so.2", "libnccl.so"]) {
        return Ok(());
    }
    Err("NCCL (libnccl.so.2) is not found; LD_LIBRARY_PATH may name its folder".into())
}

/// This process's place in a group.
pub struct Collective {
    communicator: sys::ncclComm_t,
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
        load()?;
        let said = |error: DriverError| format!("the driver says {error}");
        context.bind_to_thread().map_err(said)?;
        let id = sys::ncclUniqueId {
            internal: member.group.map(|b| b as std::ffi::c_char),
        };
        let mut communicator: sys::ncclComm_t = std::ptr::null_mut();
        let (world, rank) = (member.world as i32, member.rank as i32);
        // SAFETY: `communicator` outlives the call, the context is current on this thread.
        unsafe { result::comm_init_rank(&mut communicator, world, id, rank) }
            .map_err(|error| format!("NCCL says {error:?}"))?;
        Ok(Self {
            communicator,
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
        let pointer = at as *mut c_void;
        // SAFETY: the caller vouches for the memory; NCCL sums in place.
        let done = unsafe {
            result::all_reduce(
                pointer,
                pointer,
                len,
                sys::ncclDataType_t::ncclFloat32,
                sys::ncclRedOp_t::ncclSum,
                self.communicator,
                self.stream.cu_stream().cast(),
            )
        };
        done.map(drop)
            .map_err(|error| Fault::Other(format!("NCCL says {error:?}")))
    }

    /// What `before` is given next waits for all sums.
    pub fn finish(&self, before: &CudaStream) -> Outcome<()> {
        self.summed.record(&self.stream).map_err(fault)?;
        before.wait(&self.summed).map_err(fault)
    }
}

impl Drop for Collective {
    fn drop(&mut self) {
        let _ = self.stream.synchronize();
        // SAFETY: no sum runs any more, and none is started after this.
        let _ = unsafe { result::comm_abort(self.communicator) };
    }
}

fn fault(error: DriverError) -> Fault {
    Fault::Other(format!("the driver says {error}"))
}
