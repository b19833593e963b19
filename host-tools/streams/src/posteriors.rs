//! Smoothed posteriors of every decision, as a table for other programs.

use super::{Stream, StreamsError};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use toeplite_audio::detect::{Detector, Settings};

/// Writes a CSV file with a row for each decision: the recording, its seconds, the smoothed posterior of each class, all
/// digits. The file takes its name when it is whole.
pub(crate) fn save(
    path: &Path,
    streams: &[Stream],
    classes: &[String],
    settings: Settings,
) -> Result<(), StreamsError> {
    let text = table(streams, classes, settings);
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let write = || {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".making-");
        // as readable as any file, where others are for their owner alone
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(folder.unwrap_or(Path::new(".")))?;
        file.write_all(text.as_bytes())?;
        file.persist(path).map_err(|e| e.error).map(drop)
    };
    write().map_err(StreamsError::io("write", path))
}

fn table(streams: &[Stream], classes: &[String], settings: Settings) -> String {
    let mut text = "recording,seconds".to_owned();
    for class in classes {
        text.push(',');
        text.push_str(&field(class));
    }
    text.push('\n');
    for stream in streams {
        let name = field(&stream.name);
        let mut memory = vec![0.0; classes.len()];
        let mut detector = Detector::new(settings, &mut memory);
        let decisions = stream.decisions.chunks_exact(classes.len());
        for (logits, time) in decisions.zip(&stream.times) {
            detector.push(logits.iter().copied());
            write!(text, "{name},{time:.3}").expect("strings take all");
            for posterior in detector.posteriors() {
                write!(text, ",{posterior}").expect("strings take all");
            }
            text.push('\n');
        }
    }
    text
}

/// As RFC 4180 has it.
fn field(text: &str) -> String {
    match text.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_posteriors_that_a_detector_has() {
        let stream = Stream {
            name: "a,b.wav".to_owned(),
            seconds: 1.0,
            decisions: vec![0.0, 0.0, 50.0, 0.0],
            times: vec![0.105, 0.2050001],
            words: Vec::new(),
        };
        let settings = Settings {
            smoothing: 0.5,
            ..Settings::usual(1)
        };
        let classes = ["no", "a \"b\""].map(String::from);
        let expected = "recording,seconds,no,\"a \"\"b\"\"\"\n\"a,b.wav\",0.105,0.25,0.25\n\"a,b.wav\",0.205,0.625,0.125\n";
        assert_eq!(
            table(std::slice::from_ref(&stream), &classes, settings),
            expected
        );
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.csv");
        save(&path, &[stream], &classes, settings).unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), expected);
        let absent = save(&dir.path().join("absent/p.csv"), &[], &classes, settings);
        assert!(absent.unwrap_err().to_string().contains("cannot write"));
    }
}
