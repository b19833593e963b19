//! Where a checkpoint comes from: the run around it, whose settings made what it was trained on.

use crate::config::{ConfigError, RunConfig};
use std::path::{Path, PathBuf};
use thiserror::Error;
use toeplite_checkpoint::Config;

/// Why the run of a checkpoint could not be told.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OriginError {
    /// The run's configuration cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It describes another network.
    #[error(
        "{} describes another network than the checkpoint {}: move the checkpoint away from that file, \
         or give `eval` the run.toml that it was trained with by --config", run.display(), checkpoint.display()
    )]
    OtherNetwork {
        /// The run's configuration.
        run: PathBuf,
        /// The checkpoint.
        checkpoint: PathBuf,
    },
}

/// The configuration of the run that made the checkpoint at `path`, whose network is `model`: the
/// file that is `given`, or the `run.toml` in its folder or the one around it, if there is one.
///
/// # Errors
/// [`OriginError`]: it cannot be read, or describes another network.
pub fn run_of(
    path: &Path,
    given: Option<&Path>,
    model: &Config,
) -> Result<Option<RunConfig>, OriginError> {
    let Some(file) = given
        .map(Path::to_owned)
        .or_else(|| beside(path, "run.toml"))
    else {
        return Ok(None);
    };
    let run = RunConfig::load(&file, &[])?;
    if run.model != *model {
        return Err(OriginError::OtherNetwork {
            run: file,
            checkpoint: path.to_owned(),
        });
    }
    Ok(Some(run))
}

/// The file called `name` in a checkpoint's folder, or in the run's around it.
pub(super) fn beside(path: &Path, name: &str) -> Option<PathBuf> {
    let folder = if path.is_dir() { path } else { path.parent()? };
    let around = std::path::absolute(folder).ok();
    let around = around.as_deref().and_then(Path::parent);
    let files = [Some(folder), around].into_iter().flatten();
    files.map(|f| f.join(name)).find(|f| f.is_file())
}
