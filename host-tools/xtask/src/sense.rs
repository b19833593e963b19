//! `cargo xtask sense`: recordings of a sensor through the sensor example on an emulated device, and through the same code here.

use anyhow::{Context, Result, ensure};
use clap::Parser;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;
use std::{env, fs};
use toeplite_checkpoint::Sensor;
use xtask::boards::{Board, NAMES};
use xtask::model::{Storage, convert, toeplite};
use xtask::report::Report;
use xtask::sensor::{self, Seen, Settings, Stream, Watched};
use xtask::{firmware, paths, qemu, setup};

/// Of one run of the firmware: hours of samples take long.
const LIMIT: Duration = Duration::from_secs(3600);

/// Tells activities apart in a sensor's recordings on an emulated device, and checks that the host does the same.
///
/// The checkpoint is converted as the guide says: `--tolerance 0.02`, and `--contract fixed` for cores without an FPU.
///
/// Several recordings are streamed one after the other. Where the folders that they lie in are called as classes, it says how long
/// after its start each was noticed.
#[derive(Parser)]
pub struct Sense {
    /// Recordings: csv files whose first line names the channels, with an integer a channel in each other line.
    #[arg(required = true)]
    recordings: Vec<PathBuf>,
    /// The board.
    #[arg(long, default_value = NAMES[0], value_parser = NAMES)]
    board: String,
    /// Checkpoint of a classifier of a sensor's frames, with front_end.json [default: the bundled `activity`].
    #[arg(long)]
    checkpoint: Option<PathBuf>,
    /// Runs no device: what the host sees, which is the same.
    #[arg(long)]
    host: bool,
    /// Frames from one decision to the next.
    #[arg(long, default_value_t = Settings::default().every)]
    every: usize,
    /// Frames after which what was seen counts half.
    #[arg(long, default_value_t = Settings::default().half_life)]
    half_life: f32,
    /// Share of a new decision in the smoothed posteriors.
    #[arg(long, default_value_t = Settings::default().tracker.smoothing)]
    smoothing: f32,
    /// Smoothed posterior from which on an activity is the current one.
    #[arg(long, default_value_t = Settings::default().tracker.threshold)]
    threshold: f32,
}

impl Sense {
    /// Converts, builds, runs and compares; an error if any of it fails, or the bits differ.
    pub fn run(&self) -> Result<()> {
        ensure!(self.every > 0, "--every must be at least 1");
        let board = Board::named(&self.board)?;
        let checkpoint = self.checkpoint.clone();
        let checkpoint = checkpoint.unwrap_or_else(|| paths::checkpoint("activity"));
        let sensor = sensor::of_checkpoint(&checkpoint)?;
        let stream = Stream::read(&self.recordings, &sensor)?;
        let settings = self.settings();
        // what lies where the example looks for its model is the user's
        let into = paths::output().join("sense").join(&board.name);
        let storage = Storage::listening(&board);
        let model = convert(&toeplite()?, &checkpoint, storage, &into)?;
        let watched = sensor::watch(&model.files.blob, &sensor, &stream.samples, &settings)?;
        if self.host {
            for event in &watched.events {
                println!("{}", event.line);
            }
        } else {
            setup::everything()?;
            let firmware = firmware::sensor(&board, &model)?;
            let file = env::temp_dir().join(format!("toeplite-samples-{}", std::process::id()));
            fs::write(&file, sensor::bytes(&stream.samples))
                .with_context(|| format!("writing {}", file.display()))?;
            let path = firmware::escaped(file.as_os_str().as_encoded_bytes());
            let arguments = format!("samples={path} {}", settings.arguments());
            let output = qemu::run(&firmware, &arguments, LIMIT, |piece| {
                // Events are to be seen as they come; a closed terminal does not matter.
                let _ = std::io::stdout()
                    .write_all(piece)
                    .and_then(|()| std::io::stdout().flush());
            });
            // in the way of nobody, if it stays
            let _ = fs::remove_file(&file);
            check(&Report::parse(&output?.success()?.stdout), &watched)?;
        }
        if let Some(seen) = stream.seen(&watched.events, &sensor.classes) {
            print(&seen, &sensor);
        }
        Ok(())
    }

    fn settings(&self) -> Settings {
        let mut settings = Settings {
            every: self.every,
            half_life: self.half_life,
            ..Settings::default()
        };
        settings.tracker.smoothing = self.smoothing;
        settings.tracker.threshold = self.threshold;
        settings
    }
}

fn check(report: &Report, expected: &Watched) -> Result<()> {
    let events = String::from_utf8_lossy(&report.text);
    let lines = expected.events.iter().map(|event| event.line.as_str());
    ensure!(
        events.lines().eq(lines) && report.get("posteriors_hash")? == expected.hash,
        "the host sees something else: {expected:?}"
    );
    println!("the host sees the same, to the bit");
    Ok(())
}

fn print(seen: &[Seen], sensor: &Sensor) {
    println!(
        "\n| recording | activity | seconds | noticed after, s | right, % of the time | wrong events |"
    );
    println!("| --- | --- | ---: | ---: | ---: | ---: |");
    let seconds = |milliseconds: u64| milliseconds as f64 / 1e3;
    let percent = |part: u64, all: u64| 100.0 * part as f64 / all.max(1) as f64;
    for one in seen {
        let delay = one
            .delay
            .map_or("never".to_owned(), |d| format!("{:.1}", seconds(d)));
        println!(
            "| {} | {} | {:.1} | {delay} | {:.0} | {} |",
            one.path.display(),
            sensor.classes[one.class],
            seconds(one.milliseconds),
            percent(one.right, one.milliseconds),
            one.wrong,
        );
    }
    let mut delays: Vec<u64> = seen.iter().filter_map(|one| one.delay).collect();
    delays.sort_unstable();
    let sum = |of: fn(&Seen) -> u64| seen.iter().map(of).sum::<u64>();
    let (all, right) = (sum(|one| one.milliseconds), sum(|one| one.right));
    let middle = delays.get(delays.len() / 2).copied().unwrap_or(0);
    let late = delays.get(delays.len() * 9 / 10).copied().unwrap_or(0);
    println!(
        "\n{} of {} recordings were noticed, half of these within {:.1} s, nine of ten within {:.1} s; \
         right for {:.1} % of {:.0} s; {} wrong events",
        delays.len(),
        seen.len(),
        seconds(middle),
        seconds(late),
        percent(right, all),
        seconds(all),
        sum(|one| one.wrong as u64),
    );
}
