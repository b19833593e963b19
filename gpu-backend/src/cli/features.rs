//! `toeplite-train data features`: recordings as the features that a device will compute of them.

use super::eval::positive;
use anyhow::{Context, Result};
use clap::Args;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tempfile::NamedTempFile;
use toeplite_audio::{Agc, Compression, Config, Pcen};
use toeplite_checkpoint::FrontEnd;
use toeplite_clips::{ClipError, Recordings};
use toeplite_terminal as output;

/// Turn recordings into the features that a device computes of them, to train on.
///
/// The front end is the crate toeplite-audio, which firmware runs, with the same bits: log-mel as it is, or
/// beside a level of the past (--agc, --pcen), so that how loud a recording is does not matter. Recordings shorter than the frames asked for follow silence, of longer ones the first frames count.
/// The file is replaced when all of it is made; the same recordings give the same bytes.
#[derive(Args)]
#[command(after_help = "\
Examples:
  toeplite-train data features recordings/train --out data/train.safetensors --agc --frames 50
  toeplite-train data features recordings/test --out data/test.safetensors --agc --frames 50 --classes no,yes
  toeplite-train data features recordings --out m0.safetensors --integers          as `convert --contract fixed` computes them
  toeplite-train data features recordings --out wide.safetensors --frame 400 --hop 160 --bands 40 --low 100

Train on the file with data.kind = \"frames\", model.classifier.frame_dim as many as bands, and train.length as many as frames. The
firmware's Config has the same rate, frame, hop, bands and edges; --json and the file's metadata say them.")]
pub struct Features {
    /// A folder with one folder of wav files a class.
    recordings: PathBuf,
    /// The file to write, .safetensors.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Samples a second [default: those of the first recording].
    #[arg(long, value_name = "HZ")]
    rate: Option<u32>,
    /// Samples of a frame [default: 25 ms].
    #[arg(long, value_name = "N", value_parser = positive)]
    frame: Option<usize>,
    /// Samples from one frame's start to the next one's [default: 20 ms].
    #[arg(long, value_name = "N", value_parser = positive)]
    hop: Option<usize>,
    /// Triangles on the mel scale.
    #[arg(long, value_name = "N", default_value = "32", value_parser = positive)]
    bands: usize,
    /// Where the first triangle begins.
    #[arg(long, value_name = "HZ", default_value = "60")]
    low: u32,
    /// Where the last triangle ends [default: half the rate, but 7600 at most].
    #[arg(long, value_name = "HZ")]
    high: Option<u32>,
    /// What is added to energies before the logarithm.
    #[arg(
        long,
        value_name = "X",
        default_value = "1e-6",
        conflicts_with = "pcen"
    )]
    floor: f32,
    /// Normalize each band by its level of the past instead of the logarithm (Wang et al. 2017).
    #[arg(long)]
    pcen: bool,
    /// How much of the level PCEN takes away, 0 to 1 [default: 0.98].
    #[arg(long, value_name = "X", requires = "pcen")]
    pcen_gain: Option<f32>,
    /// What PCEN adds before its power [default: 2].
    #[arg(long, value_name = "X", requires = "pcen")]
    pcen_bias: Option<f32>,
    /// PCEN's exponent [default: 0.5].
    #[arg(long, value_name = "X", requires = "pcen")]
    pcen_power: Option<f32>,
    /// Share of a new frame in PCEN's level [default: that of a memory of 0.4 s].
    #[arg(long, value_name = "X", requires = "pcen")]
    pcen_smoothing: Option<f32>,
    /// The logarithm beside a level of the past of all bands together: automatic gain control.
    #[arg(long, conflicts_with_all = ["pcen", "floor"])]
    agc: bool,
    /// Share of that level that hides what is quieter [default: 0.0001].
    #[arg(long, value_name = "X", requires = "agc")]
    agc_floor: Option<f32>,
    /// Share of a new frame in that level [default: that of a memory of 0.4 s].
    #[arg(long, value_name = "X", requires = "agc")]
    agc_smoothing: Option<f32>,
    /// Compute in integers, as models of the contract fixed hear; those of the contract f32 hear floats.
    #[arg(long)]
    integers: bool,
    /// Frames of a clip [default: those of the longest].
    #[arg(long, value_name = "N", value_parser = positive)]
    frames: Option<usize>,
    /// Silence behind recordings shorter than that, at most: data.features.after of a run.
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    after: f64,
    /// Names of the classes by label [default: the folders by name].
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    classes: Option<Vec<String>>,
    /// Print what was made as JSON, and no progress.
    #[arg(long)]
    json: bool,
}

