//! `cargo xtask listen`: a recording through the keyword example on an emulated device, and through the same code here.

use anyhow::{Context, Result, ensure};
use clap::Parser;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toeplite_checkpoint::FrontEnd;
use xtask::boards::{Board, F32, NAMES};
use xtask::keyword::{self, Heard, Settings};
use xtask::model::{Model, Storage, convert, toeplite};
use xtask::report::Report;
use xtask::{firmware, paths, qemu, setup};

/// Of one run of the firmware: an hour of audio in software floats would take longer.
const LIMIT: Duration = Duration::from_secs(3600);

/// Spots keywords in a wav file on an emulated device, and checks that the host hears the same.
#[derive(Parser)]
pub struct Listen {
    /// The recording: 16-bit integers, one channel, the model's sampling rate.
    wav: PathBuf,
    /// The board.
    #[arg(long, default_value = NAMES[0], value_parser = NAMES)]
    board: String,
    /// Checkpoint of a classifier of frames, with front_end.json [default: the bundled `keywords`].
    #[arg(long)]
    checkpoint: Option<PathBuf>,
    /// Frames from one decision to the next.
    #[arg(long, default_value_t = Settings::default().every)]
    every: usize,
    /// Frames after which what was heard counts half.
    #[arg(long, default_value_t = Settings::default().half_life)]
    half_life: f32,
    /// Smoothed posterior from which on a keyword is heard.
    #[arg(long, default_value_t = Settings::default().detector.threshold)]
    threshold: f32,
}

impl Listen {
    /// Converts, builds, runs and compares; an error if any of it fails, or the bits differ.
    pub fn run(&self) -> Result<()> {
        setup::everything()?;
        let board = Board::named(&self.board)?;
        let checkpoint = self.checkpoint.clone();
        let checkpoint = checkpoint.unwrap_or_else(|| paths::checkpoint("keywords"));
        let front_end = FrontEnd::of_checkpoint(&checkpoint)?.with_context(|| {
            format!(
                "{} has no front_end.json: it is no checkpoint of `toeplite-train` on recordings' features; name one by --checkpoint",
                checkpoint.display()
            )
        })?;
        let samples = keyword::samples(&self.wav, front_end.config.rate)?;
        let settings = self.settings();
        let model = model(&checkpoint, &board)?;
        let expected = keyword::listen(&model.files.blob, &front_end, &samples, &settings)?;
        let firmware = firmware::keyword(&board, &model)?;
        let wav = std::path::absolute(&self.wav).context("finding the recording")?;
        let wav = firmware::escaped(wav.as_os_str().as_encoded_bytes());
        let arguments = format!("wav={wav} {}", settings.arguments());
        let output = qemu::run(&firmware, &arguments, LIMIT, |piece| {
            // Events are to be seen as they come; a closed terminal does not matter.
            let _ = std::io::stdout()
                .write_all(piece)
                .and_then(|()| std::io::stdout().flush());
        })?;
        check(&Report::parse(&output.success()?.stdout), &expected)
    }

    fn settings(&self) -> Settings {
        let mut settings = Settings {
            every: self.every,
            half_life: self.half_life,
            ..Settings::default()
        };
        settings.detector.threshold = self.threshold;
        settings
    }
}

/// Converts to where the example looks for its model.
fn model(checkpoint: &Path, board: &Board) -> Result<Model> {
    let into = paths::firmware().join("keyword/model");
    convert(
        &toeplite()?,
        checkpoint,
        Storage::int8(F32, board.core),
        &into,
    )
}

fn check(report: &Report, expected: &Heard) -> Result<()> {
    let events = String::from_utf8_lossy(&report.text);
    let events: Vec<_> = events.lines().collect();
    ensure!(
        events == expected.events && report.get("posteriors_hash")? == expected.hash,
        "the host hears something else: {expected:?}"
    );
    println!("the host hears the same, to the bit");
    Ok(())
}
