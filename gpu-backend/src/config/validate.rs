//! Which values a [`RunConfig`] may have.

use super::{ConfigError, DataKind, RunConfig};
use std::collections::BTreeSet;
use std::path::Path;
use toeplite_checkpoint::ConfigError as ModelError;
use toeplite_checkpoint::config::{Pooling, Task};

/// Tokens of one update beyond which something must be a typing error.
const MAX_TOKENS: usize = 1 << 32;

impl RunConfig {
    /// Checks every value, alone and together.
    pub(super) fn check(&self, path: &Path) -> Result<(), ConfigError> {
        let mut problems = Vec::new();
        self.check_model(&mut problems);
        self.check_data(&mut problems);
        self.check_train(&mut problems);
        self.check_optimiser(&mut problems);
        if problems.is_empty() {
            return Ok(());
        }
        Err(ConfigError::Values {
            path: path.to_owned(),
            problems,
        })
    }

    fn check_model(&self, problems: &mut Vec<String>) {
        match self.model.validate() {
            Ok(()) => {}
            Err(ModelError::Values(bad)) => problems.extend(
                bad.0
                    .iter()
                    .map(|b| format!("  `model.{}` is {}, must be {}", b.key, b.value, b.accepted)),
            ),
            Err(other) => problems.push(format!("  `model`: {other}")),
        }
    }

    fn check_data(&self, problems: &mut Vec<String>) {
        let (data, task) = (&self.data, self.model.task);
        let mut check = |good: bool, problem: &str| {
            if !good {
                problems.push(format!("  {problem}"));
            }
        };
        check(
            (1..=1 << 24).contains(&data.frame),
            "`data.frame` must be 1 to 16777216",
        );
        check(
            (1..=data.frame.max(1)).contains(&data.hop),
            "`data.hop` must be 1 to data.frame",
        );
        let masked = task == Task::MaskedLm;
        check(
            !masked || (data.mask_probability > 0.0 && data.mask_probability <= 1.0),
            "`data.mask_probability` must be above 0, at most 1",
        );
        check(
            !masked
                || data
                    .mask_token
                    .is_some_and(|t| (t as usize) < self.model.vocab_size),
            "`data.mask_token` must be a token below model.vocab_size for model.task = \
             \"masked-lm\" (with text-bytes: vocab_size = 257, mask_token = 256)",
        );
        check(
            masked || data.mask_token.is_none(),
            "`data.mask_token` is for model.task = \"masked-lm\": remove it, or set the task",
        );
        let pixels = data.image.map(|[rows, columns]| rows.checked_mul(columns));
        check(
            pixels.is_none_or(|p| p == Some(self.train.length)) || data.kind != DataKind::Frames,
            "`data.image` must be [rows, columns] of train.length pixels",
        );
        check(
            data.image
                .is_none_or(|sides| data.shift < sides[0].min(sides[1])),
            "`data.shift` must be below both numbers of data.image",
        );
        check(
            data.image.is_none() || data.kind == DataKind::Frames,
            "`data.image` is for data.kind = \"frames\": remove it",
        );
        let seen = self.model.toeplitz.image;
        check(
            data.image.is_none() || seen.is_none() || data.image == seen,
            "`data.image` and `model.toeplitz.image` must be the same image",
        );
        check(
            data.shift == 0 || data.image.is_some(),
            "`data.shift` moves images: set data.image = [rows, columns], or remove it",
        );
        self.check_sounds(problems);
        match data.kind {
            DataKind::TextBytes | DataKind::TextTokenizer => self.check_text(problems),
            DataKind::WavFolders | DataKind::WavFeatures | DataKind::Frames => {
                self.check_clips(problems, true);
            }
            DataKind::TextFolders | DataKind::TokenClasses => self.check_clips(problems, false),
        }
    }

