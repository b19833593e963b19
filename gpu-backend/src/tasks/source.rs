//! Packages that datasets are made from, as their package managers give them.

use super::{Result, TaskError};
use flate2::read::GzDecoder;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use tar::Archive;

/// Largest file that is read: an archive can claim any size.
const MAX_FILE: u64 = 1 << 27;
/// Folders below the one that is given in which files are looked for.
const DEPTH: usize = 8;

/// A package of a package manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: &'static str,
    /// The command that gets it.
    pub command: &'static str,
}

impl Package {
    /// The contents of all `wanted` files, each the end of a path, from the package at `path`: the file
    /// that the command leaves, or a folder that it was unpacked to.
    ///
    /// # Errors
    /// There is no `path`, it cannot be read, or lacks a file.
    pub fn read(
        &self,
        path: Option<&Path>,
        wanted: &[String],
    ) -> Result<BTreeMap<String, Vec<u8>>> {
        let path = path.ok_or(TaskError::NoSource {
            package: self.name,
            command: self.command,
        })?;
        let mut found = BTreeMap::new();
        if path.is_dir() {
            walk(path, DEPTH, wanted, &mut found)?;
        } else {
            let file = File::open(path).map_err(TaskError::io("read", path))?;
            unpack(file, wanted, &mut found).map_err(|cause| TaskError::Archive {
                path: path.to_owned(),
                cause,
            })?;
        }
        match wanted.iter().find(|name| !found.contains_key(*name)) {
            None => Ok(found),
            Some(missing) => Err(TaskError::Missing {
                package: self.name,
                command: self.command,
                path: path.to_owned(),
                file: missing.clone(),
            }),
        }
    }
}

/// Which of the `wanted` files lies at `path`.
fn which<'a>(path: &Path, wanted: &'a [String]) -> Option<&'a String> {
    wanted.iter().find(|name| path.ends_with(name))
}

fn unpack(file: File, wanted: &[String], found: &mut BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    for entry in Archive::new(GzDecoder::new(file)).entries()? {
        let entry = entry?;
        let path = entry.path()?.into_owned();
        if let Some(name) = which(&path, wanted) {
            let mut bytes = Vec::new();
            entry.take(MAX_FILE).read_to_end(&mut bytes)?;
            found.insert(name.clone(), bytes);
        }
    }
    Ok(())
}

fn walk(
    folder: &Path,
    depth: usize,
    wanted: &[String],
    found: &mut BTreeMap<String, Vec<u8>>,
) -> Result<()> {
    let entries = fs::read_dir(folder).map_err(TaskError::io("read", folder))?;
    for entry in entries {
        let path = entry.map_err(TaskError::io("read", folder))?.path();
        if let Some(name) = which(&path, wanted) {
            let bytes = fs::read(&path).map_err(TaskError::io("read", &path))?;
            found.insert(name.clone(), bytes);
        } else if depth > 0 && path.is_dir() && !path.is_symlink() {
            walk(&path, depth - 1, wanted, found)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    const PACKAGE: Package = Package {
        name: "x of y",
        command: "y get x",
    };

    #[test]
    fn archives_and_folders_are_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("package/data");
        fs::create_dir_all(&inside).unwrap();
        fs::write(inside.join("1.txt"), "one").unwrap();
        fs::write(inside.join("2.txt"), "two").unwrap();
        let archive = dir.path().join("x.tgz");
        let gz = GzEncoder::new(File::create(&archive).unwrap(), Compression::fast());
        let mut tar = tar::Builder::new(gz);
        tar.append_dir_all("package", dir.path().join("package"))
            .unwrap();
        tar.into_inner().unwrap().finish().unwrap();
        let wanted = ["data/1.txt".to_owned(), "data/2.txt".to_owned()];
        for path in [&archive, &dir.path().join("package")] {
            let files = PACKAGE.read(Some(path), &wanted).unwrap();
            assert_eq!(files["data/2.txt"], b"two");
        }
        let text = |path: Option<&Path>, wanted: &[String]| {
            PACKAGE.read(path, wanted).unwrap_err().to_string()
        };
        assert!(text(None, &wanted).contains("`y get x`"));
        assert!(text(Some(&archive), &["a.b".to_owned()]).contains("no file a.b"));
        let damaged = text(Some(&inside.join("1.txt")), &wanted);
        assert!(damaged.contains("cannot be unpacked"), "{damaged}");
        assert!(text(Some(&dir.path().join("none")), &wanted).contains("none"));
    }
}
