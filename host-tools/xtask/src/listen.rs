//! `cargo xtask listen`: recordings through the keyword example on emulated devices, and through the same code here.

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread;
use toeplite_checkpoint::{AnyFrontEnd, FrontEnd};
use xtask::boards::{Board, NAMES};
use xtask::keyword::{self, Settings};
use xtask::model::{Model, Storage, convert, toeplite};
use xtask::recordings::{self, Checked, LIMIT, Listener};
use xtask::report::Report;
use xtask::{firmware, paths, qemu, setup};

/// `--board` that stands for [`CORES`].
const ALL: &str = "all";
/// A Cortex-M4F, an M55 and an M0.
const CORES: [&str; 3] = ["mps2-an386", "mps3-an547", "microbit"];

/// Spots keywords in wav files on emulated devices, and checks that the host hears the same.
///
/// The checkpoint is converted as the guide says: `--tolerance 0.02`, and `--contract fixed` for cores without an FPU.
///
/// Of one recording on one board the events are printed as they come; of more there is a table: how many recordings have the
/// same events and posteriors on the device as on the host, to the bit. The exit status is 0 if all have.
#[derive(Parser)]
#[command(after_help = "\
Examples:
  cargo xtask listen word.wav --checkpoint runs/keywords/best
  cargo xtask listen keywords/test --limit 100 --board all       on a Cortex-M4F, an M55 and an M0
  cargo xtask listen keywords/streams/test --board microbit --json

With --json {checkpoint, same, boards}, each board {board, core, recordings, same, events, seconds, instructions_per_second,
ram_bytes, posteriors_hash, heard}; heard has an object a recording, with difference where the device hears something else.")]
pub struct Listen {
    /// Recordings, or folders of them: 16-bit integers, one channel, the model's sampling rate.
    #[arg(required = true)]
    wavs: Vec<PathBuf>,
    /// The board; all: a Cortex-M4F, an M55 and an M0.
    #[arg(long, default_value = NAMES[0], value_parser = [&NAMES[..], &[ALL]].concat())]
    board: String,
    /// Checkpoint of a classifier of frames, with front_end.json [default: the bundled `keywords`].
    #[arg(long)]
    checkpoint: Option<PathBuf>,
    /// Most recordings, evenly spaced over all of them [default: all].
    #[arg(long, value_name = "N")]
    limit: Option<NonZero<usize>>,
    /// Seconds of silence after each recording: words that are cut close are noticed after their end.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    pause: f64,
    /// Recordings heard at a time [default: one for each processor].
    #[arg(long, value_name = "N")]
    jobs: Option<NonZero<usize>>,
    /// Frames from one decision to the next.
    #[arg(long, default_value_t = Settings::default().every)]
    every: usize,
    /// Frames after which what was heard counts half.
    #[arg(long, default_value_t = Settings::default().half_life)]
    half_life: f32,
    /// Smoothed share of decisions for a word from which on one is heard.
    #[arg(long, default_value_t = Settings::default().detector.threshold)]
    threshold: f32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    let parsed = text.parse().ok();
    let seconds = parsed.filter(|seconds| (0.0..=60.0).contains(seconds));
    seconds.ok_or_else(|| "expected 0 to 60 seconds".into())
}

impl Listen {
    /// Converts, builds, runs and compares; an error if any of it fails, or the bits differ.
    pub fn run(&self) -> Result<()> {
        let files = recordings::wav_files(&self.wavs)?;
        let files = recordings::some_of(files, self.limit.map(NonZero::get));
        let checkpoint = self.checkpoint.clone();
        let checkpoint = checkpoint.unwrap_or_else(|| paths::checkpoint("keywords"));
        let Some(AnyFrontEnd::Sound(front_end)) = AnyFrontEnd::of_checkpoint(&checkpoint)? else {
            bail!(
                "{} has no front_end.json of sounds: it is no checkpoint of `toeplite-train` on recordings' features; name one by --checkpoint",
                checkpoint.display()
            )
        };
        // What cannot be heard is told before anything is built.
        for file in &files {
            keyword::samples(file, front_end.config.rate)?;
        }
        let files = match self.pause > 0.0 {
            true => {
                let folder = paths::output().join("recordings");
                recordings::with_pause(&files, front_end.config.rate, self.pause, &folder)?
            }
            false => files,
        };
        setup::quietly()?;
        match &files[..] {
            [file] if self.board != ALL && !self.json => self.follow(file, &checkpoint, &front_end),
            _ => self.check(&files, &checkpoint, &front_end),
        }
    }

    /// Prints what is heard in a recording as it comes.
    fn follow(&self, file: &Path, checkpoint: &Path, front_end: &FrontEnd) -> Result<()> {
        let board = Board::named(&self.board)?;
        let samples = keyword::samples(file, front_end.config.rate)?;
        let settings = self.settings();
        let model = model(checkpoint, &board)?;
        let expected = keyword::listen(&model.files.blob, front_end, &samples, &settings)?;
        let firmware = firmware::keyword(&board, &model)?;
        let wav = std::path::absolute(file).context("finding the recording")?;
        let wav = firmware::escaped(wav.as_os_str().as_encoded_bytes());
        let arguments = format!("wav={wav} {}", settings.arguments());
        let output = qemu::run(&firmware, &arguments, LIMIT, |piece| {
            // Events are to be seen as they come; a closed terminal does not matter.
            let _ = std::io::stdout()
                .write_all(piece)
                .and_then(|()| std::io::stdout().flush());
        })?;
        let report = Report::parse(&output.success()?.stdout);
        if let Some(difference) = recordings::difference(&report, &expected) {
            anyhow::bail!("{difference}");
        }
        println!("the host hears the same, to the bit");
        Ok(())
    }

