//! `--clips` and what goes with it: what classifiers are judged by.

mod compare;
mod convert;
mod eval;
mod front_end;

pub use compare::compare;
pub use convert::{ConvertOption, ConvertOptionError, GoesBy, check_convert};
pub use eval::{Answers, evaluate, print_json, print_table};
pub use front_end::{FoundFrontEnd, FrontEndArgs};

use super::input;
use crate::blob::AnyModel;
use crate::checkpoint::{AnyFrontEnd, Config, FRONT_END, FrontEnd};
use crate::classify::Cause;
use crate::reference::mix::Mix;
use crate::reference::{Input, Network, Real};
use crate::stream;
use anyhow::{Result, bail};
use clap::Args;
use std::path::{Path, PathBuf};
use thiserror::Error;
use toeplite_clips::{ClipSet, Clips, Reads};

/// Clips with a class each.
#[derive(Args)]
pub struct ClipArgs {
    /// Clips with a class each, of a classifier. Of tokens: a safetensors file with `tokens`, `lengths` and `labels`,
    /// or a folder with one folder of texts a class; of frames: an npz or safetensors file with `features` and
    /// `labels`, or a folder with one folder of wav files a class. As `toeplite-train` reads them.
    #[arg(long, value_name = "PATH", group = "sequence")]
    clips: Option<PathBuf>,
    /// Names of the classes by label, as data.classes of training [default: the folders' by name, or the labels].
    #[arg(
        long,
        value_name = "NAME,...",
        value_delimiter = ',',
        requires = "clips"
    )]
    classes: Option<Vec<String>>,
    /// Of wav files, for networks of raw samples: samples from one frame's start to the next one's, as data.hop of training.
    #[arg(long, value_name = "N", requires = "clips", value_parser = input::positive, allow_negative_numbers = true)]
    hop: Option<usize>,
    /// Of wav files, for networks of raw samples: samples a second, as data.rate of training [default: those of the first
    /// file].
    #[arg(long, value_name = "N", requires = "clips", value_parser = clap::value_parser!(u32).range(1..), allow_negative_numbers = true)]
    rate: Option<u32>,
    /// Of wav files, for networks of features: seconds of silence behind recordings shorter than a clip, at most, as
    /// data.features.after of training [default: what front_end.json says, else 0].
    #[arg(long, value_name = "SECONDS", requires = "clips", value_parser = seconds)]
    after: Option<f64>,
    /// Most clips, evenly spaced over all of them [default: all].
    #[arg(long, value_name = "N", requires = "clips", value_parser = input::positive, allow_negative_numbers = true)]
    limit: Option<usize>,
}

/// Data or options that do not belong to what is judged.
#[derive(Debug, Error)]
pub enum ClipArgsError {
    /// A text for a classifier.
    #[error(
        "{} is a classifier: it has one answer for a whole sequence, and no bits per byte; give clips with a class each, \
         --clips PATH", subject.display()
    )]
    NeedsClips {
        /// The checkpoint or model.
        subject: PathBuf,
    },
    /// Clips for a language model.
    #[error(
        "{} is a language model: it has no classes for --clips; give a text, --text FILE, or --tokens FILE", subject.display()
    )]
    NeedsText {
        /// The checkpoint or model.
        subject: PathBuf,
    },
    /// Sounds without the one thing that neither they nor the classifier tell.
    #[error(
        "{} is a folder of wav files, and nothing says what becomes of them before the classifier hears them. If it was trained on \
         features (data.kind = \"wav-features\", or a file of `toeplite-train data features`): --front-end FILE, the {FRONT_END} \
         of its checkpoint. If on samples (data.kind = \"wav-folders\"): --hop N, data.hop in the run.toml of the training",
        clips.display()
    )]
    NeedsHop {
        /// The folder.
        clips: PathBuf,
    },
    /// Recordings for a classifier of which nobody says what it hears of them.
    #[error(
        "nothing says what {} hears of a recording: --front-end FILE names the {FRONT_END} of its checkpoint (`toeplite-train train` \
         writes it), or the checkpoint's folder; without the option that file is looked for beside the model", subject.display()
    )]
    NeedsFrontEnd {
        /// The model.
        subject: PathBuf,
    },
    /// A sensor's front end where sounds are heard.
    #[error(
        "{} is of a sensor's samples, not of sounds: `toeplite-train data windows` makes clips of recordings of a sensor, for \
         --clips FILE", front_end.display()
    )]
    SensorFrontEnd {
        /// What says so.
        front_end: PathBuf,
    },
    /// An option of raw samples, or a name, for recordings that a front end makes features of.
    #[error(
        "{option}: {} becomes features by {FRONT_END}, which says this: leave the option out", clips.display()
    )]
    SaidByFrontEnd {
        /// The option.
        option: &'static str,
        /// The folder.
        clips: PathBuf,
    },
    /// Silence around recordings for something else.
    #[error(
        "--after belongs to recordings that a front end makes features of, which {} is not here", clips.display()
    )]
    NotFeatures {
        /// The file or folder.
        clips: PathBuf,
    },
    /// An option of clips without any.
    #[error("{option} is for clips with a class each: give some, --clips PATH, or leave it out")]
    NoClips {
        /// The option.
        option: &'static str,
    },
    /// A front end where nothing is heard.
    #[error(
        "--front-end is for recordings: give some, --clips PATH or --stream PATH, or leave it out"
    )]
    NoRecordings,
    /// Features by another front end.
    #[error(
        "{} holds features by another front end than the classifier was trained with: make it anew by `toeplite-train data features`, \
         or give the folder of recordings itself", clips.display()
    )]
    OtherFeatures {
        /// The file.
        clips: PathBuf,
    },
    /// An option of wav files for something else.
    #[error("{option} belongs to folders of wav files, which {} is not", clips.display())]
    NotSounds {
        /// The option.
        option: &'static str,
        /// The file or folder.
        clips: PathBuf,
    },
}

