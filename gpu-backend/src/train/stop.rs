//! Ending a run from outside: the first signal finishes the step and writes a checkpoint.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Signals this soon after the first are the same wish: `timeout` sends one to the process and one to
/// its group.
const ECHO: Duration = Duration::from_secs(1);

/// Ends the process at once: without the exit handlers of libraries, of which CUDA's wait for work on
/// the device, which may never end. Files are renamed into place or absent, so none is half-written.
pub fn exit_at_once(code: i32) -> ! {
    signal_hook::low_level::exit(code)
}

/// A wish to stop, shared between the run and whoever wishes.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks the run to stop; whether it had been asked before.
    pub fn ask(&self) -> bool {
        self.0.swap(true, Ordering::SeqCst)
    }

    /// Whether the run was asked to stop.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Makes SIGINT, SIGTERM and SIGHUP (on Windows Ctrl-C) ask this run to stop; another one later
    /// ends the process at once, which loses the steps since the last checkpoint and nothing else.
    ///
    /// # Errors
    /// Handlers are set already, or the system refuses.
    pub fn on_signals(&self) -> Result<(), ctrlc::Error> {
        let stop = self.clone();
        let mut first = None;
        ctrlc::set_handler(move || {
            let asked = *first.get_or_insert_with(Instant::now);
            if !stop.ask() {
                toeplite_terminal::tell(
                    "stopping after this step and a checkpoint; again to end at once",
                );
            } else if asked.elapsed() > ECHO {
                exit_at_once(130);
            }
        })
    }
}
