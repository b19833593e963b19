//! The checkpoints of a run folder: written whole or not at all, the last few and the best kept.
//!
//! A checkpoint is written into a folder with a temporary name, synced, and renamed: whatever ends
//! the process, a folder called `checkpoint-STEP` is complete. Folders are removed the same way: they
//! lose their name first.

use super::{OptimiserState, Progress, TrainError, faults, state};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use toeplite_checkpoint::{AnyFrontEnd, Checkpoint};

/// Name of the link to the checkpoint with the smallest validation loss.
pub const BEST: &str = "best";

const PREFIX: &str = "checkpoint-";
/// Folders whose names begin so are being written or removed.
const TEMPORARY: &str = ".partial-";
/// Checkpoints whose names begin so make room for a newer one of the same step.
const REPLACED: &str = ".replaced-";

/// The checkpoints of a run folder.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    keep_last: usize,
}

impl Store {
    /// The checkpoints in `folder`, of which the last `keep_last` are kept.
    pub fn new(folder: &Path, keep_last: usize) -> Self {
        Self {
            folder: folder.to_owned(),
            keep_last,
        }
    }

    /// Removes what an interrupted process has left half-written.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn clean(&self) -> Result<(), TrainError> {
        for name in self.names()? {
            let path = self.folder.join(&name);
            if name.starts_with(TEMPORARY) {
                remove(&path)?;
            } else if let Some(name) = name.strip_prefix(REPLACED) {
                let target = self.folder.join(name);
                if target.exists() {
                    remove(&path)?;
                } else {
                    // The process was ended between the two renames.
                    rename(&path, &target).map_err(TrainError::io("write", &target))?;
                }
            }
        }
        Ok(())
    }

    /// Steps of the checkpoints, ascending.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn steps(&self) -> Result<Vec<u64>, TrainError> {
        let names = self.names()?;
        let mut steps: Vec<u64> = names.iter().filter_map(|n| step_of(n)).collect();
        steps.sort_unstable();
        Ok(steps)
    }

    /// Folder of the checkpoint of `step`.
    pub fn path(&self, step: u64) -> PathBuf {
        self.folder.join(name(step))
    }

    /// Step of the best checkpoint.
    pub fn best(&self) -> Option<u64> {
        let target = fs::read_link(self.folder.join(BEST)).ok()?;
        step_of(target.to_str()?)
    }

    /// Writes a checkpoint, with the front end of its data, points `best` to the best one, and removes those that are too many.
    ///
    /// # Errors
    /// [`TrainError::Save`]: it could not be written, and those before it are as they were.
    pub fn save(
        &self,
        checkpoint: &Checkpoint,
        progress: &Progress,
        optimiser: &OptimiserState,
        front_end: Option<&AnyFrontEnd>,
    ) -> Result<(), TrainError> {
        self.save_with(progress.step, progress.best_step, |folder| {
            faults::place();
            checkpoint.save(folder)?;
            if let Some(front_end) = front_end {
                front_end.save(folder)?;
            }
            let path = folder.join(state::TRAINING);
            write_synced(&path, &state::to_bytes(&path, progress, optimiser)?)
        })
    }

    /// [`Store::save`] of whatever `write` puts into the folder that it is given.
    pub(super) fn save_with(
        &self,
        step: u64,
        best: Option<u64>,
        write: impl FnOnce(&Path) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let failed = |cause| TrainError::Save {
            step,
            run: self.folder.clone(),
            cause: Box::new(cause),
        };
        let partial = self.folder.join(format!("{TEMPORARY}{}", name(step)));
        let result = self.write_and_rename(&partial, step, write);
        if result.is_err() {
            // What was written so far takes the room that is missing. If it cannot be removed the
            // first error is still the one to tell.
            let _ = remove(&partial);
        }
        result.map_err(failed)?;
        self.mend_best(best).map_err(failed)?;
        self.prune().map_err(failed)
    }

    fn write_and_rename(
        &self,
        partial: &Path,
        step: u64,
        write: impl FnOnce(&Path) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        remove(partial)?;
        faults::place();
        fs::create_dir(partial).map_err(TrainError::io("create", partial))?;
        write(partial)?;
        sync_folder(partial)?;
        let target = self.path(step);
        // An evaluation that was interrupted and done again comes by here a second time.
        let old = self.folder.join(format!("{REPLACED}{}", name(step)));
        if target.exists() {
            remove(&old)?;
            rename(&target, &old).map_err(TrainError::io("replace", &target))?;
        }
        rename(partial, &target).map_err(TrainError::io("write", &target))?;
        sync_folder(&self.folder)?;
        remove(&old)
    }

    /// Points `best` to the checkpoint of step `best`, or leaves it where that is not known, and says
    /// what it points to: a process may have ended between writing a checkpoint and this. A link to a
    /// checkpoint that somebody has removed is removed too.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn mend_best(&self, best: Option<u64>) -> Result<Option<u64>, TrainError> {
        let linked = self.best();
        let known = best.or(linked);
        let there = known.filter(|step| self.path(*step).is_dir());
        match there {
            Some(step) if linked == there => Ok(Some(step)),
            Some(step) => self.point_best(step).map(|()| Some(step)),
            None => remove(&self.folder.join(BEST)).map(|()| None),
        }
    }

    fn point_best(&self, step: u64) -> Result<(), TrainError> {
        let link = self.folder.join(BEST);
        let partial = self.folder.join(format!("{TEMPORARY}{BEST}"));
        remove(&partial)?;
        faults::place();
        link_folder(Path::new(&name(step)), &partial)
            .map_err(TrainError::io("create", &partial))?;
        rename(&partial, &link).map_err(TrainError::io("write", &link))?;
        sync_folder(&self.folder)
    }

    /// Removes the checkpoints that are too many, which a process that ended left behind.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn prune(&self) -> Result<(), TrainError> {
        let (steps, best) = (self.steps()?, self.best());
        let many = steps.len().saturating_sub(self.keep_last);
        for step in &steps[..many] {
            if Some(*step) != best {
                self.discard(&self.path(*step))?;
            }
        }
        Ok(())
    }

    /// Removes a checkpoint: first its name, so that no half of it is ever taken for a whole.
    fn discard(&self, path: &Path) -> Result<(), TrainError> {
        if !path.exists() {
            return Ok(());
        }
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let doomed = self.folder.join(format!("{TEMPORARY}old-{file}"));
        remove(&doomed)?;
        rename(path, &doomed).map_err(TrainError::io("remove", path))?;
        remove(&doomed)
    }

    /// Reads a checkpoint with its training state.
    ///
    /// # Errors
    /// A file is missing or damaged, or belongs to another step.
    pub fn load(&self, step: u64) -> Result<(Checkpoint, Progress, OptimiserState), TrainError> {
        let folder = self.path(step);
        let checkpoint = Checkpoint::open(&folder)?;
        let path = folder.join(state::TRAINING);
        let bytes = fs::read(&path).map_err(TrainError::io("read", &path))?;
        let (progress, optimiser) = state::from_bytes(&path, &bytes)?;
        if progress.step != step {
            return Err(TrainError::State {
                path,
                problem: format!("it belongs to step {}", progress.step),
            });
        }
        Ok((checkpoint, progress, optimiser))
    }

    fn names(&self) -> Result<Vec<String>, TrainError> {
        let read = || {
            let names = fs::read_dir(&self.folder)?.map(|e| Ok(e?.file_name()));
            names.collect::<std::io::Result<Vec<_>>>()
        };
        let names = read().map_err(TrainError::io("read", &self.folder))?;
        Ok(names
            .into_iter()
            .filter_map(|n| n.into_string().ok())
            .collect())
    }
}

