//! Ending all processes when one has failed.
//!
//! A process that waits for the sum of gradients in NCCL waits for ever once another one is gone, and
//! nothing wakes it: so a thread a worker watches, and ends the first process where that does not
//! end by itself.

use super::GroupError;
use super::message::Reply;
use super::wire::Listener;
use crate::train::stop::exit_at_once;
use std::io;
use std::process::Child;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// How long the first process may take to notice by itself that a worker has failed.
const NOTICE: Duration = Duration::from_secs(3);
/// How long it waits for a worker's account after something of its own has failed.
const ACCOUNT: Duration = Duration::from_secs(2);
/// How long an orderly exit may take.
const EXIT: Duration = Duration::from_secs(3);

/// The first failure of a worker.
#[derive(Default)]
pub(super) struct Failure {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Workers may end: nobody waits for them any more.
    ending: bool,
    error: Option<GroupError>,
    /// Whether the first process knows, and ends.
    noticed: bool,
}

impl Failure {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// From now on workers may end.
    pub fn end(&self) {
        self.state().ending = true;
    }

    /// Notes a failure; whether it is the first.
    fn note(&self, error: GroupError) -> bool {
        let mut state = self.state();
        let first = !state.ending && state.error.is_none();
        if first {
            state.error = Some(error);
            self.changed.notify_all();
        }
        first
    }

    /// The worker's failure that something in the first process was due to, if it was. The caller is
    /// to end the process with it.
    pub fn notice(&self) -> Option<GroupError> {
        let waiting = |state: &mut State| state.error.is_none();
        let waited = self
            .changed
            .wait_timeout_while(self.state(), ACCOUNT, waiting);
        let (mut state, _) = waited.unwrap_or_else(|e| e.into_inner());
        state.noticed = state.error.is_some();
        self.changed.notify_all();
        state.error.clone()
    }

    fn is_noticed(&self) -> bool {
        let waiting = |state: &mut State| !state.noticed && !state.ending;
        let waited = self
            .changed
            .wait_timeout_while(self.state(), NOTICE, waiting);
        let (state, _) = waited.unwrap_or_else(|e| e.into_inner());
        state.noticed || state.ending
    }
}

/// Hands on a worker's replies until it ends. Where it ends before its time, so does this process.
pub(super) fn watch(
    device: String,
    listener: Listener,
    replies: Sender<Reply>,
    child: Arc<Mutex<Child>>,
    failure: Arc<Failure>,
) {
    let mut said = None;
    let heard = listener.listen(|reply| match reply {
        Reply::Failed(reason) => said = Some(reason),
        // Not wanted any more where this process is about to end.
        other => drop(replies.send(other)),
    });
    let reason = said.unwrap_or_else(|| ending(&child, heard));
    let error = GroupError::Worker { device, reason };
    let first = failure.note(error.clone());
    // Whoever waits for a reply goes on.
    drop(replies);
    if first && !failure.is_noticed() {
        toeplite_terminal::tell(format_args!("error: {error}"));
        exit_at_once(1);
    }
}

/// How a worker ended that did not say why.
fn ending(child: &Mutex<Child>, heard: io::Result<()>) -> String {
    let begin = Instant::now();
    while begin.elapsed() < ACCOUNT / 2 {
        let mut child = child.lock().unwrap_or_else(|e| e.into_inner());
        if let Ok(Some(status)) = child.try_wait() {
            return format!("it ended without a word ({status})");
        }
        drop(child);
        thread::sleep(Duration::from_millis(10));
    }
    match heard {
        Ok(()) => "it closed its socket".to_owned(),
        Err(error) => format!("its messages cannot be read: {error}"),
    }
}

/// Ends the process with status 1 if it has not ended by itself in a while.
pub(super) fn exit_soon() {
    thread::spawn(|| {
        thread::sleep(EXIT);
        exit_at_once(1);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(device: &str) -> GroupError {
        GroupError::Worker {
            device: device.to_owned(),
            reason: "it broke".to_owned(),
        }
    }

    #[test]
    fn the_first_failure_is_told() {
        let failure = Failure::default();
        assert!(failure.note(error("cuda:1")));
        assert!(!failure.note(error("cuda:2")));
        let told = failure.notice().unwrap().to_string();
        assert!(
            told.contains("cuda:1") && told.contains("it broke"),
            "{told}"
        );
        assert!(failure.is_noticed());
    }

    #[test]
    fn workers_may_end_once_all_is_done() {
        let failure = Failure::default();
        failure.end();
        assert!(!failure.note(error("cuda:1")));
        assert!(failure.notice().is_none());
    }
}
