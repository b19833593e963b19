//! `toeplite-train data windows`: recordings of a sensor as the frames that a device will compute of them.

use super::eval::positive;
use super::features::replace;
use crate::data::{Copies, Windowing, scaled_by};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use toeplite_checkpoint::Sensor;
use toeplite_clips::{SensorClip, SensorRecordings, sensor_of_windows};
use toeplite_terminal as output;

/// Turn recordings of a sensor into windows of the frames that a device computes of them, to train on.
///
/// Recordings are csv files: a first line that names the channels, then a line a sample, an integer from -32768 to 32767 a channel. What stands
/// before the first _ of a file's name is the subject. Frames are made by the crate toeplite-sensor, which firmware runs, with the same bits:
/// means of --average samples, less a channel's mean, over its deviation. The file is replaced when all of it is made; the same recordings give the same bytes.
#[derive(Args)]
#[command(after_help = "\
Examples:
  toeplite-train data windows recordings --out data/train.safetensors --rate 50 --average 2 --frames 100 --hop 25 --leave-out 3,7
  toeplite-train data windows recordings --out data/test.safetensors --like data/train.safetensors --hop 25 --only 3,7
  toeplite-train data windows recordings --out data/train.safetensors --rate 50 --frames 200 --copies 7 --turn 25 --speed 0.2

Train on the file with data.kind = \"frames\", model.classifier.frame_dim as many as channels, and train.length as many as --frames.")]
pub struct WindowsCmd {
    /// A folder with one folder of csv files a class.
    recordings: PathBuf,
    /// The file to write, .safetensors.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Samples a second of the recordings.
    #[arg(long, value_name = "HZ", required_unless_present = "like")]
    rate: Option<u32>,
    /// Samples that are one frame [default: 1].
    #[arg(long, value_name = "N", conflicts_with = "like")]
    average: Option<u32>,
    /// Frames of a window.
    #[arg(long, value_name = "N", required_unless_present = "like", value_parser = positive)]
    frames: Option<usize>,
    /// Frames from one window's start to the next one's [default: those of a window].
    #[arg(long, value_name = "N", value_parser = positive)]
    hop: Option<usize>,
    /// Rate, frames, scales and classes of this file, which `data windows` made: that of the training for all others.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rate", "frames"])]
    like: Option<PathBuf>,
    /// Subjects without whom it is made.
    #[arg(
        long,
        value_name = "SUBJECTS",
        value_delimiter = ',',
        conflicts_with = "only"
    )]
    leave_out: Vec<String>,
    /// Subjects of whom alone it is made.
    #[arg(long, value_name = "SUBJECTS", value_delimiter = ',')]
    only: Vec<String>,
    /// Changed copies of each recording beside it, to train on.
    #[arg(long, value_name = "N", default_value = "0")]
    copies: usize,
    /// Degrees by which copies are turned at most: another fit of the sensor. Channels are axes, three a sensor.
    #[arg(long, value_name = "DEGREES", default_value = "0", value_parser = degrees)]
    turn: f64,
    /// Share by which copies are slower or faster at most.
    #[arg(long, value_name = "X", default_value = "0", value_parser = share)]
    speed: f64,
    /// Decides the copies.
    #[arg(long, value_name = "S", default_value = "1")]
    seed: u64,
    /// Print what was made as JSON.
    #[arg(long)]
    json: bool,
}

impl WindowsCmd {
    /// Makes the file.
    ///
    /// # Errors
    /// What went wrong with a recording or the file.
    pub fn run(self) -> Result<ExitCode> {
        let like = self.like.as_deref().map(sensor_of_windows).transpose()?;
        let classes = like.as_ref().map(|sensor| sensor.classes.clone());
        let recordings = SensorRecordings::open(&self.recordings, classes)?;
        let clips = self.chosen(recordings.load()?)?;
        let sensor = match like {
            Some(sensor) => self.as_trained(sensor, &recordings)?,
            None => self.measured(&recordings, &clips)?,
        };
        if let Err(e) = sensor.valid() {
            output::tell(format_args!("error: {}", e.message()));
            return Ok(ExitCode::from(2));
        }
        let frames = sensor.frames.context("windows have frames")?;
        let windowing = Windowing {
            frames,
            hop: self.hop.unwrap_or(frames),
            copies: Copies {
                count: self.copies,
                turn: self.turn,
                speed: self.speed,
            },
            seed: self.seed,
        };
        let made = windowing.windows(&sensor, &clips)?;
        let mut about = sensor.to_json();
        about["hop"] = json!(windowing.hop);
        about["made_by"] = concat!("toeplite-train ", env!("CARGO_PKG_VERSION")).into();
        replace(&self.out, &made.file(&about))
            .with_context(|| format!("cannot write {}", self.out.display()))?;
        let [windows, frames, channels] = made.shape;
        if self.json {
            output::json_line(&json!({
                "file": self.out, "recordings": clips.len(), "windows": windows, "about": about,
            }))?;
        } else {
            let (classes, out) = (sensor.classes.len(), self.out.display());
            output::line(format!(
                "{windows} windows of {count} recordings and {classes} classes, {frames} frames of {channels} numbers each: {out}",
                count = clips.len(),
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The recordings of the subjects that are asked for.
    fn chosen(&self, clips: Vec<SensorClip>) -> Result<Vec<SensorClip>> {
        let is = |clip: &SensorClip, name: &String| clip.subject.as_ref() == Some(name);
        for name in self.only.iter().chain(&self.leave_out) {
            if !clips.iter().any(|clip| is(clip, name)) {
                bail!(
                    "no recording is of subject {name:?}: file names begin with the subject and _, as in {name}_1.csv"
                );
            }
        }
        let named = |clip: &SensorClip, names: &[String]| names.iter().any(|name| is(clip, name));
        let chosen = clips.into_iter().filter(|clip| {
            (self.only.is_empty() || named(clip, &self.only)) && !named(clip, &self.leave_out)
        });
        Ok(chosen.collect())
    }

    fn as_trained(&self, sensor: Sensor, recordings: &SensorRecordings) -> Result<Sensor> {
        let names: Vec<_> = sensor.channels.iter().map(|c| c.name.as_str()).collect();
        let found = &recordings.channels;
        ensure!(
            names == *found,
            "{} has the channels {}, trained were {}",
            self.recordings.display(),
            found.join(", "),
            sensor.names()
        );
        Ok(sensor)
    }

    fn measured(&self, recordings: &SensorRecordings, clips: &[SensorClip]) -> Result<Sensor> {
        // 0 is refused with the sensor
        let average = self.average.unwrap_or(1);
        Ok(Sensor {
            rate: self
                .rate
                .context("--rate says how many samples a second there are")?,
            average,
            channels: scaled_by(&recordings.channels, clips, average.max(1))?,
            classes: recordings.classes.clone(),
            frames: self.frames,
        })
    }
}

fn degrees(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|d| (0.0..=180.0).contains(d));
    number.ok_or_else(|| "0 to 180 degrees are expected".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|x| (0.0..=0.9).contains(x));
    number.ok_or_else(|| "0 to 0.9 is expected".to_owned())
}
