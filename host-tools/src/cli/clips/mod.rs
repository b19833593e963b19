//! `--clips` and what goes with it: what classifiers are judged by.

mod compare;
mod convert;
mod eval;

pub use compare::compare;
pub use convert::{ConvertOption, ConvertOptionError, GoesBy, check_convert};
pub use eval::{Answers, evaluate, print_json, print_table};

use super::input;
use crate::blob::AnyModel;
use crate::checkpoint::{Config, FRONT_END};
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
    /// Of wav files: samples from one frame's start to the next one's, as data.hop of training.
    #[arg(long, value_name = "N", requires = "clips", value_parser = input::positive, allow_negative_numbers = true)]
    hop: Option<usize>,
    /// Of wav files: samples a second, as data.rate of training [default: those of the first file].
    #[arg(long, value_name = "N", requires = "clips", value_parser = clap::value_parser!(u32).range(1..), allow_negative_numbers = true)]
    rate: Option<u32>,
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
        "{} is a folder, read as wav files: --hop N says how many samples there are from one frame's start to the next \
         one's, data.hop in the run.toml of the training", clips.display()
    )]
    NeedsHop {
        /// The folder.
        clips: PathBuf,
    },
    /// Recordings for a network that hears their features.
    #[error(
        "{} is a folder of recordings, and {} hears what its front end makes of them ({FRONT_END}), not their samples: \
         `toeplite-train data features {0} --out FILE`, with that front end's options, makes the clips to give",
        clips.display(), subject.display()
    )]
    NeedsFeatures {
        /// The checkpoint.
        subject: PathBuf,
        /// The folder.
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
}

impl Asked {
    /// Of a checkpoint; nothing of a language model.
    pub fn of_config(config: &Config) -> Option<Self> {
        let classifier = config.classifier.as_ref()?;
        let tokens = Reads::Tokens(config.vocab_size);
        Some(Self {
            reads: classifier.frame_dim.map_or(tokens, Reads::Frames),
            classes: classifier.classes,
        })
    }

    /// Of a model; nothing of a language model.
    pub fn of_model(model: &AnyModel<'_>) -> Option<Self> {
        let (AnyModel::Classifier(_) | AnyModel::WindowClassifier(_)) = model else {
            return None;
        };
        let shape = model.shape();
        Some(Self {
            reads: match shape.frame_dim {
                0 => Reads::Tokens(shape.vocabulary),
                width => Reads::Frames(width),
            },
            classes: shape.outputs,
        })
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
        let hears = subject.join(FRONT_END).exists();
        let subject = subject.to_owned();
        if let Some(clips) = self.clips.clone().filter(|clips| hears && clips.is_dir()) {
            return Err(ClipArgsError::NeedsFeatures { subject, clips });
        }
        match (classifier, self.given()) {
            (true, false) => Err(ClipArgsError::NeedsClips { subject }),
            (false, true) => Err(ClipArgsError::NeedsText { subject }),
            _ => Ok(()),
        }
    }

    /// Opens the clips in sequences of at most `length` positions.
    ///
    /// # Errors
    /// They cannot be read or are not what is wanted; options that do not belong to them.
    pub fn open(&self, wanted: Asked, length: usize) -> Result<ClipSet> {
        let Some(path) = &self.clips else {
            bail!("give --clips PATH");
        };
        let sounds = path.is_dir() && matches!(wanted.reads, Reads::Frames(_));
        self.check_sounds(path, sounds)?;
        let clips = Clips {
            reads: wanted.reads,
            classes: wanted.classes,
            names: self.classes.clone(),
            length,
            image: None,
        };
        Ok(ClipSet::open(
            path,
            &clips,
            self.hop.unwrap_or(1),
            self.rate,
        )?)
    }

    /// An option that is not used would be taken for one that is.
    fn check_sounds(&self, path: &Path, sounds: bool) -> Result<(), ClipArgsError> {
        let clips = path.to_owned();
        let options = [
            ("--hop", self.hop.is_some()),
            ("--rate", self.rate.is_some()),
        ];
        match options.into_iter().find(|(_, given)| *given) {
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
