//! The sources that a run's configuration names.

use super::clips::task_name;
use super::{
    Clips, DataError, FrameSet, Framing, Masking, Result, Source, TextSet, TextTokenizer, Tokens,
};
use crate::config::{DataKind, RunConfig};
use std::path::Path;
use toeplite_checkpoint::config::Task;

/// The sources of a run: to train on, and to validate with.
pub struct Sources {
    /// To train on.
    pub train: Box<dyn Source>,
    /// To validate with.
    pub valid: Option<Box<dyn Source>>,
}

impl Sources {
    /// Opens what `config` names.
    ///
    /// # Errors
    /// [`DataError`] names the file, what does not fit the network, and what to do.
    pub fn open(config: &RunConfig) -> Result<Self> {
        match config.data.kind {
            DataKind::TextBytes | DataKind::TextTokenizer => texts(config),
            DataKind::WavFolders => sounds(config),
            DataKind::Frames => features(config),
        }
    }

    /// Writes into `config` what the data alone says: the sounds' classes and sampling rate. Whoever
    /// evaluates the network on other sounds needs them.
    pub fn complete(&self, config: &mut RunConfig) {
        if config.data.kind == DataKind::WavFolders {
            config.data.classes = Some(self.train.classes().to_vec());
            config.data.rate = self.train.rate();
        }
    }
}

fn texts(config: &RunConfig) -> Result<Sources> {
    let (data, model) = (&config.data, &config.model);
    if model.task == Task::Classifier {
        return Err(DataError::Misfit {
            path: data.train.clone(),
            found: "it is read as a text".to_owned(),
            key: "model.task",
            value: task_name(model.task).to_owned(),
            remedy: "set data.kind = \"wav-folders\" or \"frames\"".to_owned(),
        });
    }
    let tokenizer = match (&data.tokenizer, data.kind) {
        (Some(path), DataKind::TextTokenizer) => {
            let tokenizer = TextTokenizer::open(path)?;
            tokenizer.check(model.vocab_size)?;
            Some(tokenizer)
        }
        _ => None,
    };
    let masking = Masking::of(config);
    let open = |path: &Path| {
        let tokens = Tokens::open(path, tokenizer.as_ref(), model.vocab_size)?;
        let set = TextSet::new(path, tokens, config.train.length, masking)?;
        Ok::<Box<dyn Source>, DataError>(Box::new(set))
    };
    Ok(Sources {
        train: open(&data.train)?,
        valid: data.valid.as_deref().map(open).transpose()?,
    })
}

fn sounds(config: &RunConfig) -> Result<Sources> {
    let data = &config.data;
    let framing = Framing {
        frame: data.frame,
        hop: data.hop,
        rate: data.rate,
    };
    let clips = clips(config)?;
    let train = FrameSet::sounds(&data.train, framing, &clips)?;
    let framing = Framing {
        rate: train.rate,
        ..framing
    };
    let clips = Clips {
        names: Some(train.classes.clone()),
        ..clips
    };
    boxed(train, data.valid.as_deref(), |path| {
        FrameSet::sounds(path, framing, &clips)
    })
}

fn features(config: &RunConfig) -> Result<Sources> {
    let (data, clips) = (&config.data, clips(config)?);
    let train = FrameSet::features(&data.train, &clips)?;
    boxed(train, data.valid.as_deref(), |path| {
        FrameSet::features(path, &clips)
    })
}

fn clips(config: &RunConfig) -> Result<Clips> {
    let (data, model) = (&config.data, &config.model);
    let names = data.classes.as_deref();
    Clips::of(&data.train, model, names, config.train.length)
}

fn boxed(
    train: FrameSet,
    valid: Option<&Path>,
    open: impl FnOnce(&Path) -> Result<FrameSet>,
) -> Result<Sources> {
    let valid = valid.map(open).transpose()?;
    Ok(Sources {
        train: Box::new(train),
        valid: valid.map(|v| Box::new(v) as Box<dyn Source>),
    })
}
