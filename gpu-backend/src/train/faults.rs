//! Where the process may end between two things that it does to files. In the program this does
//! nothing; tests have the process end at each of these places in turn.

use std::io::{self, Write};

#[cfg(not(test))]
pub(super) fn place() {}

/// Writes everything; a test may end the process when half is written.
pub(super) fn write_all(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let (first, second) = bytes.split_at(if cfg!(test) { bytes.len() / 2 } else { 0 });
    place();
    if !first.is_empty() {
        to.write_all(first)?;
        place();
    }
    to.write_all(second)
}

#[cfg(test)]
pub(super) use test::{ends_at, place};

#[cfg(test)]
mod test {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    thread_local! {
        static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
    }

    /// What flies through a process that ends here: nothing on its way does anything to files.
    struct End;

    pub fn place() {
        match LEFT.get() {
            Some(0) => {
                LEFT.set(None);
                resume_unwind(Box::new(End));
            }
            left => LEFT.set(left.map(|left| left - 1)),
        }
    }

    /// Does the work of a process that ends at its `place`-th place, the first of which is 0; whether
    /// it got there.
    pub fn ends_at(place: u64, process: impl FnOnce()) -> bool {
        LEFT.set(Some(place));
        let ended = catch_unwind(AssertUnwindSafe(process));
        LEFT.set(None);
        match ended {
            Ok(()) => false,
            Err(payload) if payload.is::<End>() => true,
            Err(failure) => resume_unwind(failure),
        }
    }
}
