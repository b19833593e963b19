//! What a checkpoint is evaluated on, made as its training data was.

use super::super::text::Coding;
use super::error::EvalError;
use crate::config::{DataKind, RunConfig};
use crate::data::{
    ClipError, Clips, FrameSet, Frames, Framing, Masking, Sounds, Source, TextFolders, TextSet,
    TokenClips, Tokens,
};
use anyhow::Result;
use std::path::{Path, PathBuf};
use toeplite_checkpoint::Config;
use toeplite_checkpoint::config::Task;

/// What the command line says about a source.
pub(super) struct Asked<'a> {
    pub checkpoint: &'a Path,
    pub model: &'a Config,
    /// That of the checkpoint, if it is known.
    pub run: Option<&'a RunConfig>,
    pub data: &'a Path,
    pub tokenizer: Option<&'a Path>,
    pub mask_token: Option<u32>,
    pub mask_probability: Option<f64>,
    pub mask_seed: Option<u64>,
}

impl Asked<'_> {
    /// Opens the data: a text for language models, clips with a class each for classifiers.
    pub fn open(&self) -> Result<Box<dyn Source>> {
        self.check_options()?;
        match self.model.task {
            Task::CausalLm | Task::MaskedLm => self.text(),
            Task::Classifier if self.reads_features() && self.data.is_dir() => self.recordings(),
            Task::Classifier => match (self.model.frame_dim().is_some(), self.data.is_dir()) {
                (true, true) => self.sounds(),
                (true, false) => self.features(),
                (false, true) => self.text_folders(),
                (false, false) => self.token_classes(),
            },
        }
    }

    /// An option that is not used would be taken for one that is.
    fn check_options(&self) -> Result<(), EvalError> {
        let masked = self.model.task == Task::MaskedLm;
        let text = self.model.task != Task::Classifier;
        let mask = "masked language models";
        let options = [
            ("--mask-token", self.mask_token.is_some(), masked, mask),
            (
                "--mask-probability",
                self.mask_probability.is_some(),
                masked,
                mask,
            ),
            ("--mask-seed", self.mask_seed.is_some(), masked, mask),
            (
                "--tokenizer",
                self.tokenizer.is_some(),
                text,
                "language models",
            ),
        ];
        match options.iter().find(|(_, given, used, _)| *given && !used) {
            None => Ok(()),
            Some((option, _, _, only)) => Err(EvalError::Option {
                option,
                only,
                checkpoint: self.checkpoint.to_owned(),
            }),
        }
    }

    fn text(&self) -> Result<Box<dyn Source>> {
        let (path, vocabulary) = (self.data, self.model.vocab_size);
        self.check_text()?;
        let masking = self.masking()?;
        let coding = Coding::of(self.checkpoint, self.tokenizer, self.run, vocabulary)?;
        let tokens = Tokens::open(path, coding.tokenizer(), vocabulary)?;
        if tokens.len() < 2 {
            return Err(EvalError::TooShort(path.to_owned()).into());
        }
        Ok(Box::new(TextSet::new(path, tokens, 1, masking)?))
    }

    /// Every file can be read byte by byte: one that is clips by its name is a mistake all the same.
    fn check_text(&self) -> Result<(), ClipError> {
        let ending = self.data.extension().unwrap_or_default();
        let clips = ["npz", "safetensors", "wav"];
        let found = if self.data.is_dir() {
            "it is a folder"
        } else if clips.iter().any(|e| ending.eq_ignore_ascii_case(e)) {
            "it holds frames or sounds"
        } else {
            return Ok(());
        };
        let masked = self.model.task == Task::MaskedLm;
        Err(ClipError::Misfit {
            path: self.data.to_owned(),
            found: found.to_owned(),
            key: "task",
            value: if masked { "masked-lm" } else { "causal-lm" }.to_owned(),
            remedy: "give a text, or the checkpoint of a classifier".to_owned(),
        })
    }

    /// The run's, unless the command line says otherwise: what training validated on is hidden alike.
    fn masking(&self) -> Result<Option<Masking>, EvalError> {
        if self.model.task != Task::MaskedLm {
            return Ok(None);
        }
        let of_run = self.run.and_then(RunConfig::masking);
        let token = self.mask_token.or(of_run.map(|m| m.token));
        let probability = self.mask_probability.or(of_run.map(|m| m.probability));
        let (Some(token), Some(probability)) = (token, probability) else {
            let checkpoint = self.checkpoint.to_owned();
            return Err(EvalError::NoMask { checkpoint });
        };
        let vocabulary = self.model.vocab_size;
        if token as usize >= vocabulary {
            return Err(EvalError::Mask { token, vocabulary });
        }
        Ok(Some(Masking {
            probability,
            token,
            seed: self.mask_seed.or(of_run.map(|m| m.seed)).unwrap_or(0),
        }))
    }

    fn reads_features(&self) -> bool {
        let kind = self.run.map(|run| run.data.kind);
        kind == Some(DataKind::WavFeatures)
    }

    fn recordings(&self) -> Result<Box<dyn Source>> {
        let (run, names) = self.known()?;
        let rate = run.data.rate;
        Ok(Box::new(Sounds::open(self.data, run, Some(names), rate)?))
    }

    /// The run of a network that hears, and the classes' names.
    fn known(&self) -> Result<(&RunConfig, &[String]), EvalError> {
        let run = self.run.ok_or_else(|| EvalError::NoRun {
            checkpoint: self.checkpoint.to_owned(),
            data: self.data.to_owned(),
        })?;
        let missing = |key| EvalError::Incomplete {
            checkpoint: self.checkpoint.to_owned(),
            key,
        };
        run.data.rate.ok_or_else(|| missing("data.rate"))?;
        let names = run.data.classes.as_deref();
        Ok((run, names.ok_or_else(|| missing("data.classes"))?))
    }

    fn sounds(&self) -> Result<Box<dyn Source>> {
        let (run, names) = self.known()?;
        self.check_kind(DataKind::WavFolders, "a folder")?;
        let data = &run.data;
        let framing = Framing {
            frame: data.frame,
            hop: data.hop,
            rate: data.rate,
        };
        let clips = Clips::of(self.data, self.model, Some(names), self.model.train_len)?;
        Ok(Box::new(Frames::from(FrameSet::sounds(
            self.data, framing, &clips,
        )?)))
    }

    fn features(&self) -> Result<Box<dyn Source>> {
        self.check_kind(DataKind::Frames, "a file")?;
        Ok(Box::new(Frames::from(FrameSet::features(
            self.data,
            &self.clips()?,
        )?)))
    }

    fn token_classes(&self) -> Result<Box<dyn Source>> {
        self.check_kind(DataKind::TokenClasses, "a file")?;
        Ok(Box::new(TokenClips::file(self.data, &self.clips()?)?))
    }

    fn text_folders(&self) -> Result<Box<dyn Source>> {
        self.check_kind(DataKind::TextFolders, "a folder")?;
        Ok(Box::new(
            TextFolders::open(self.data, &self.clips()?)?.clips,
        ))
    }

    /// What the network asks of clips; the classes' names are the run's, if it is known.
    fn clips(&self) -> Result<Clips, ClipError> {
        let names = self.run.and_then(|run| run.data.classes.as_deref());
        Clips::of(self.data, self.model, names, self.model.train_len)
    }

    /// Frames of another making may have the right width and still mean something else.
    fn check_kind(&self, needed: DataKind, found: &'static str) -> Result<(), EvalError> {
        let kind = self.run.map_or(needed, |run| run.data.kind);
        if kind == needed {
            return Ok(());
        }
        let remedy = match kind {
            DataKind::WavFolders | DataKind::WavFeatures => {
                "a folder with one folder of wav files a class"
            }
            DataKind::TextFolders => "a folder with one folder of text files a class",
            DataKind::Frames => "an npz or safetensors file of such frames",
            DataKind::TokenClasses => "a safetensors file of such tokens",
            DataKind::TextBytes | DataKind::TextTokenizer => "a text",
        };
        Err(EvalError::Kind {
            data: PathBuf::from(self.data),
            found,
            kind: kind.name(),
            remedy,
        })
    }
}
