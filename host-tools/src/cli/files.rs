//! Where results go: looked at before any work starts, so that no input is overwritten and no work is
//! done for nothing.

use crate::checkpoint::{CONFIG, MODEL};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A file that a subcommand is to write, and the option that names it.
#[derive(Clone, Copy, Debug)]
pub struct Output<'a> {
    /// The option, as it is typed.
    pub option: &'static str,
    /// What the option was given.
    pub path: &'a Path,
}

/// Why a result cannot go where it was to go.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OutputError {
    /// The folder to write into is not there.
    #[error("{option} {}: the folder {} does not exist: create it, or name another", path.display(), folder.display())]
    NoFolder {
        /// The option.
        option: &'static str,
        /// The file to write.
        path: PathBuf,
        /// Its folder.
        folder: PathBuf,
    },
    /// Nothing can be written into the folder.
    #[error("{option} {}: nothing can be written into the folder {} ({reason}); name another", path.display(), folder.display())]
    NotWritable {
        /// The option.
        option: &'static str,
        /// The file to write.
        path: PathBuf,
        /// Its folder.
        folder: PathBuf,
        /// What the system says.
        reason: std::io::ErrorKind,
    },
    /// The name is a folder's.
    #[error("{option} {}: this is a folder; name a file in it", path.display())]
    IsFolder {
        /// The option.
        option: &'static str,
        /// The folder.
        path: PathBuf,
    },
    /// The file is one that is read.
    #[error("{option} {}: this would overwrite an input ({}); name another file", path.display(), input.display())]
    IsInput {
        /// The option.
        option: &'static str,
        /// The file to write.
        path: PathBuf,
        /// The input, as it was given.
        input: PathBuf,
    },
    /// Two results would go into one file.
    #[error("{} and {} name the same file, {}; each needs its own", options[0], options[1], path.display())]
    SameFile {
        /// The options.
        options: [&'static str; 2],
        /// The file.
        path: PathBuf,
    },
}

/// Checks that every output has a folder that can be written into, and is neither an input nor another output,
/// whatever names and links lead to them.
///
/// # Errors
/// The first [`OutputError`].
pub fn check(outputs: &[Output<'_>], inputs: &[PathBuf]) -> Result<(), OutputError> {
    let mut seen: Vec<(&'static str, PathBuf)> = Vec::new();
    for &Output { option, path } in outputs {
        let place = place(option, path)?;
        let same = |input: &&PathBuf| input.canonicalize().is_ok_and(|input| input == place);
        if let Some(input) = inputs.iter().find(same) {
            return Err(OutputError::IsInput {
                option,
                path: path.into(),
                input: input.clone(),
            });
        }
        if let Some((other, _)) = seen.iter().find(|(_, other)| *other == place) {
            return Err(OutputError::SameFile {
                options: [other, option],
                path: path.into(),
            });
        }
        check_folder(option, path, &place)?;
        seen.push((option, place));
    }
    Ok(())
}

/// Checks that a file can be made beside `place`, as results are before they take their names.
fn check_folder(option: &'static str, path: &Path, place: &Path) -> Result<(), OutputError> {
    let folder = place.parent().unwrap_or(place);
    match tempfile::Builder::new()
        .prefix(".toeplite-")
        .tempfile_in(folder)
    {
        Ok(_) => Ok(()),
        Err(error) => Err(OutputError::NotWritable {
            option,
            path: path.into(),
            folder: folder.into(),
            reason: error.kind(),
        }),
    }
}

/// The files that reading a checkpoint at `path` may read.
pub fn of_checkpoint(path: &Path) -> Vec<PathBuf> {
    if path.is_dir() {
        return vec![path.join(CONFIG), path.join(MODEL)];
    }
    vec![path.into(), path.with_file_name(CONFIG)]
}

/// The absolute path of a file that may not be there yet.
fn place(option: &'static str, path: &Path) -> Result<PathBuf, OutputError> {
    let owned = path.to_path_buf();
    if path.is_dir() {
        return Err(OutputError::IsFolder {
            option,
            path: owned,
        });
    }
    if let Ok(existing) = path.canonicalize() {
        return Ok(existing);
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    match (folder.canonicalize(), path.file_name()) {
        (Ok(parent), Some(name)) if parent.is_dir() => Ok(parent.join(name)),
        _ => Err(OutputError::NoFolder {
            option,
            path: owned,
            folder: folder.into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(outputs: &[(&'static str, &Path)], inputs: &[PathBuf]) -> Result<(), OutputError> {
        let outputs: Vec<_> = outputs
            .iter()
            .map(|&(option, path)| Output { option, path })
            .collect();
        check(&outputs, inputs)
    }

    #[test]
    fn other_names_of_a_file_are_recognised() {
        let folder = tempfile::tempdir().unwrap();
        let (dir, input) = (folder.path(), folder.path().join("model.safetensors"));
        std::fs::write(&input, "x").unwrap();
        std::fs::create_dir(dir.join("sub")).unwrap();
        let inputs = of_checkpoint(dir);
        let detour = dir.join("sub/../model.safetensors");
        let error = checked(&[("-o", &detour)], &inputs).unwrap_err();
        assert!(matches!(error, OutputError::IsInput { .. }), "{error}");
        // Neither of two outputs need be there yet.
        let (a, b) = (dir.join("q.rs"), dir.join("sub/../q.rs"));
        let error = checked(&[("-o", &a), ("--meta", &b)], &inputs).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "-o and --meta name the same file, {}; each needs its own",
                b.display()
            )
        );
        let other = dir.join("sub/q.rs");
        assert_eq!(checked(&[("-o", &a), ("--meta", &other)], &inputs), Ok(()));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real.pt"), folder.path().join("link.pt"));
        std::fs::write(&real, "x").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        for (output, input) in [(&real, &link), (&link, &real)] {
            let error = checked(&[("-o", output)], &of_checkpoint(input)).unwrap_err();
            assert!(matches!(error, OutputError::IsInput { .. }), "{error}");
        }
    }

    #[test]
    fn places_that_cannot_be_written_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("absent/model.toep");
        let error = checked(&[("-o", &missing)], &[]).unwrap_err().to_string();
        assert!(error.contains("absent does not exist"), "{error}");
        if cfg!(target_os = "linux") {
            let error = checked(&[("-o", Path::new("/proc/model.toep"))], &[]).unwrap_err();
            assert!(matches!(error, OutputError::NotWritable { .. }), "{error}");
        }
        let error = checked(&[("-o", folder.path())], &[]).unwrap_err();
        assert!(matches!(error, OutputError::IsFolder { .. }), "{error}");
        // A bare name is in the current folder.
        assert_eq!(checked(&[("-o", Path::new("absent.toep"))], &[]), Ok(()));
    }
}
