//! Which values a [`RunConfig`] may have.

use super::{ConfigError, DataKind, RunConfig};
use std::path::Path;
use toeplite_checkpoint::ConfigError as ModelError;
use toeplite_checkpoint::config::Task;

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
        if self.model.task == Task::CausalLm && !self.model.causal {
            problems.push(
                "  `model.causal` is false: a network that sees the next token cannot learn to predict \
                 it; set it true, or set model.task = \"masked-lm\""
                    .to_owned(),
            );
        }
    }

    fn check_data(&self, problems: &mut Vec<String>) {
        let data = &self.data;
        let mut check = |good: bool, problem: &str| {
            if !good {
                problems.push(format!("  {problem}"));
            }
        };
        check(
            data.kind != DataKind::TextBytes || self.model.vocab_size >= 256,
            "`model.vocab_size` must be at least 256 for data.kind = \"text-bytes\"",
        );
        check(
            data.kind != DataKind::TextTokenizer || data.tokenizer.is_some(),
            "`data.tokenizer` is missing: data.kind = \"text-tokenizer\" needs a tokenizer.json",
        );
        check(
            (1..=1 << 24).contains(&data.frame),
            "`data.frame` must be 1 to 16777216",
        );
        check(
            (1..=data.frame.max(1)).contains(&data.hop),
            "`data.hop` must be 1 to data.frame",
        );
        if self.model.task == Task::MaskedLm {
            check(
                data.mask_probability > 0.0 && data.mask_probability <= 1.0,
                "`data.mask_probability` must be above 0, at most 1",
            );
            check(
                data.mask_token
                    .is_some_and(|t| (t as usize) < self.model.vocab_size),
                "`data.mask_token` must be a token below model.vocab_size for model.task = \
                 \"masked-lm\" (with text-bytes: vocab_size = 257, mask_token = 256)",
            );
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
