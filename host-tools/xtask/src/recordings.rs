//! Many recordings through the keyword example, on the host and on an emulated device: the same bits, or which differ.

use crate::firmware::{Firmware, escaped};
use crate::keyword::{self, Heard, Settings};
use crate::qemu;
use crate::report::Report;
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use toeplite::LogitsHash;
use toeplite_checkpoint::FrontEnd;

/// Of one run of the firmware: an hour of audio in software floats would take longer.
pub const LIMIT: Duration = Duration::from_secs(3600);

/// The wav files among `paths`, and those in their folders and these folders' folders, in order of their names.
///
/// # Errors
/// A folder cannot be read, or there is no wav file at all.
pub fn wav_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        match path.is_dir() {
            true => gather(path, &mut files)?,
            false => files.push(path.clone()),
        }
    }
    ensure!(
        !files.is_empty(),
        "no wav files in {}",
        paths
            .iter()
            .map(|path| path.display().to_string())
            .collect::<Vec<_>>()
            .join(", ")
    );
    Ok(files)
}

fn gather(folder: &Path, to: &mut Vec<PathBuf>) -> Result<()> {
    let list = || {
        let entries = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
        entries.collect::<std::io::Result<Vec<_>>>()
    };
    let mut entries = list().with_context(|| format!("cannot read {}", folder.display()))?;
    entries.sort();
    for path in entries {
        let is_wav = path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("wav"));
        if path.is_dir() {
            gather(&path, to)?;
        } else if is_wav {
            to.push(path);
        }
    }
    Ok(())
}

/// Copies in `folder` that go on for so many seconds of silence, as a microphone does when a word has been said.
///
/// # Errors
/// A recording cannot be read, or a copy be written.
pub fn with_pause(
    files: &[PathBuf],
    rate: u32,
    seconds: f64,
    folder: &Path,
) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let copy = |(index, file): (usize, &PathBuf)| {
        let mut samples = keyword::samples(file, rate)?;
        samples.resize(samples.len() + (seconds * f64::from(rate)) as usize, 0);
        // two folders may have recordings of the same name
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let to = folder.join(format!("{index:05}-{name}"));
        let write = || {
            let mut wav = hound::WavWriter::create(&to, spec)?;
            samples.iter().try_for_each(|x| wav.write_sample(*x))?;
            wav.finalize()
        };
        write().with_context(|| format!("cannot write {}", to.display()))?;
        Ok(to)
    };
    files.iter().enumerate().map(copy).collect()
}

/// At most `limit` of them, evenly spaced: folders are often sorted by what is said.
pub fn some_of(files: Vec<PathBuf>, limit: Option<usize>) -> Vec<PathBuf> {
    let count = limit.unwrap_or(usize::MAX).min(files.len());
    let all = files.len();
    (0..count).map(|i| files[i * all / count].clone()).collect()
}

/// A model in firmware, and what its host needs to hear the same.
#[derive(Clone, Copy, Debug)]
pub struct Listener<'a> {
    /// The keyword example with the model in flash.
    pub firmware: &'a Firmware,
    /// The model.
    pub blob: &'a Path,
    /// What it was trained with.
    pub front_end: &'a FrontEnd,
    /// When a keyword is heard.
    pub settings: &'a Settings,
}

/// What a device made of a recording, beside what the host did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The file.
    pub recording: PathBuf,
    /// Its milliseconds.
    pub milliseconds: u64,
    /// Events, a line each, on the host.
    pub events: Vec<String>,
    /// Decisions, on the host.
    pub decisions: usize,
    /// Hash of logits and smoothed posteriors of all decisions, on the host.
    pub posteriors_hash: String,
    /// What the device made of it otherwise, if it did: its own events and hash, or why it ended.
    pub difference: Option<String>,
    /// Instructions a second of audio on the device; 0 where it did not say.
    pub instructions_per_second: u64,
    /// Variables and the deepest stack, in bytes; 0 where the device did not say.
    pub ram_bytes: u64,
}

/// Hears `recordings` on the device and on the host, `jobs` at a time. `progress` is told how many are done.
///
/// # Errors
/// A recording cannot be read or has another sampling rate; QEMU cannot be started. What the firmware makes of a recording is
/// no error but in the result.
pub fn check(
    listener: Listener<'_>,
    recordings: &[PathBuf],
    jobs: usize,
    progress: impl Fn(usize) + Sync,
) -> Result<Vec<Checked>> {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        let mut found = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(recording) = recordings.get(index) else {
                return Ok(found);
            };
            found.push((index, check_one(listener, recording)?));
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
        }
    };
    let parts: Result<Vec<Vec<_>>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(work)).collect();
        let joined = workers.into_iter().map(|worker| worker.join());
        let joined =
            joined.map(|part| part.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        joined.collect()
    });
    let mut found: Vec<_> = parts?.into_iter().flatten().collect();
    found.sort_by_key(|(index, _)| *index);
    Ok(found.into_iter().map(|(_, checked)| checked).collect())
}