/// What a classifier reads, and how many classes it tells apart.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// What stands at a position.
    pub reads: Reads,
    /// Classes.
    pub classes: usize,
    /// Whether sounds become features in integers, as the model's contract has it; of a checkpoint as in its training.
    pub in_integers: Option<bool>,
}

impl Asked {
    /// Of a checkpoint; nothing of a language model.
    pub fn of_config(config: &Config) -> Option<Self> {
        let classifier = config.classifier.as_ref()?;
        let tokens = Reads::Tokens(config.vocab_size);
        Some(Self {
            reads: classifier.frame_dim.map_or(tokens, Reads::Frames),
            classes: classifier.classes,
            in_integers: None,
        })
    }

    /// Of a model; nothing of a language model.
    pub fn of_model(model: &AnyModel<'_>) -> Option<Self> {
        model.is_classifier().then(|| Self::of_classifier(model))
    }

    /// Of a model that is a classifier.
    pub fn of_classifier(model: &AnyModel<'_>) -> Self {
        let shape = model.shape();
        Self {
            reads: match shape.frame_dim {
                0 => Reads::Tokens(shape.vocabulary),
                width => Reads::Frames(width),
            },
            classes: shape.outputs,
            in_integers: Some(model.is_fixed()),
        }
    }
}

impl ClipArgs {
    /// Whether clips are given.
    pub fn given(&self) -> bool {
        self.clips.is_some()
    }

    /// The file, for checks of outputs: nothing is written over an input.
    pub fn path(&self) -> Option<&Path> {
        self.clips.as_deref()
    }

    /// Most clips.
    pub fn limit(&self) -> Option<usize> {
        self.limit
    }

    /// Refuses clips for a language model, and anything else for a classifier.
    ///
    /// # Errors
    /// [`ClipArgsError`].
    pub fn check(&self, subject: &Path, classifier: bool) -> Result<(), ClipArgsError> {
        self.check_given()?;
        let subject = subject.to_owned();
        match (classifier, self.given()) {
            (true, false) => Err(ClipArgsError::NeedsClips { subject }),
            (false, true) => Err(ClipArgsError::NeedsText { subject }),
            _ => Ok(()),
        }
    }

    /// Refuses options of clips where there are none: one that is not used would be taken for one that is.
    ///
    /// # Errors
    /// [`ClipArgsError::NoClips`].
    pub fn check_given(&self) -> Result<(), ClipArgsError> {
        let options = [
            ("--classes", self.classes.is_some()),
            ("--hop", self.hop.is_some()),
            ("--rate", self.rate.is_some()),
            ("--after", self.after.is_some()),
            ("--limit", self.limit.is_some()),
        ];
        match options.into_iter().find(|(_, given)| *given) {
            Some((option, _)) if !self.given() => Err(ClipArgsError::NoClips { option }),
            _ => Ok(()),
        }
    }

    /// The front end of the classifier `subject`, where one is given or there, and the clips may need it.
    ///
    /// # Errors
    /// As [`FrontEndArgs::find`].
    pub fn front_end(
        &self,
        args: &FrontEndArgs,
        subject: &Path,
        wanted: Asked,
    ) -> Result<Option<FoundFrontEnd>> {
        let frames = matches!(wanted.reads, Reads::Frames(_));
        let folder = self.clips.as_ref().is_some_and(|clips| clips.is_dir());
        match args.given() || frames && (folder || subject.is_dir()) {
            true => args.find(subject, wanted),
            false => Ok(None),
        }
    }

