//! The workers, as the first process sees them.

use super::message::{Job, Join, Order, Reply};
use super::watch::{self, Failure};
use super::wire::{self, Link};
use super::{GroupError, Meeting, Member};
use crate::data::Shard;
use crate::train::ModelError;
use std::io;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// How long workers may take to end when they are told to.
const END: Duration = Duration::from_secs(10);

/// Processes that this one has started; they end with it.
pub(super) struct Crew {
    workers: Vec<Worker>,
    failure: Arc<Failure>,
    nccl: Option<[u8; 128]>,
    dismissed: bool,
}

struct Worker {
    device: String,
    link: Arc<Link>,
    replies: Receiver<Reply>,
    child: Arc<Mutex<Child>>,
}

impl Crew {
    /// Starts a worker for each device but the first, and gives it its job.
    ///
    /// # Errors
    /// [`GroupError::Start`].
    pub fn start(meeting: &Meeting, job: &Job) -> Result<Self, GroupError> {
        let mut crew = Self {
            workers: Vec::new(),
            failure: Arc::default(),
            nccl: meeting.nccl,
            dismissed: false,
        };
        let ranks = meeting.devices.len();
        for (rank, device) in meeting.devices.iter().enumerate().skip(1) {
            let name = format!("{device} (number {rank})");
            let worker = Worker::start(&name, &crew.failure);
            let worker = worker.map_err(GroupError::start(&name))?;
            let join = Join {
                shard: Shard { rank, ranks },
                device: *device,
                nccl: meeting.nccl.map(Vec::from),
                job: job.clone(),
            };
            let told = worker.link.say(&Order::Join(Box::new(join)));
            crew.workers.push(worker);
            told.map_err(GroupError::start(&name))?;
        }
        Ok(crew)
    }

    /// This process's place among them.
    pub fn member(&self) -> Member {
        let links = self.workers.iter().map(|worker| Arc::clone(&worker.link));
        let shard = Shard {
            rank: 0,
            ranks: self.workers.len() + 1,
        };
        Member::new(shard, self.nccl, links.collect())
    }

    /// Tells every worker what `order` says for its number.
    ///
    /// # Errors
    /// The failure of a worker.
    pub fn tell(&self, order: impl Fn(usize) -> Order) -> Result<(), ModelError> {
        let numbered = self.workers.iter().enumerate();
        let mut told = numbered.map(|(index, worker)| worker.link.say(&order(index + 1)));
        let told = told.try_for_each(|told| told);
        self.or_failure(told.map_err(ModelError::from))
    }

    /// A reply of every worker, as `read` understands it; each is called with the worker's name.
    ///
    /// # Errors
    /// The failure of a worker.
    pub fn replies<T>(
        &self,
        mut read: impl FnMut(&str, Reply) -> Result<T, ModelError>,
    ) -> Result<Vec<T>, ModelError> {
        let reply = |worker: &Worker| {
            let reply = self.or_failure(worker.replies.recv().map_err(ModelError::from))?;
            read(&worker.device, reply)
        };
        self.workers.iter().map(reply).collect()
    }

    /// What a result of this process's own is due to: where a worker has failed, that.
    ///
    /// # Errors
    /// The failure of a worker, or else the result's.
    pub fn or_failure<T>(&self, result: Result<T, ModelError>) -> Result<T, ModelError> {
        result.map_err(|own| self.failure.notice().map_or(own, ModelError::from))
    }

    /// Tells the workers to end; dropping the crew then waits until they have.
    pub fn dismiss(&mut self) {
        self.failure.end();
        for worker in &self.workers {
            // One that has ended already is as good.
            let _ = worker.link.say(&Order::End);
        }
        self.dismissed = true;
    }
}

impl Drop for Crew {
    /// Ends what still runs, at once unless it was told to end.
    fn drop(&mut self) {
        self.failure.end();
        let begin = Instant::now();
        let gone = |worker: &Worker| !matches!(worker.child().try_wait(), Ok(None));
        while self.dismissed && begin.elapsed() < END && !self.workers.iter().all(gone) {
            thread::sleep(Duration::from_millis(5));
        }
        for worker in &self.workers {
            let mut child = worker.child();
            // Both fail where it has ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Worker {
    fn start(name: &str, failure: &Arc<Failure>) -> io::Result<Self> {
        let (link, listener, input) = wire::to_child()?;
        let mut command = Command::new(std::env::current_exe()?);
        // The standard output is this process's alone.
        command.arg("worker").stdin(input).stdout(io::stderr());
        apart(&mut command);
        let child = Arc::new(Mutex::new(command.spawn()?));
        let (sender, replies) = channel();
        let watched = (name.to_owned(), Arc::clone(&child), Arc::clone(failure));
        thread::spawn(move || {
            let (name, child, failure) = watched;
            watch::watch(name, listener, sender, child, failure);
        });
        Ok(Self {
            device: name.to_owned(),
            link: Arc::new(link),
            replies,
            child,
        })
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// Keeps the terminal's signals from a worker: Ctrl-C is for the first process, which then writes a
/// checkpoint.
fn apart(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    #[cfg(not(unix))]
    let _ = command;
}