fn check_one(listener: Listener<'_>, recording: &Path) -> Result<Checked> {
    let Listener {
        firmware,
        blob,
        front_end,
        settings,
    } = listener;
    let rate = front_end.config.rate;
    let samples = keyword::samples(recording, rate)?;
    let heard = keyword::listen(blob, front_end, &samples, settings)?;
    let file = std::path::absolute(recording).context("finding the recording")?;
    let file = escaped(file.as_os_str().as_encoded_bytes());
    let arguments = format!("wav={file} {}", settings.arguments());
    let output = qemu::run(firmware, &arguments, LIMIT, |_| ())?;
    let report = output.success().map(|output| Report::parse(&output.stdout));
    let number = |key| {
        let report = report.as_ref().ok();
        report.map_or(0, |report| report.number(key).unwrap_or(0))
    };
    Ok(Checked {
        recording: recording.to_owned(),
        milliseconds: samples.len() as u64 * 1000 / u64::from(rate),
        instructions_per_second: number("instructions_per_second"),
        ram_bytes: number("ram_bytes"),
        difference: match &report {
            Ok(report) => difference(report, &heard),
            Err(error) => Some(error.to_string()),
        },
        events: heard.events,
        decisions: heard.decisions,
        posteriors_hash: heard.hash,
    })
}

/// How a device's report differs from what the host heard, if it does.
pub fn difference(report: &Report, heard: &Heard) -> Option<String> {
    let text = String::from_utf8_lossy(&report.text);
    let events: Vec<_> = text.lines().collect();
    let value = |key| report.get(key).unwrap_or("none");
    let [hash, decisions] = ["posteriors_hash", "decisions"].map(value);
    let same =
        events == heard.events && hash == heard.hash && decisions == heard.decisions.to_string();
    (!same).then(|| {
        format!(
            "the device hears {events:?} in {decisions} decisions of hash {hash}, the host {:?} in {} of {}",
            heard.events, heard.decisions, heard.hash
        )
    })
}

/// One hash of the posteriors of all recordings, on the host: the same for all cores.
pub fn hash(checked: &[Checked]) -> String {
    let mut all = LogitsHash::new();
    for one in checked {
        let number = u64::from_str_radix(&one.posteriors_hash, 16).unwrap_or(0);
        let halves = [(number >> 32) as u32, number as u32];
        all.update(&halves.map(f32::from_bits));
    }
    format!("{:016x}", all.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_are_found_in_folders_of_folders() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("b")).unwrap();
        for name in ["c.wav", "b/2.WAV", "b/1.wav", "b/notes.txt"] {
            fs::write(at(name), "").unwrap();
        }
        let found = wav_files(&[at("c.wav"), folder.path().to_owned()]).unwrap();
        assert_eq!(found, ["c.wav", "b/1.wav", "b/2.WAV", "c.wav"].map(at));
        let some = |limit| some_of(found.clone(), limit).len();
        assert_eq!([some(None), some(Some(3)), some(Some(9))], [4, 3, 4]);
        assert_eq!(
            some_of(found.clone(), Some(2)),
            ["c.wav", "b/2.WAV"].map(at)
        );
        fs::create_dir(at("empty")).unwrap();
        let empty = wav_files(&[at("empty")]).unwrap_err();
        assert!(empty.to_string().contains("no wav files"), "{empty}");
    }

    #[test]
    fn a_bit_makes_a_difference() {
        let heard = Heard {
            events: vec!["0.500 s: one 71%".into()],
            frames: 25,
            decisions: 12,
            hash: "0123456789abcdef".into(),
        };
        let said = |events: &str, decisions: usize, hash: &str| {
            let text = format!("{events}\n---\ndecisions: {decisions}\nposteriors_hash: {hash}\n");
            difference(&Report::parse(text.as_bytes()), &heard)
        };
        assert_eq!(said("0.500 s: one 71%", 12, "0123456789abcdef"), None);
        assert!(said("0.500 s: one 71%", 12, "0123456789abcdee").is_some());
        assert!(said("0.500 s: one 71%", 11, "0123456789abcdef").is_some());
        assert!(said("0.500 s: two 71%", 12, "0123456789abcdef").is_some());
        assert!(said("", 12, "0123456789abcdef").is_some());
        let silent = difference(&Report::parse(b""), &heard).unwrap();
        assert!(silent.contains("none"), "{silent}");
    }

    #[test]
    fn the_hash_of_all_depends_on_each() {
        let of = |hashes: &[&str]| {
            let checked = hashes.iter().map(|hash| Checked {
                recording: PathBuf::new(),
                milliseconds: 0,
                events: Vec::new(),
                decisions: 0,
                posteriors_hash: (*hash).into(),
                difference: None,
                instructions_per_second: 0,
                ram_bytes: 0,
            });
            hash(&checked.collect::<Vec<_>>())
        };
        let (a, b) = ("0123456789abcdef", "0123456789abcdee");
        assert_eq!(of(&[a, b]), of(&[a, b]));
        assert!(of(&[a, b]) != of(&[b, a]) && of(&[a]) != of(&[b]) && of(&[]) != of(&[a]));
    }
}
