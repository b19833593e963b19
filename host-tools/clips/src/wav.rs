//! Wav files as samples from -1 to 1.

use super::{ClipError, Result};
use hound::{SampleFormat, WavReader};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// A sound: one channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Sound {
    /// Samples a second.
    pub rate: u32,
    /// From -1 to 1.
    pub samples: Vec<f32>,
}

impl Sound {
    /// The samples as a microphone gives them; of samples of 16 bits every one comes back as it was.
    pub fn pcm(&self) -> Vec<i16> {
        self.samples.iter().map(|x| to_pcm(*x)).collect()
    }
}

/// A sample from -1 to 1 in 16 bits; what is louder is cut off.
pub fn to_pcm(sample: f32) -> i16 {
    (sample * 32768.0).round() as i16
}

/// Reads a wav file; several channels become their mean.
///
/// # Errors
/// It cannot be read, or is no wav file of integers or floats.
pub fn read(path: &Path) -> Result<Sound> {
    let file = File::open(path).map_err(ClipError::read(path))?;
    decode(BufReader::new(file), path)
}

/// Reads a wav file from `source`; `path` is named in errors.
///
/// # Errors
/// As [`read`].
pub fn decode(source: impl Read, path: &Path) -> Result<Sound> {
    let wrong = |problem: String| ClipError::Wav {
        path: path.to_owned(),
        problem,
    };
    let damaged = |e: hound::Error| match e {
        // Errors of the reader's own, not the system's, say that the file ends early.
        hound::Error::IoError(cause) if cause.raw_os_error().is_some() => {
            ClipError::read(path)(cause)
        }
        other => wrong(format!(
            "not a wav file that is read: {other}; convert it to 16-bit PCM"
        )),
    };
    let mut reader = WavReader::new(source).map_err(damaged)?;
    let spec = reader.spec();
    let channels = usize::from(spec.channels);
    if channels == 0 || spec.sample_rate == 0 {
        return Err(wrong("it has no channel or no sampling rate".to_owned()));
    }
    let flat: Vec<f32> = match spec.sample_format {
        SampleFormat::Float => reader
            .samples::<f32>()
            .collect::<Result<_, _>>()
            .map_err(damaged)?,
        SampleFormat::Int => {
            if !(1..=32).contains(&spec.bits_per_sample) {
                return Err(wrong(format!("{} bits a sample", spec.bits_per_sample)));
            }
            let full = 2f32.powi(i32::from(spec.bits_per_sample) - 1);
            let samples = reader.samples::<i32>().map(|s| s.map(|s| s as f32 / full));
            samples.collect::<Result<_, _>>().map_err(damaged)?
        }
    };
    if let Some(at) = flat.iter().position(|s| !s.is_finite()) {
        return Err(wrong(format!("sample {at} is {}", flat[at])));
    }
    let mean = |frame: &[f32]| frame.iter().sum::<f32>() / channels as f32;
    Ok(Sound {
        rate: spec.sample_rate,
        samples: flat.chunks_exact(channels).map(mean).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hound::{WavSpec, WavWriter};
    use proptest::prelude::*;

    fn write(path: &Path, channels: u16, samples: &[i16]) {
        let spec = WavSpec {
            channels,
            sample_rate: 8000,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        let mut writer = WavWriter::create(path, spec).unwrap();
        samples
            .iter()
            .for_each(|s| writer.write_sample(*s).unwrap());
        writer.finalize().unwrap();
    }

    #[test]
    fn channels_become_their_mean() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.wav");
        write(&path, 2, &[16384, 0, -32768, -32768]);
        let sound = read(&path).unwrap();
        assert_eq!((sound.rate, &sound.samples[..]), (8000, &[0.25, -1.0][..]));
    }

    #[test]
    fn truncated_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cut.wav");
        write(&path, 1, &[1; 100]);
        let whole = std::fs::read(&path).unwrap();
        for length in [0, 3, 20, 40, whole.len() - 3] {
            std::fs::write(&path, &whole[..length]).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(
                error.contains("cut.wav") && error.contains("PCM"),
                "{error}"
            );
        }
    }

    proptest! {
        #[test]
        fn damaged_files_are_sounds_or_errors(at in 0usize..60, byte: u8, cut in 0usize..80) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a.wav");
            write(&path, 1, &[1; 16]);
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[at] = byte;
            bytes.truncate(bytes.len().min(cut.max(1)));
            std::fs::write(&path, &bytes).unwrap();
            let _ = read(&path);
        }
    }
}
