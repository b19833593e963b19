//! Trained checkpoints, as training wrote them.
//!
//! Two formats are read: the native one, a folder of `config.json` ([`Config`]) and
//! `model.safetensors` (f32, f16, bf16 or f64), and the `.pt` files of the public fairseq TNN code
//! ([`fairseq`]). Either way the result is a [`Checkpoint`] whose configuration has been validated
//! and whose tensors are exactly those of [`expected_tensors`], finite, in f32.

mod any_front_end;
pub mod config;
mod dtype;
mod error;
mod expected;
pub mod fairseq;
mod folder;
mod front_end;
mod save;
#[cfg(test)]
mod seeds;
mod sensor;
mod tensors;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod validate;

pub use any_front_end::AnyFrontEnd;
pub use config::Config;
pub use dtype::StoredType;
pub use error::CheckpointError;
pub use expected::expected_tensors;
pub use folder::{CONFIG, MODEL};
pub use front_end::{FRONT_END, FrontEnd, FrontEndError};
pub use sensor::{RecordingError, Sensor, SensorChannel, SensorRecording};
pub use tensors::{TensorProblem, TensorProblems};
pub use validate::{BadValue, BadValues, ConfigError, MAX_RANK, MAX_SHORT_TAPS};

use ndarray::ArrayD;
use std::collections::BTreeMap;
use std::path::Path;
use tensors::Listed;

/// A trained network: its configuration and its parameters, all in f32, named as
/// [`expected_tensors`] says (`layers.{i}.token_mixer.u_proj.weight`, ...).
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// What the tensors mean.
    pub config: Config,
    /// Parameters by name, row-major.
    pub tensors: BTreeMap<String, ArrayD<f32>>,
}

/// Where a checkpoint came from: what is worth showing but changes no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Format of the file or folder.
    pub format: SourceFormat,
    /// Number format that each tensor was stored in, by the tensor's name in [`Checkpoint::tensors`].
    pub stored_types: BTreeMap<String, StoredType>,
}

/// Formats that checkpoints are read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceFormat {
    /// A folder of `config.json` and `model.safetensors`.
    Native,
    /// A fairseq `.pt` file.
    Fairseq {
        /// Name of the architecture that was trained. Its options may have been overridden: only
        /// [`Checkpoint::config`] says what they are.
        arch: String,
    },
}

impl Checkpoint {
    /// Reads a checkpoint: a folder with `config.json` and `model.safetensors`, that safetensors
    /// file itself, or a fairseq `.pt` file. Files are told apart by what is in them.
    ///
    /// # Errors
    /// Every way in which the files can be unreadable, damaged or inconsistent has its own
    /// [`CheckpointError`]; tensors that do not fit are all named in one error.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        Self::open_with_origin(path).map(|(checkpoint, _)| checkpoint)
    }

    /// [`Checkpoint::open`], also telling where the checkpoint came from.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn open_with_origin(path: &Path) -> Result<(Self, Origin), CheckpointError> {
        folder::open(path)
    }

    /// Reads a native checkpoint from the contents of its two files.
    ///
    /// # Errors
    /// As [`Checkpoint::open`]; the files are called by their usual names.
    pub fn from_parts(config_json: &[u8], safetensors: &[u8]) -> Result<Self, CheckpointError> {
        let (config_path, model_path) = (Path::new(folder::CONFIG), Path::new(folder::MODEL));
        let config = folder::parse_config(config_path, config_json)?;
        folder::assemble(config, model_path, safetensors).map(|(checkpoint, _)| checkpoint)
    }

    /// Number of stored numbers, decay rates (`toep.gamma`) included.
    pub fn parameters(&self) -> usize {
        self.tensors.values().map(ArrayD::len).sum()
    }

    /// Checks what reading guarantees: a valid configuration, exactly its tensors, all finite,
    /// fixed decays within 0 to 1.
    /// `path` is named in errors.
    ///
    /// # Errors
    /// The same as when a file with these contents is read.
    pub fn check(&self, path: &Path) -> Result<(), CheckpointError> {
        let config_error = |cause| CheckpointError::Config {
            path: path.to_owned(),
            cause,
        };
        self.config.validate().map_err(config_error)?;
        let listed = |tensor: &ArrayD<f32>| Listed {
            shape: tensor.shape().to_vec(),
            stored: Ok(StoredType::F32),
        };
        let found = self.tensors.iter().map(|(n, t)| (n.clone(), listed(t)));
        let expected = expected_tensors(&self.config);
        tensors::compare(&expected, &found.collect()).map_err(|problems| {
            CheckpointError::Tensors {
                path: path.to_owned(),
                problems,
            }
        })?;
        tensors::check_values(path, &self.config, &self.tensors)
    }
}