    /// Features and augmentation are for sounds.
    fn check_sounds(&self, problems: &mut Vec<String>) {
        let data = &self.data;
        let mut refuse = |problem: &str| problems.push(format!("  {problem}"));
        if data.kind != DataKind::WavFeatures {
            if data.features.is_some() || data.augment.is_some() || data.streams.is_some() {
                refuse(
                    "`data.features`, `data.augment` and `data.streams` are for data.kind = \
                     \"wav-features\": remove them, or set the kind",
                );
            }
            return;
        }
        if let Some(streams) = data.streams {
            streams.problems().into_iter().for_each(&mut refuse);
            let pooling = self.model.classifier.as_ref().map(|c| c.pooling);
            if pooling == Some(Pooling::Mean) || !self.model.causal {
                refuse(
                    "`data.streams` asks at every frame: set model.classifier.pooling = \"last\" and \
                     model.causal = true",
                );
            }
        }
        let features = data.features.unwrap_or_default();
        features.problems().into_iter().for_each(&mut refuse);
        let augment = data.augment.unwrap_or_default();
        augment.problems().into_iter().for_each(&mut refuse);
    }

    /// Texts are for language models, whose vocabulary must hold their tokens.
    fn check_text(&self, problems: &mut Vec<String>) {
        let data = &self.data;
        let bytes = data.kind == DataKind::TextBytes;
        for (good, problem) in [
            (
                self.model.task != Task::Classifier,
                "`model.task` is \"classifier\", `data.kind` names a text: set data.kind = \
                 \"text-folders\", or another kind with classes, or model.task = \"causal-lm\" and no model.classifier",
            ),
            (
                !bytes || self.model.vocab_size >= 256,
                "`model.vocab_size` must be at least 256 for data.kind = \"text-bytes\"",
            ),
            (
                bytes || data.tokenizer.is_some(),
                "`data.tokenizer` is missing: data.kind = \"text-tokenizer\" needs a tokenizer.json",
            ),
            (
                !bytes || data.tokenizer.is_none(),
                "`data.tokenizer` is not used by data.kind = \"text-bytes\": remove it, or set \
                 data.kind = \"text-tokenizer\"",
            ),
            (
                data.classes.is_none() && data.rate.is_none(),
                "`data.classes` and `data.rate` are for classifiers: remove them",
            ),
        ] {
            if !good {
                problems.push(format!("  {problem}"));
            }
        }
    }

    /// Clips are for classifiers, of frames of their width or of tokens, and of their classes.
    fn check_clips(&self, problems: &mut Vec<String>, frames: bool) {
        let data = &self.data;
        let mut refuse = |problem: String| problems.push(format!("  {problem}"));
        let sounds = matches!(data.kind, DataKind::WavFolders | DataKind::WavFeatures);
        let bands = data.features.unwrap_or_default().bands();
        let (own, key) = match data.kind {
            DataKind::WavFolders => (Some(data.frame), "data.frame"),
            DataKind::WavFeatures => (Some(bands), "data.features.bands"),
            _ => (None, ""),
        };
        let width = match (frames, own) {
            (false, _) => "none".to_owned(),
            (_, Some(own)) => own.to_string(),
            (_, None) => "the width of its frames".to_owned(),
        };
        if data.tokenizer.is_some() {
            refuse("`data.tokenizer` is for language models: remove it".to_owned());
        }
        if data.rate == Some(0) || (data.rate.is_some() && !sounds) {
            refuse(
                "`data.rate` must be at least 1, and only for data.kind = \"wav-folders\" or \"wav-features\""
                    .to_owned(),
            );
        }
        // A classifier without its object is refused with the model.
        let Some(classifier) = &self.model.classifier else {
            if self.model.task != Task::Classifier {
                refuse(format!(
                    "`data.kind` names clips with classes, `model.task` is a language model's: set \
                     model.task = \"classifier\" and model.classifier = {{ classes = the number of \
                     classes, pooling = \"mean\"{} }}",
                    if frames {
                        format!(", frame_dim = {width}")
                    } else {
                        String::new()
                    }
                ));
            }
            return;
        };
        match classifier.frame_dim {
            None if frames => refuse(format!(
                "`model.classifier.frame_dim` is missing: data.kind gives frames; set it to {width}"
            )),
            Some(dim) if own.is_some_and(|own| own != dim) => refuse(format!(
                "`model.classifier.frame_dim` is {dim}, must be {key} = {width}"
            )),
            Some(dim) if !frames => refuse(format!(
                "`model.classifier.frame_dim` is {dim}, data.kind = \"{}\" gives tokens: remove it",
                data.kind.name()
            )),
            _ => {}
        }
        self.check_names(classifier.classes, problems);
    }

