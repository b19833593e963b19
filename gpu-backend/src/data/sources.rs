//! The sources that a run's configuration names.

use super::{
    ClipError, Clips, DataError, FrameSet, Frames, Framing, Result, Shift, Sounds, Source,
    TextFolders, TextSet, TextTokenizer, TokenClips, Tokens,
};
use crate::config::{DataKind, RunConfig};
use std::path::Path;
use toeplite_checkpoint::AnyFrontEnd;
use toeplite_checkpoint::config::Task;
use toeplite_clips::{are_named, task_name};

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
            DataKind::WavFeatures => recordings(config),
            DataKind::Frames => features(config),
            DataKind::TextFolders => text_folders(config),
            DataKind::TokenClasses => token_classes(config),
        }
    }

    /// Writes into `config` what the data alone says: the classes of folders and of features that name them,
    /// and the sampling rate of sounds. Whoever evaluates the network on other files needs them.
    pub fn complete(&self, config: &mut RunConfig) {
        let kind = config.data.kind;
        if matches!(
            kind,
            DataKind::WavFolders | DataKind::WavFeatures | DataKind::TextFolders
        ) {
            config.data.classes = Some(self.train.classes().to_vec());
            config.data.rate = self.train.rate();
        }
        if kind == DataKind::Frames && are_named(self.train.classes()) {
            config.data.classes = Some(self.train.classes().to_vec());
        }
    }
}

fn texts(config: &RunConfig) -> Result<Sources> {
    let (data, model) = (&config.data, &config.model);
    if model.task == Task::Classifier {
        return Err(ClipError::Misfit {
            path: data.train.clone(),
            found: "it is read as a text".to_owned(),
            key: "model.task",
            value: task_name(model.task).to_owned(),
            remedy: "set data.kind = \"text-folders\", or another kind with classes".to_owned(),
        }
        .into());
    }
    let tokenizer = match (&data.tokenizer, data.kind) {
        (Some(path), DataKind::TextTokenizer) => {
            let tokenizer = TextTokenizer::open(path)?;
            tokenizer.check(model.vocab_size)?;
            Some(tokenizer)
        }
        _ => None,
    };
    let masking = config.masking();
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
        rate: train.rate(),
        ..framing
    };
    let clips = known(clips, train.classes());
    boxed(Frames::from(train), data.valid.as_deref(), |path| {
        Ok(FrameSet::sounds(path, framing, &clips)?.into())
    })
}

fn recordings(config: &RunConfig) -> Result<Sources> {
    let data = &config.data;
    let train = Sounds::open(&data.train, config, data.classes.as_deref(), data.rate)?;
    let (names, rate) = (train.classes().to_vec(), train.rate());
    boxed(train, data.valid.as_deref(), |path| {
        Sounds::open(path, config, Some(&names), rate)
    })
}

fn features(config: &RunConfig) -> Result<Sources> {
    let (data, mut clips) = (&config.data, clips(config)?);
    let train = FrameSet::features(&data.train, &clips)?;
    // Names that the file gives its classes are those that the other file is read by.
    if are_named(train.classes()) {
        clips = known(clips, train.classes());
    }
    let shift = data.image.map(|[rows, columns]| Shift {
        rows,
        columns,
        most: data.shift,
    });
    let train = Frames::from(train).shifted(shift);
    let front_end = train.front_end();
    check_front_end(&data.train, front_end.as_ref(), config)?;
    boxed(train, data.valid.as_deref(), |path| {
        let valid = Frames::from(FrameSet::features(path, &clips)?);
        check_same(path, valid.front_end().as_ref(), front_end.as_ref())?;
        Ok(valid)
    })
}

/// The front end must be the network's: it goes with the checkpoints to the device.
fn check_front_end(path: &Path, made_by: Option<&AnyFrontEnd>, config: &RunConfig) -> Result<()> {
    let checked = made_by.map(|front_end| front_end.check(&config.model));
    let checked = checked.transpose().map_err(|e| ClipError::Features {
        path: path.to_owned(),
        problem: e.to_string(),
    });
    checked.map(drop).map_err(DataError::from)
}

/// Features to validate on must be made as those to train on, where it is known how.
fn check_same(path: &Path, valid: Option<&AnyFrontEnd>, train: Option<&AnyFrontEnd>) -> Result<()> {
    let (Some(valid), Some(train)) = (valid, train) else {
        return Ok(());
    };
    if valid.makes_as(train) {
        return Ok(());
    }
    let problem = "its features were made by other settings than those of data.train; make \
                   both by the same `toeplite-train data features` options"
        .to_owned();
    let path = path.to_owned();
    Err(ClipError::Features { path, problem }.into())
}

fn token_classes(config: &RunConfig) -> Result<Sources> {
    let (data, clips) = (&config.data, clips(config)?);
    let train = TokenClips::file(&data.train, &clips)?;
    boxed(train, data.valid.as_deref(), |path| {
        Ok(TokenClips::file(path, &clips)?)
    })
}

fn text_folders(config: &RunConfig) -> Result<Sources> {
    let (data, clips) = (&config.data, clips(config)?);
    let train = TextFolders::open(&data.train, &clips)?;
    let clips = known(clips, train.clips.classes());
    let valid = data.valid.as_deref().map(|path| {
        let valid = TextFolders::open(path, &clips)?;
        valid.check_apart(&train)?;
        Ok::<Box<dyn Source>, DataError>(Box::new(valid.clips))
    });
    Ok(Sources {
        valid: valid.transpose()?,
        train: Box::new(train.clips),
    })
}

fn clips(config: &RunConfig) -> Result<Clips> {
    let (data, model) = (&config.data, &config.model);
    let names = data.classes.as_deref();
    Ok(Clips::of(&data.train, model, names, config.train.length)?)
}

/// The classes are those that were trained on.
fn known(clips: Clips, classes: &[String]) -> Clips {
    Clips {
        names: Some(classes.to_vec()),
        ..clips
    }
}

fn boxed<S: Source + 'static>(
    train: S,
    valid: Option<&Path>,
    open: impl FnOnce(&Path) -> Result<S>,
) -> Result<Sources> {
    let valid = valid.map(open).transpose()?;
    Ok(Sources {
        train: Box::new(train),
        valid: valid.map(|v| Box::new(v) as Box<dyn Source>),
    })
}