    /// Opens the clips in sequences of at most `length` positions; of a classifier with a front end recordings become the
    /// features that this computes of them.
    ///
    /// # Errors
    /// They cannot be read or are not what is wanted; options that do not belong to them.
    pub fn open(
        &self,
        (wanted, front_end): (Asked, Option<&AnyFrontEnd>),
        length: usize,
    ) -> Result<ClipSet> {
        let Some(path) = &self.clips else {
            bail!("give --clips PATH");
        };
        let sounds = path.is_dir() && matches!(wanted.reads, Reads::Frames(_));
        match front_end.filter(|_| sounds) {
            Some(_) => self.check_features(path)?,
            None => self.check_sounds(path, sounds)?,
        }
        let clips = Clips {
            reads: wanted.reads,
            classes: wanted.classes,
            names: self.classes.clone(),
            length,
            image: None,
        };
        let Some(front_end) = front_end else {
            return Ok(ClipSet::open(
                path,
                &clips,
                self.hop.unwrap_or(1),
                self.rate,
            )?);
        };
        if sounds {
            let AnyFrontEnd::Sound(front_end) = front_end else {
                let front_end = PathBuf::from(FRONT_END);
                return Err(ClipArgsError::SensorFrontEnd { front_end }.into());
            };
            let front_end = FrontEnd {
                after: self.after.or(front_end.after),
                ..front_end.clone()
            };
            if front_end.after.is_none() {
                eprintln!(
                    "warning: {FRONT_END} does not say how much silence follows recordings shorter than a clip, as older versions' does \
                     not: none does here; --after SECONDS, data.features.after in the run.toml of the training"
                );
            }
            return Ok(ClipSet::recordings(path, &front_end, &clips)?);
        }
        let set = ClipSet::open(path, &clips, 1, None)?;
        let made = match &set {
            ClipSet::Frames(frames) => frames.front_end(),
            ClipSet::Tokens(_) => None,
        };
        // features are given as numbers here: those of the other arithmetic are as good
        let same = |made: &AnyFrontEnd| {
            let [made, asked] = [made, front_end].map(|f| f.clone().in_integers(false));
            made.makes_as(&asked)
        };
        match made.is_none_or(same) {
            true => Ok(set),
            false => Err(ClipArgsError::OtherFeatures {
                clips: path.clone(),
            }
            .into()),
        }
    }

    /// Refuses options of raw samples, and names, that the front end has.
    fn check_features(&self, path: &Path) -> Result<(), ClipArgsError> {
        let options = [
            ("--hop", self.hop.is_some()),
            ("--rate", self.rate.is_some()),
            ("--classes", self.classes.is_some()),
        ];
        match options.into_iter().find(|(_, given)| *given) {
            None => Ok(()),
            Some((option, _)) => Err(ClipArgsError::SaidByFrontEnd {
                option,
                clips: path.to_owned(),
            }),
        }
    }

    /// An option that is not used would be taken for one that is.
    fn check_sounds(&self, path: &Path, sounds: bool) -> Result<(), ClipArgsError> {
        let clips = path.to_owned();
        let options = [
            ("--hop", self.hop.is_some()),
            ("--rate", self.rate.is_some()),
        ];
        match options.into_iter().find(|(_, given)| *given) {
            _ if self.after.is_some() => Err(ClipArgsError::NotFeatures { clips }),
            None if sounds => Err(ClipArgsError::NeedsHop { clips }),
            Some((option, _)) if !sounds => Err(ClipArgsError::NotSounds { option, clips }),
            Some(("--rate", _)) if self.hop.is_none() => Err(ClipArgsError::NeedsHop { clips }),
            _ => Ok(()),
        }
    }
}

/// A network with some token mixing, as a classifier.
fn by_network<'a, T: Real>(
    network: &'a Network<T>,
    mix: &'a dyn Mix<T>,
) -> impl Fn(Input<'_>) -> Result<Vec<f32>, Cause> + Sync + 'a {
    move |input| {
        let logits = network.classify(input, mix)?;
        Ok(logits.iter().map(|logit| logit.wide() as f32).collect())
    }
}

/// A model, through the runtime.
fn by_model<'a>(
    model: &'a AnyModel<'a>,
) -> impl Fn(Input<'_>) -> Result<Vec<f32>, Cause> + Sync + 'a {
    move |input| Ok(stream::classify(model, input)?)
}

/// Seconds of silence.
fn seconds(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|s| (0.0..=60.0).contains(s));
    number.ok_or_else(|| "0 to 60 seconds are expected".into())
}
