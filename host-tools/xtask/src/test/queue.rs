//! Work done side by side: on every core a job, of those that wait the longest first.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Something to do, and how long it takes compared to others.
struct Job<'a> {
    weight: u32,
    work: Work<'a>,
}

/// Does a job; may add further jobs.
type Work<'a> = Box<dyn FnOnce(&Queue<'a>) + Send + 'a>;

/// Jobs that wait. More may be added until it is closed, and by the jobs themselves.
pub struct Queue<'a> {
    state: Mutex<State<'a>>,
    changed: Condvar,
}

struct State<'a> {
    waiting: Vec<Job<'a>>,
    closed: bool,
}

impl<'a> Queue<'a> {
    /// Without jobs.
    pub fn new() -> Self {
        Self {
            state: Mutex::new(State {
                waiting: Vec::new(),
                closed: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// Adds a job; of those that wait, the one of the largest weight is next.
    pub fn add(&self, weight: u32, work: impl FnOnce(&Self) + Send + 'a) {
        let work = Box::new(work);
        self.state().waiting.push(Job { weight, work });
        self.changed.notify_one();
    }

    /// Does the jobs, `workers` at a time, while `producer` adds more; returns what that returned, when all jobs
    /// are done.
    pub fn work<R>(&self, workers: usize, producer: impl FnOnce() -> R) -> R {
        thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    while let Some(job) = self.next() {
                        (job.work)(self);
                    }
                });
            }
            // Closed whatever happens: the workers would wait for ever.
            let _closed = Closes(self);
            producer()
        })
    }

    /// The longest job that waits; waits for one; none after the end.
    fn next(&self) -> Option<Job<'a>> {
        let mut state = self.state();
        loop {
            let longest = state.waiting.iter().enumerate();
            if let Some((index, _)) = longest.max_by_key(|(_, job)| job.weight) {
                return Some(state.waiting.swap_remove(index));
            }
            if state.closed {
                return None;
            }
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn state(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes the queue when it is dropped.
struct Closes<'q, 'a>(&'q Queue<'a>);

impl Drop for Closes<'_, '_> {
    fn drop(&mut self) {
        self.0.state().closed = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::Queue;
    use std::sync::Mutex;

    #[test]
    fn the_longest_that_waits_is_next_and_jobs_add_jobs() {
        let order = Mutex::new(Vec::new());
        let note = |name| order.lock().unwrap().push(name);
        let queue = Queue::new();
        queue.add(1, |_| note("short"));
        queue.add(5, |jobs| {
            note("long");
            jobs.add(3, |_| note("added"));
        });
        queue.add(2, |_| note("middle"));
        // One worker, which begins when all jobs wait.
        assert_eq!(queue.work(1, || 7), 7);
        assert_eq!(*order.lock().unwrap(), ["long", "added", "middle", "short"]);
    }

    #[test]
    fn nothing_is_left_behind() {
        let done = Mutex::new(0);
        let queue = Queue::new();
        queue.work(3, || {
            for weight in 0..100 {
                queue.add(weight, |_| *done.lock().unwrap() += 1);
            }
        });
        assert_eq!(*done.lock().unwrap(), 100);
    }
}
