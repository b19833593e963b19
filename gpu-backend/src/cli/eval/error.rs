//! Why a checkpoint cannot be evaluated on some data.

use std::path::PathBuf;
use thiserror::Error;

/// Why a checkpoint cannot be evaluated on some data. Texts say what to give instead.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EvalError {
    /// Nobody says how sounds become frames.
    #[error(
        "{} has no run.toml beside it, and {} holds sounds: data.frame, data.hop, data.rate and \
         data.classes of its training say how they become frames and labels; give --config run.toml",
        checkpoint.display(), data.display()
    )]
    NoRun {
        /// The checkpoint.
        checkpoint: PathBuf,
        /// The sounds.
        data: PathBuf,
    },
    /// The run's configuration was not completed by training.
    #[error(
        "the run.toml of {} lacks {key}, without which sounds are not those of training: add it \
         (data.classes: the names of the class folders that it was trained on, in alphabetical order)",
        checkpoint.display()
    )]
    Incomplete {
        /// The checkpoint.
        checkpoint: PathBuf,
        /// What is missing.
        key: &'static str,
    },
    /// Sounds for a network of other frames, or the other way round.
    #[error("{} is {found}, the network was trained with data.kind = \"{kind}\": give {remedy}", data.display())]
    Kind {
        /// The data.
        data: PathBuf,
        /// What it is.
        found: &'static str,
        /// What the network was trained on.
        kind: &'static str,
        /// What to give.
        remedy: &'static str,
    },
    /// Nobody says what stands for a hidden token, or how many are hidden.
    #[error(
        "{} is a masked language model without a run.toml beside it: give --mask-token and \
         --mask-probability as it was trained, or --config run.toml", checkpoint.display()
    )]
    NoMask {
        /// The checkpoint.
        checkpoint: PathBuf,
    },
    /// A mask that is no token.
    #[error("--mask-token {token} is no token of the network: it has {vocabulary}, from 0 to {}", vocabulary - 1)]
    Mask {
        /// The mask.
        token: u32,
        /// Tokens of the network.
        vocabulary: usize,
    },
    /// An option that says nothing about this network.
    #[error("{option} is for {only}: leave it out for {}", checkpoint.display())]
    Option {
        /// The option.
        option: &'static str,
        /// What it is for.
        only: &'static str,
        /// The checkpoint.
        checkpoint: PathBuf,
    },
    /// Fewer than two tokens.
    #[error("{} has fewer than two tokens: there is nothing to predict, give a longer text", .0.display())]
    TooShort(PathBuf),
}
