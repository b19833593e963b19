//! `run.toml`: everything that decides what a training run computes.
//!
//! A run is reproducible from its frozen configuration, which is written to the run folder with all
//! defaults filled in and all paths absolute. Unknown keys are errors: an option that is misspelt
//! must not train another network without a word.

mod choices;
mod error;
mod load;
mod model;
mod preset;
mod sounds;
mod validate;

pub use choices::{DeviceChoice, Precision};
pub use error::ConfigError;
pub use preset::Preset;
pub use sounds::{AugmentConfig, CompressionKind, FeaturesConfig, StreamsConfig};

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use toeplite_checkpoint::Config as ModelConfig;

/// A training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// The network: keys of a checkpoint's `config.json`, on top of a `preset`.
    pub model: ModelConfig,
    /// What it is trained on.
    pub data: DataConfig,
    /// How long, in what portions, on what.
    pub train: TrainConfig,
    /// AdamW.
    #[serde(default)]
    pub optimiser: OptimiserConfig,
    /// Learning rate over the steps.
    #[serde(default)]
    pub schedule: ScheduleConfig,
    /// When the validation loss is measured.
    #[serde(default)]
    pub evaluation: EvaluationConfig,
    /// When checkpoints are written and which are kept.
    #[serde(default)]
    pub checkpoints: CheckpointConfig,
}

/// `[data]`: what a network is trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// What the files are.
    pub kind: DataKind,
    /// File (or folder of class folders) to train on.
    pub train: PathBuf,
    /// The same for validation; without it no validation loss is measured and no `best` is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid: Option<PathBuf>,
    /// `tokenizer.json` of [`DataKind::TextTokenizer`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<PathBuf>,
    /// Samples of a frame of [`DataKind::WavFolders`].
    #[serde(default = "default_frame")]
    pub frame: usize,
    /// Samples from one frame's start to the next one's.
    #[serde(default = "default_frame")]
    pub hop: usize,
    /// Samples a second of [`DataKind::WavFolders`] [default: what the sounds to train on have].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// Rows and columns of the images that clips of frames are, row after row, to be moved by
    /// `shift`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<[usize; 2]>,
    /// Pixels by which images are moved at most each time they are trained on.
    #[serde(default)]
    pub shift: usize,
    /// Names of the classes, by label [default: the class folders in alphabetical order; the labels].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<String>>,
    /// Masked language models: share of tokens to predict.
    #[serde(default = "default_mask")]
    pub mask_probability: f64,
    /// Masked language models: the token that stands for a hidden one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask_token: Option<u32>,
    /// What is computed of sounds, of [`DataKind::WavFeatures`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<FeaturesConfig>,
    /// How sounds to train on are changed each time, of [`DataKind::WavFeatures`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub augment: Option<AugmentConfig>,
    /// Sequences of several recordings with a target at every frame, of [`DataKind::WavFeatures`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub streams: Option<StreamsConfig>,
}

fn default_frame() -> usize {
    256
}

fn default_mask() -> f64 {
    0.15
}

/// Kinds of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataKind {
    /// A text; tokens are its bytes.
    TextBytes,
    /// A text, and a `tokenizer.json` that cuts it into tokens, line by line.
    TextTokenizer,
    /// A folder with one folder of wav files a class; frames are their samples.
    WavFolders,
    /// A folder with one folder of wav files a class; frames are the features of a device's front end.
    WavFeatures,
    /// `features` `[clips, frames, width]` and `labels` `[clips]` in one npz or safetensors file.
    Frames,
    /// A folder with one folder of text files a class; tokens are bytes.
    TextFolders,
    /// `tokens` `[clips, length]`, `lengths` and `labels` `[clips]` in one safetensors file.
    TokenClasses,
}

impl DataKind {
    /// Name in `run.toml`.
    pub fn name(self) -> &'static str {
        match self {
            Self::TextBytes => "text-bytes",
            Self::TextTokenizer => "text-tokenizer",
            Self::WavFolders => "wav-folders",
            Self::WavFeatures => "wav-features",
            Self::Frames => "frames",
            Self::TextFolders => "text-folders",
            Self::TokenClasses => "token-classes",
        }
    }
}

/// `[train]`: how long, in what portions, on what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Updates of the parameters.
    pub steps: u64,
    /// Sequences of one update, all micro-batches and all processes together.
    pub batch: usize,
    /// Positions of a sequence.
    pub length: usize,
    /// Portions that an update's sequences are computed in; gradients are added up. More of them
    /// need less memory.
    #[serde(default = "one")]
    pub micro_batches: usize,
    /// Decides initial parameters, the order of the data, dropout.
    #[serde(default)]
    pub seed: u64,
    /// Checkpoint whose parameters the network begins with, instead of random ones; that of a network with the same
    /// configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
    /// Decay rate of the kernels of a network with decay, a lag.
    #[serde(default = "published_gamma")]
    pub gamma: f64,
    /// Probability that dropout zeroes an activation.
    #[serde(default)]
    pub dropout: f64,
    /// Where to compute.
    #[serde(default)]
    pub device: DeviceChoice,
    /// What activations are computed in.
    #[serde(default)]
    pub precision: Precision,
    /// Steps from one line of `metrics.jsonl` to the next.
    #[serde(default = "ten")]
    pub log_every: u64,
}

fn one() -> usize {
    1
}

fn published_gamma() -> f64 {
    0.99
}

fn ten() -> u64 {
    10
}

/// `[optimiser]`: AdamW (Loshchilov and Hutter 2019).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimiserConfig {
    /// Largest learning rate; the schedule scales it.
    pub rate: f64,
    /// Decays of the running means of the gradients and of their squares.
    pub betas: [f64; 2],
    /// Added to the root.
    pub epsilon: f64,
    /// Decoupled weight decay, of matrices and of all of the RPE networks.
    pub weight_decay: f64,
    /// Largest norm of all gradients together; 0 for no limit.
    pub clip: f64,
}

impl Default for OptimiserConfig {
    fn default() -> Self {
        Self {
            rate: 2e-3,
            betas: [0.9, 0.98],
            epsilon: 1e-8,
            weight_decay: 0.1,
            clip: 1.0,
        }
    }
}

/// `[schedule]`: learning rate over the steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleConfig {
    /// Form of the curve after the warmup.
    pub kind: ScheduleKind,
    /// Steps over which the rate rises from 0.
    pub warmup: u64,
    /// Cosine: share of the largest rate that is left at the last step.
    pub final_share: f64,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self {
            kind: ScheduleKind::Cosine,
            warmup: 100,
            final_share: 0.0,
        }
    }
}

/// Curves of the learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleKind {
    /// Stays.
    Constant,
    /// Half a cosine, down to `final_share` at the last step.
    Cosine,
    /// Falls like one over the root of the step.
    InverseSqrt,
}

/// `[evaluation]`: when the validation loss is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluationConfig {
    /// Steps from one to the next; the last step is always evaluated. 0: that one only.
    pub every: u64,
    /// Targets after which an evaluation stops, counted in whole batches; 0 for all.
    pub max_targets: u64,
}

impl Default for EvaluationConfig {
    fn default() -> Self {
        Self {
            every: 500,
            max_targets: 0,
        }
    }
}

/// `[checkpoints]`: when they are written and which are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointConfig {
    /// Steps from one to the next; the last step is always kept. 0: that one only.
    pub every: u64,
    /// How many are kept besides the best one.
    pub keep_last: usize,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self {
            every: 500,
            keep_last: 2,
        }
    }
}