impl Features {
    /// Makes the file.
    ///
    /// # Errors
    /// What went wrong with a recording or the file.
    pub fn run(self) -> Result<ExitCode> {
        let recordings = Recordings::open(&self.recordings, self.classes.clone(), self.rate)?;
        let mut front_end = FrontEnd {
            config: self.config(recordings.rate),
            integers: self.integers,
            classes: recordings.classes.clone(),
            frames: None,
            after: Some(self.after),
        };
        if let Err(e) = front_end.config.check() {
            output::tell(format_args!("error: {}", ClipError::FrontEnd(e)));
            return Ok(ExitCode::from(2));
        }
        let frames = match self.frames {
            Some(frames) => frames,
            None => front_end.config.frames(recordings.longest()?).max(1),
        };
        front_end.frames = Some(frames);
        let bar = match self.json {
            true => ProgressBar::hidden(),
            false => output::progress("features".to_owned(), "clips", recordings.count() as u64),
        };
        let after = (self.after * f64::from(recordings.rate)) as usize;
        let made = recordings.features(&front_end, frames, after, &|more| bar.inc(more));
        bar.finish_and_clear();
        let made = made?;
        let about = about(&front_end);
        replace(&self.out, &made.file(&about))
            .with_context(|| format!("cannot write {}", self.out.display()))?;
        let [clips, frames, bands] = made.shape;
        if self.json {
            output::json_line(&json!({"file": self.out, "clips": clips, "about": about}))?;
        } else {
            let (classes, out) = (recordings.classes.len(), self.out.display());
            output::line(format!(
                "{clips} clips of {classes} classes, {frames} frames of {bands} numbers each: {out}"
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn config(&self, rate: u32) -> Config {
        let usual = Config::speech(rate);
        let (frame, hop) = (
            self.frame.unwrap_or(usual.frame),
            self.hop.unwrap_or(usual.hop),
        );
        let high = self.high.unwrap_or(usual.high);
        let compression = if self.pcen {
            let published = Pcen::published(rate, hop);
            Compression::Pcen(Pcen {
                smoothing: self.pcen_smoothing.unwrap_or(published.smoothing),
                gain: self.pcen_gain.unwrap_or(published.gain),
                bias: self.pcen_bias.unwrap_or(published.bias),
                power: self.pcen_power.unwrap_or(published.power),
                epsilon: published.epsilon,
            })
        } else if self.agc {
            let usual = Agc::speech(rate, hop);
            Compression::Agc(Agc {
                smoothing: self.agc_smoothing.unwrap_or(usual.smoothing),
                floor: self.agc_floor.unwrap_or(usual.floor),
                epsilon: usual.epsilon,
            })
        } else {
            Compression::Log { floor: self.floor }
        };
        usual
            .with_frames(frame, hop)
            .with_bands(self.bands, self.low, high)
            .with_compression(compression)
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|s| (0.0..=60.0).contains(s));
    number.ok_or_else(|| "0 to 60 seconds are expected".to_owned())
}

/// All that decides the features, as beside a checkpoint.
fn about(front_end: &FrontEnd) -> Value {
    let mut about = front_end.to_json();
    about["made_by"] = concat!("toeplite-train ", env!("CARGO_PKG_VERSION")).into();
    about
}

/// Writes a file under another name and puts it into its place; folders around it are made.
pub fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".making-");
    // as readable as any file, where others are for their owner alone
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file: NamedTempFile = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}