    /// Tells how many recordings are heard as on the host.
    fn check(&self, files: &[PathBuf], checkpoint: &Path, front_end: &FrontEnd) -> Result<()> {
        let boards = match self.board.as_str() {
            ALL => CORES.to_vec(),
            board => vec![board],
        };
        let mut heard = Vec::new();
        for name in boards {
            let board = Board::named(name)?;
            let checked = self.check_on(&board, files, checkpoint, front_end)?;
            heard.push((board, checked));
        }
        let differ: usize = heard.iter().map(|(_, checked)| differing(checked)).sum();
        if self.json {
            let boards = heard
                .iter()
                .map(|(board, checked)| of_board(board, checked));
            let all = json!({ "checkpoint": checkpoint, "same": differ == 0, "boards": boards.collect::<Vec<_>>() });
            println!("{}", serde_json::to_string_pretty(&all)?);
        } else {
            print_table(&heard);
        }
        ensure!(
            differ == 0,
            "{differ} recordings are heard otherwise than on the host"
        );
        Ok(())
    }

    fn check_on(
        &self,
        board: &Board,
        files: &[PathBuf],
        checkpoint: &Path,
        front_end: &FrontEnd,
    ) -> Result<Vec<Checked>> {
        let model = model(checkpoint, board)?;
        let firmware = firmware::keyword(board, &model)?;
        let settings = self.settings();
        let listener = Listener {
            firmware: &firmware,
            blob: &model.files.blob,
            front_end,
            settings: &settings,
        };
        let processors = || thread::available_parallelism().map_or(1, NonZero::get);
        let jobs = self.jobs.map_or_else(processors, NonZero::get);
        let (name, all) = (&board.name, files.len());
        let shown = std::io::stderr().is_terminal();
        let checked = recordings::check(listener, files, jobs, |done| {
            if shown {
                eprint!("\r{name}: {done} of {all} recordings");
            }
        });
        if shown {
            eprintln!();
        }
        checked
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

/// Converts for a board into a folder of its own: what lies where the example looks for its model is the user's.
fn model(checkpoint: &Path, board: &Board) -> Result<Model> {
    let into = paths::output().join("listen").join(&board.name);
    convert(&toeplite()?, checkpoint, Storage::listening(board), &into)
}

fn differing(checked: &[Checked]) -> usize {
    checked
        .iter()
        .filter(|one| one.difference.is_some())
        .count()
}

/// Figures of all recordings on a board: instructions are those of a second of all audio together.
struct Sums {
    events: usize,
    milliseconds: u64,
    instructions_per_second: u64,
    ram_bytes: u64,
}

impl Sums {
    fn of(checked: &[Checked]) -> Self {
        let milliseconds: u64 = checked.iter().map(|one| one.milliseconds).sum();
        let instructions = checked
            .iter()
            .map(|one| one.instructions_per_second * one.milliseconds);
        Self {
            events: checked.iter().map(|one| one.events.len()).sum(),
            milliseconds,
            instructions_per_second: instructions.sum::<u64>() / milliseconds.max(1),
            ram_bytes: checked.iter().map(|one| one.ram_bytes).max().unwrap_or(0),
        }
    }
}

fn of_board(board: &Board, checked: &[Checked]) -> Value {
    let sums = Sums::of(checked);
    json!({
        "board": board.name,
        "core": board.core,
        "recordings": checked.len(),
        "same": checked.len() - differing(checked),
        "events": sums.events,
        "seconds": sums.milliseconds as f64 / 1000.0,
        "instructions_per_second": sums.instructions_per_second,
        "ram_bytes": sums.ram_bytes,
        "posteriors_hash": recordings::hash(checked),
        "heard": checked,
    })
}

fn print_table(heard: &[(Board, Vec<Checked>)]) {
    println!(
        "| board | core | recordings | the same bits | events | seconds | instructions a second | RAM, bytes | hash of all posteriors |"
    );
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |");
    for (board, checked) in heard {
        let sums = Sums::of(checked);
        println!(
            "| {} | {} | {} | {} | {} | {:.1} | {} | {} | {} |",
            board.name,
            board.core,
            checked.len(),
            checked.len() - differing(checked),
            sums.events,
            sums.milliseconds as f64 / 1000.0,
            sums.instructions_per_second,
            sums.ram_bytes,
            recordings::hash(checked),
        );
    }
    for (board, checked) in heard {
        for one in checked {
            if let Some(difference) = &one.difference {
                println!("{}: {}: {difference}", board.name, one.recording.display());
            }
        }
    }
}
