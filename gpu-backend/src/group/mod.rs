//! Several processes of one machine that train one network, one a GPU.
//!
//! The process that the user starts is number 0. It starts the others (`toeplite-train worker`, see
//! [`worker`]), each with a socket as its standard input, and tells them what to do: a [`Group`] is
//! a network that does its own share of every step and has the others do theirs. Only the first
//! process writes files, decides what is due and minds signals.
//!
//! Every process reads the data itself, and computes the gradients of its portions of the step
//! ([`Shard`]); the device sums them over all processes ([`Device::reduce_start`]): GPUs by NCCL,
//! CPUs by the sockets. From equal gradients all processes then compute equal parameters, so that
//! nothing else needs to be exchanged. What is measured is sent to the first process, which adds it
//! up in the order of the processes.
//!
//! N processes with M micro-batches compute what one process with M * N computes, but for the order
//! in which gradients are added.
//!
//! A process that loses the others ends: workers when their socket is closed, which the system does
//! when the first process ends, however it does; the first one when a worker ends.
//!
//! [`Device::reduce_start`]: crate::device::Device::reduce_start

mod bench;
mod crew;
mod error;
mod leader;
mod message;
mod star;
mod watch;
mod wire;
pub mod worker;

pub use bench::bench;
pub use error::GroupError;
pub use leader::Group;

use crate::config::DeviceChoice;
use crate::data::Shard;
use crate::device::cpu::Exchange;
use std::sync::Arc;

/// Where processes that train together compute, and how they find each other.
#[derive(Clone, Debug)]
pub struct Meeting {
    /// One device a process.
    pub devices: Vec<DeviceChoice>,
    /// NCCL's identity of the group, on GPUs.
    pub nccl: Option<[u8; 128]>,
}

/// One of the processes that train together.
#[derive(Clone, Debug)]
pub struct Member {
    /// Which one.
    pub shard: Shard,
    /// How it sums with the others.
    pub sums: SumsBy,
}

/// How processes sum.
#[derive(Clone, Debug)]
pub enum SumsBy {
    /// By NCCL, in the group with this identity.
    Nccl([u8; 128]),
    /// By the processes' own sockets.
    Sockets(Arc<dyn Exchange>),
}

impl Member {
    fn new(shard: Shard, nccl: Option<[u8; 128]>, links: Vec<Arc<wire::Link>>) -> Self {
        let sums = match nccl {
            Some(id) => SumsBy::Nccl(id),
            None => SumsBy::Sockets(Arc::new(star::Star::new(shard, links))),
        };
        Self { shard, sums }
    }
}