fn name(step: u64) -> String {
    format!("{PREFIX}{step}")
}

/// The step of a checkpoint's name; other notations of the same number are no checkpoints.
fn step_of(text: &str) -> Option<u64> {
    let step = text.strip_prefix(PREFIX)?.parse().ok()?;
    (name(step) == text).then_some(step)
}

/// Removes a file, a link or a folder, if it is there.
fn remove(path: &Path) -> Result<(), TrainError> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(TrainError::io("remove", path)(e)),
    };
    faults::place();
    let removed = if metadata.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    removed.map_err(TrainError::io("remove", path))
}

/// Writes a file and waits until it is on disk.
pub(super) fn write_synced(path: &Path, contents: &[u8]) -> Result<(), TrainError> {
    let write = || {
        faults::place();
        let mut file = File::create(path)?;
        faults::write_all(&mut file, contents)?;
        faults::place();
        file.sync_all()
    };
    write().map_err(TrainError::io("write", path))
}

/// Replaces a file: the old contents or the new are there at every moment.
pub(super) fn replace(path: &Path, contents: &[u8]) -> Result<(), TrainError> {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let partial = path.with_file_name(format!("{TEMPORARY}{file}"));
    write_synced(&partial, contents)?;
    rename(&partial, path).map_err(TrainError::io("write", path))
}

fn rename(from: &Path, to: &Path) -> std::io::Result<()> {
    faults::place();
    fs::rename(from, to)
}

/// Waits until the names in a folder are on disk.
fn sync_folder(path: &Path) -> Result<(), TrainError> {
    // Folders cannot be opened elsewhere; there a rename is as durable as the system makes it.
    if cfg!(unix) {
        let sync = || File::open(path)?.sync_all();
        sync().map_err(TrainError::io("write", path))?;
    }
    Ok(())
}