    /// A name for each class, where there are names.
    fn check_names(&self, classes: usize, problems: &mut Vec<String>) {
        let Some(names) = &self.data.classes else {
            return;
        };
        if names.len() != classes {
            problems.push(format!(
                "  `data.classes` has {} names, model.classifier.classes = {classes}: make them equal",
                names.len()
            ));
        }
        let different: BTreeSet<_> = names.iter().collect();
        if different.len() < names.len() {
            problems.push("  `data.classes` has a name twice".to_owned());
        }
    }

    fn check_train(&self, problems: &mut Vec<String>) {
        let train = &self.train;
        let mut check = |good: bool, problem: String| {
            if !good {
                problems.push(format!("  {problem}"));
            }
        };
        check(
            (1..=1 << 40).contains(&train.steps),
            "`train.steps` must be 1 to 2^40".to_owned(),
        );
        check(
            train.batch >= 1,
            "`train.batch` must be at least 1".to_owned(),
        );
        check(
            train.length >= 1,
            "`train.length` must be at least 1".to_owned(),
        );
        let gamma = train.gamma as f32;
        check(
            gamma > 0.0 && gamma <= 1.0,
            format!(
                "`train.gamma` = {} must be above 0, at most 1: kernels decay by it from lag to lag",
                train.gamma
            ),
        );
        check(
            train.log_every >= 1,
            "`train.log_every` must be at least 1".to_owned(),
        );
        check(
            train
                .batch
                .checked_mul(train.length)
                .is_some_and(|t| t <= MAX_TOKENS),
            format!("`train.batch` * `train.length` must be at most {MAX_TOKENS}"),
        );
        check(
            train.micro_batches >= 1 && train.batch.is_multiple_of(train.micro_batches),
            format!(
                "`train.micro_batches` must divide train.batch = {}",
                train.batch
            ),
        );
        check(
            (0.0..1.0).contains(&train.dropout),
            "`train.dropout` must be 0 to below 1".to_owned(),
        );
        check(
            train.seed <= i64::MAX as u64,
            "`train.seed` must be below 2^63".to_owned(),
        );
        check(
            self.checkpoints.keep_last >= 1,
            "`checkpoints.keep_last` must be at least 1".to_owned(),
        );
    }

    fn check_optimiser(&self, problems: &mut Vec<String>) {
        let optimiser = &self.optimiser;
        let [first, second] = optimiser.betas;
        let finite = |x: f64| (0.0..=f64::from(f32::MAX)).contains(&x);
        for (good, problem) in [
            (
                optimiser.rate > 0.0 && finite(optimiser.rate),
                "`optimiser.rate` must be above 0",
            ),
            (
                [first, second].iter().all(|b| (0.0..1.0).contains(b)),
                "`optimiser.betas` must be 0 to below 1",
            ),
            (
                optimiser.epsilon >= f64::from(f32::MIN_POSITIVE) && finite(optimiser.epsilon),
                "`optimiser.epsilon` must be above 0 in f32",
            ),
            (
                finite(optimiser.weight_decay),
                "`optimiser.weight_decay` must be 0 or more",
            ),
            (
                finite(optimiser.clip),
                "`optimiser.clip` must be 0 (no limit) or more",
            ),
            (
                (0.0..=1.0).contains(&self.schedule.final_share),
                "`schedule.final_share` must be 0 to 1",
            ),
        ] {
            if !good {
                problems.push(format!("  {problem}"));
            }
        }
    }
}
