//! Compiled kernels, kept on disk.
//!
//! A file is named by a hash of everything that the cubin depends on, and begins with a hash of
//! its content: one that was cut short or damaged is compiled anew.

use super::nvrtc::Nvrtc;
use super::sources::{OPTIONS, SOURCES, complete};
use std::path::Path;
use std::{fs, process, thread};

/// The cubins of all sources, compiled in parallel where the cache does not have them.
///
/// # Errors
/// The compiler's messages.
pub fn cubins(
    nvrtc: &Nvrtc,
    architecture: &str,
    folder: Option<&Path>,
) -> Result<Vec<Vec<u8>>, String> {
    thread::scope(|scope| {
        let compilations: Vec<_> = SOURCES
            .iter()
            .map(|(name, text)| {
                let source = complete(name, text);
                scope.spawn(move || cubin(nvrtc, name, &source, OPTIONS, architecture, folder))
            })
            .collect();
        compilations
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .map_err(|_| "a compilation panicked".to_string())?
            })
            .collect()
    })
}

/// The cubin of one complete source, from the cache if it is there.
///
/// # Errors
/// The compiler's messages.
pub fn cubin(
    nvrtc: &Nvrtc,
    name: &str,
    source: &str,
    options: &[&str],
    architecture: &str,
    folder: Option<&Path>,
) -> Result<Vec<u8>, String> {
    let key = format!(
        "{architecture}|{:?}|{}|{source}",
        nvrtc.version(),
        options.join(" ")
    );
    let stem = name.trim_end_matches(".cu");
    let path =
        folder.map(|folder| folder.join(format!("{stem}-{:016x}.cubin", hash(key.as_bytes()))));
    if let Some(cubin) = path.as_deref().and_then(read) {
        return Ok(cubin);
    }
    let (cubin, _) = nvrtc.compile(name, source, architecture, options)?;
    if let Some(path) = path {
        // Without a cache the next start is slow, not wrong.
        let _ = write(&path, &cubin);
    }
    Ok(cubin)
}

/// The content of a file of the cache, unless it is damaged.
fn read(path: &Path) -> Option<Vec<u8>> {
    let bytes = fs::read(path).ok()?;
    let (head, cubin) = bytes.split_first_chunk::<8>()?;
    (u64::from_le_bytes(*head) == hash(cubin)).then(|| cubin.to_vec())
}

/// Written under another name first: other processes never see half a file.
fn write(path: &Path, cubin: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let temporary = path.with_extension(format!("{}.tmp", process::id()));
    let mut bytes = hash(cubin).to_le_bytes().to_vec();
    bytes.extend_from_slice(cubin);
    fs::write(&temporary, bytes)?;
    fs::rename(&temporary, path)
}

/// FNV-1a over 64 bits: the same in every version of the program.
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::{hash, read, write};
    use std::fs;

    #[test]
    fn damaged_files_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/kernel.cubin");
        assert_eq!(read(&path), None);
        write(&path, b"machine code").unwrap();
        assert_eq!(read(&path).as_deref(), Some(b"machine code".as_slice()));
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(read(&path), None, "cut to {length} bytes");
        }
        let mut wrong = whole.clone();
        wrong[10] ^= 1;
        fs::write(&path, &wrong).unwrap();
        assert_eq!(read(&path), None);
        assert_ne!(hash(b"a"), hash(b"b"));
    }

    #[test]
    fn no_temporary_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("kernel.cubin"), b"code").unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