#[cfg(unix)]
fn link_folder(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(not(unix))]
fn link_folder(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::windows::fs::symlink_dir(target, link)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn full_disk(path: &Path) -> TrainError {
        let cause = std::io::Error::from(std::io::ErrorKind::StorageFull);
        TrainError::io("write", path)(cause)
    }

    fn good(store: &Store, step: u64, best: bool) {
        let write = |folder: &Path| write_synced(&folder.join("x"), &step.to_le_bytes());
        let best = if best { Some(step) } else { store.best() };
        store.save_with(step, best, write).unwrap();
    }

    fn listing(folder: &Path) -> BTreeSet<String> {
        let names = fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().file_name());
        names.map(|n| n.into_string().unwrap()).collect()
    }

    #[test]
    fn last_ones_and_the_best_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path(), 2);
        for (step, best) in [(1, true), (2, true), (3, false), (4, false), (10, false)] {
            good(&store, step, best);
        }
        assert_eq!(store.steps().unwrap(), [2, 4, 10]);
        assert_eq!(store.best(), Some(2));
        good(&store, 11, true);
        assert_eq!(store.steps().unwrap(), [10, 11]);
        good(&store, 12, false);
        assert_eq!(store.steps().unwrap(), [11, 12]);
        assert_eq!(
            fs::read(dir.path().join("best/x")).unwrap(),
            11u64.to_le_bytes()
        );
        assert_eq!(listing(dir.path()).len(), 3);
    }

    #[test]
    fn failed_write_leaves_the_old_checkpoint_and_no_rubbish() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path(), 1);
        good(&store, 5, true);
        for step in [5, 6] {
            let write = |folder: &Path| {
                write_synced(&folder.join("half"), b"half")?;
                Err(full_disk(&folder.join("x")))
            };
            let error = store.save_with(step, Some(step), write).unwrap_err();
            let text = error.to_string();
            assert!(
                text.contains("make room") && text.contains("--resume"),
                "{text}"
            );
            assert_eq!(store.steps().unwrap(), [5]);
            assert_eq!(
                fs::read(dir.path().join("best/x")).unwrap(),
                5u64.to_le_bytes()
            );
            assert_eq!(listing(dir.path()).len(), 2);
        }
    }

    #[test]
    fn folder_that_cannot_be_written_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Store::new(&file, 1)
            .save_with(1, None, |_| Ok(()))
            .unwrap_err();
        assert!(error.to_string().contains("file"), "{error}");
    }

    #[test]
    fn leftovers_of_a_killed_process_are_cleaned() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path(), 3);
        good(&store, 5, false);
        good(&store, 6, false);
        let make = |name: &str| {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join("x"), "old").unwrap();
        };
        make(".partial-checkpoint-7");
        make(".partial-old-checkpoint-4");
        make(".replaced-checkpoint-6");
        // Killed between the two renames: 8 has lost its name and gets it back.
        make(".replaced-checkpoint-8");
        make("checkpoint-007");
        assert_eq!(store.steps().unwrap(), [5, 6]);
        store.clean().unwrap();
        assert_eq!(store.steps().unwrap(), [5, 6, 8]);
        assert_eq!(
            fs::read(store.path(6).join("x")).unwrap(),
            6u64.to_le_bytes()
        );
        assert_eq!(listing(dir.path()).len(), 4);
        good(&store, 7, true);
        assert_eq!(store.steps().unwrap(), [6, 7, 8]);
    }

    #[test]
    fn link_to_the_best_is_mended() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path(), 3);
        let link = dir.path().join(BEST);
        for step in [1, 2, 3] {
            good(&store, step, step == 2);
        }
        // Lost, pointing elsewhere, as it should be, not known: 2 each time.
        fs::remove_file(&link).unwrap();
        assert_eq!(store.mend_best(Some(2)).unwrap(), Some(2));
        store.point_best(1).unwrap();
        for known in [Some(2), Some(2), None] {
            assert_eq!(store.mend_best(known).unwrap(), Some(2));
            assert_eq!(store.best(), Some(2));
        }
        fs::remove_dir_all(store.path(2)).unwrap();
        assert_eq!(store.mend_best(Some(2)).unwrap(), None);
        assert!(fs::symlink_metadata(&link).is_err());
        assert_eq!(listing(dir.path()).len(), 2);
    }

    #[test]
    fn same_step_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path(), 3);
        good(&store, 5, false);
        let write = |folder: &Path| write_synced(&folder.join("x"), b"new");
        store.save_with(5, Some(5), write).unwrap();
        assert_eq!(fs::read(dir.path().join("best/x")).unwrap(), b"new");
        assert_eq!(listing(dir.path()).len(), 2);
    }
}
