//! Which values a [`Config`] may have.
//!
//! The upper bounds are far above any network that was ever trained; they keep a damaged or
//! hostile file from asking for more memory than there is.

use super::config::{Activation, Config, FORMAT, Task, ToeplitzKind, VERSION};
use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

/// Largest accepted width (of embeddings, heads, hidden layers) and vocabulary.
pub const MAX_WIDTH: usize = 1 << 24;
/// Largest accepted number of layers.
pub const MAX_LAYERS: usize = 1024;
/// Largest accepted number of hidden layers of an RPE network.
pub const MAX_RPE_LAYERS: usize = 64;
/// Largest accepted training length.
pub const MAX_TRAIN_LEN: usize = 1 << 31;

/// Largest accepted number of frequencies of a response.
pub const MAX_BINS: usize = 1 << 20;

/// Most inducing points of a product of low rank.
pub const MAX_RANK: usize = 512;

/// Most taps of a short convolution.
pub const MAX_SHORT_TAPS: usize = 33;

/// Why a configuration was refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Not JSON, an unknown key, a missing key, or a value of the wrong type; the text names it.
    #[error("cannot be understood: {0}")]
    Json(serde_json::Error),
    /// `format` names something else.
    #[error(
        "`format` is {found:?}, expected {FORMAT:?}: this config.json is not one of a Toeplite checkpoint"
    )]
    Format {
        /// What `format` says.
        found: String,
    },
    /// The file is newer than this program, or its version is not one.
    #[error("`version` is {found}, this program reads 1 to {VERSION}: use a newer release of it")]
    Version {
        /// What `version` says.
        found: u64,
    },
    /// Values out of range: all of them.
    #[error("values out of range:\n{0}")]
    Values(BadValues),
}

/// All values of a configuration that are out of range. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadValues(pub Vec<BadValue>);

/// A value out of range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadValue {
    /// Key in `config.json`; keys of nested objects as `toeplitz.rpe_dim`.
    pub key: &'static str,
    /// The value found.
    pub value: String,
    /// What is accepted.
    pub accepted: String,
}

impl fmt::Display for BadValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, bad) in self.0.iter().enumerate() {
            let end = if i + 1 < self.0.len() { "\n" } else { "" };
            write!(
                f,
                "  `{}` is {}, must be {}{end}",
                bad.key, bad.value, bad.accepted
            )?;
        }
        Ok(())
    }
}

/// The two keys that say whether the rest can be understood.
#[derive(Deserialize)]
struct Envelope {
    format: String,
    version: u64,
}

impl Config {
    /// Reads and validates a `config.json`.
    ///
    /// # Errors
    /// [`ConfigError`] names the key and what it may be. Format and version are looked at before
    /// anything else, so that a newer file is called newer and not "unknown key".
    pub fn from_json(text: &[u8]) -> Result<Self, ConfigError> {
        let envelope: Envelope = serde_json::from_slice(text).map_err(ConfigError::Json)?;
        check_envelope(&envelope.format, envelope.version)?;
        let config: Self = serde_json::from_slice(text).map_err(ConfigError::Json)?;
        config.validate()?;
        Ok(config)
    }

    /// The text of a `config.json` that [`Config::from_json`] reads back to an equal value.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self)
            .expect("plain structs of numbers and names serialize");
        text.push('\n');
        text
    }

    /// Checks every value, each alone and together.
    ///
    /// # Errors
    /// [`ConfigError::Values`] with all values out of range, or the format or version error.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check_envelope(&self.format, self.version.into())?;
        let mut bad = Vec::new();
        self.check_sizes(&mut bad);
        self.check_numbers(&mut bad);
        self.check_task(&mut bad);
        self.check_classifier(&mut bad);
        self.check_kind(&mut bad);
        self.check_ski(&mut bad);
        self.check_image(&mut bad);
        // Only meaningful, and only safe to compute, once the parts are in range.
        if bad.is_empty() {
            self.check_channels(&mut bad);
        }
        if bad.is_empty() {
            Ok(())
        } else {
            Err(ConfigError::Values(BadValues(bad)))
        }
    }

    fn check_sizes(&self, bad: &mut Vec<BadValue>) {
        let toep = &self.toeplitz;
        let sizes = [
            ("vocab_size", self.vocab_size, 1, MAX_WIDTH),
            ("dim", self.dim, 1, MAX_WIDTH),
            ("layers", self.layers, 1, MAX_LAYERS),
            ("num_heads", self.num_heads, 1, MAX_WIDTH),
            ("glu_dim", self.glu_dim, 1, MAX_WIDTH),
            ("train_len", self.train_len, 1, MAX_TRAIN_LEN),
            ("toeplitz.rpe_dim", toep.rpe_dim, 1, MAX_WIDTH),
            ("toeplitz.rpe_layers", toep.rpe_layers, 0, MAX_RPE_LAYERS),
        ];
        for (key, value, least, most) in sizes {
            if !(least..=most).contains(&value) {
                bad.push(BadValue {
                    key,
                    value: value.to_string(),
                    accepted: format!("{least} to {most}"),
                });
            }
        }
    }

    /// A network that sees the next token has nothing to predict there.
    fn check_task(&self, bad: &mut Vec<BadValue>) {
        if self.task == Task::CausalLm && !self.causal {
            bad.push(BadValue {
                key: "causal",
                value: "false".into(),
                accepted: "true for task causal-lm, which predicts the next token; of a network that sees it the task is \
                           masked-lm"
                    .into(),
            });
        }
    }

    fn check_classifier(&self, bad: &mut Vec<BadValue>) {
        let mut refuse = |key, value: String, accepted: String| {
            bad.push(BadValue {
                key,
                value,
                accepted,
            });
        };
        let task = self.task == Task::Classifier;
        let Some(classifier) = &self.classifier else {
            if task {
                let accepted = "an object with classes and pooling, for task classifier";
                refuse("classifier", "absent".into(), accepted.into());
            }
            return;
        };
        if !task {
            let accepted = "absent, or task classifier";
            refuse("classifier", "present".into(), accepted.into());
        }
        let sizes = [
            ("classifier.classes", classifier.classes),
            ("classifier.frame_dim", classifier.frame_dim.unwrap_or(1)),
        ];
        for (key, value) in sizes {
            if !(1..=MAX_WIDTH).contains(&value) {
                refuse(key, value.to_string(), format!("1 to {MAX_WIDTH}"));
            }
        }
        if self.tie_embeddings {
            let accepted = "false: a classifier's head has classes, not tokens";
            refuse("tie_embeddings", "true".into(), accepted.into());
        }
    }

    /// Options of the Toeplitz operator that the kind gives no meaning.
    fn check_kind(&self, bad: &mut Vec<BadValue>) {
        let toep = &self.toeplitz;
        let fd = toep.kind == ToeplitzKind::Fd;
        let inputs = match toep.kind {
            ToeplitzKind::Tno => "lag, scaled or exp, or another kind",
            ToeplitzKind::Fd => "omega or cosine, for kind fd",
            ToeplitzKind::Ski => "warp, for kind ski",
        };
        let no_decay = "false: a frequency response has no lags to decay along";
        let checks = [
            (
                "causal",
                self.causal.to_string(),
                !(self.causal && toep.kind == ToeplitzKind::Ski),
                "false, for kind ski",
            ),
            (
                "toeplitz.rpe_input",
                name(&toep.rpe_input),
                toep.rpe_input.kind() == toep.kind,
                inputs,
            ),
            (
                "toeplitz.decay",
                "true".into(),
                !(fd && toep.decay),
                no_decay,
            ),
            (
                "toeplitz.learned_decay",
                "true".into(),
                !(fd && toep.learned_decay),
                no_decay,
            ),
            (
                "toeplitz.act",
                name(&toep.act),
                !fd || toep.act == Activation::None,
                "none: it is of kernels, not of frequency responses",
            ),
        ];
        for (key, value, good, accepted) in checks {
            if !good {
                bad.push(BadValue {
                    key,
                    value,
                    accepted: accepted.to_owned(),
                });
            }
        }
        let Some(bins) = toep.bins else { return };
        if !(fd && bins.is_power_of_two() && bins <= MAX_BINS) {
            bad.push(BadValue {
                key: "toeplitz.bins",
                value: bins.to_string(),
                accepted: format!("a power of two up to {MAX_BINS} for kind fd, else absent"),
            });
        }
    }

    /// The options of kind `ski`: all there, or all absent.
    fn check_ski(&self, bad: &mut Vec<BadValue>) {
        let toep = &self.toeplitz;
        let ski = toep.kind == ToeplitzKind::Ski;
        let text = |value: Option<String>| value.unwrap_or_else(|| "absent".into());
        let checks = [
            (
                "toeplitz.rank",
                text(toep.rank.map(|rank| rank.to_string())),
                toep.rank
                    .map_or(!ski, |rank| ski && (2..=MAX_RANK).contains(&rank)),
                format!("2 to {MAX_RANK}"),
            ),
            (
                "toeplitz.taps",
                text(toep.taps.map(|taps| taps.to_string())),
                toep.taps
                    .map_or(!ski, |taps| ski && taps % 2 == 1 && taps <= MAX_SHORT_TAPS),
                format!("odd, 1 to {MAX_SHORT_TAPS}"),
            ),
            (
                "toeplitz.warp",
                text(toep.warp.map(|warp| warp.to_string())),
                toep.warp
                    .map_or(!ski, |warp| ski && warp > 0.0 && warp < 1.0),
                "above 0 and below 1".to_owned(),
            ),
        ];
        for (key, value, good, range) in checks {
            if !good {
                bad.push(BadValue {
                    key,
                    value,
                    accepted: format!("{range} for kind ski, else absent"),
                });
            }
        }
    }

    /// An image is a sequence of its pixels, seen whole.
    fn check_image(&self, bad: &mut Vec<BadValue>) {
        let Some([rows, columns]) = self.toeplitz.image else {
            return;
        };
        let mut refuse = |good: bool, key, value: String, accepted: String| {
            if !good {
                bad.push(BadValue {
                    key,
                    value,
                    accepted,
                });
            }
        };
        let classifier = self.task == Task::Classifier && !self.causal;
        refuse(
            classifier && self.toeplitz.kind != ToeplitzKind::Ski,
            "toeplitz.image",
            "present".into(),
            "absent, but for a bidirectional classifier (task classifier, causal false) of kind tno or fd".into(),
        );
        let pixels = rows.checked_mul(columns);
        refuse(
            rows > 0 && pixels == Some(self.train_len),
            "toeplitz.image",
            format!("{rows} by {columns} pixels"),
            format!("[rows, columns] of train_len = {} pixels", self.train_len),
        );
    }

    fn check_numbers(&self, bad: &mut Vec<BadValue>) {
        let scale = self.embed_scale.abs();
        let normal = f64::from(f32::MIN_POSITIVE)..=f64::from(f32::MAX);
        let checks = [
            (
                "expand_ratio",
                self.expand_ratio,
                self.expand_ratio > 0.0 && self.expand_ratio <= 1024.0,
                "above 0, at most 1024",
            ),
            (
                "embed_scale",
                self.embed_scale,
                normal.contains(&scale),
                "finite in f32 and not 0",
            ),
            (
                "toeplitz.decay_floor",
                self.toeplitz.decay_floor,
                (0.0..=1.0).contains(&self.toeplitz.decay_floor),
                "0 to 1",
            ),
        ];
        for (key, value, good, accepted) in checks {
            if !good {
                bad.push(BadValue {
                    key,
                    value: value.to_string(),
                    accepted: accepted.to_owned(),
                });
            }
        }
    }

    fn check_channels(&self, bad: &mut Vec<BadValue>) {
        let width = self.expand_ratio * self.dim as f64;
        if width > MAX_WIDTH as f64 {
            bad.push(BadValue {
                key: "expand_ratio",
                value: self.expand_ratio.to_string(),
                accepted: format!("such that expand_ratio * dim is at most {MAX_WIDTH}"),
            });
        } else if self.channels() == 0 {
            bad.push(BadValue {
                key: "num_heads",
                value: self.num_heads.to_string(),
                accepted: format!("at most expand_ratio * dim = {width}, or heads have no channel"),
            });
        }
    }
}

/// A value's name in `config.json`.
fn name(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).expect("names serialize");
    text.trim_matches('"').to_owned()
}

fn check_envelope(format: &str, version: u64) -> Result<(), ConfigError> {
    if format != FORMAT {
        return Err(ConfigError::Format {
            found: format.to_owned(),
        });
    }
    if !(1..=u64::from(VERSION)).contains(&version) {
        return Err(ConfigError::Version { found: version });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::config::RpeInput;
    use super::super::testing::small_config;
    use super::*;

    fn keys_refused(edit: impl FnOnce(&mut Config)) -> Vec<&'static str> {
        let mut config = small_config();
        edit(&mut config);
        match config.validate() {
            Ok(()) => Vec::new(),
            Err(ConfigError::Values(bad)) => bad.0.iter().map(|b| b.key).collect(),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn all_bad_values_are_named_together() {
        assert_eq!(keys_refused(|_| ()), Vec::<&str>::new());
        let keys = keys_refused(|c| {
            c.dim = 0;
            c.layers = MAX_LAYERS + 1;
            c.num_heads = 0;
            c.expand_ratio = f64::NAN;
            c.embed_scale = f64::INFINITY;
            c.toeplitz.rpe_layers = usize::MAX;
            c.toeplitz.decay_floor = -0.5;
        });
        let expected = [
            "dim",
            "layers",
            "num_heads",
            "toeplitz.rpe_layers",
            "expand_ratio",
            "embed_scale",
            "toeplitz.decay_floor",
        ];
        assert_eq!(keys, expected);
    }

    fn fd(config: &mut Config) {
        let toeplitz = &mut config.toeplitz;
        (toeplitz.kind, toeplitz.rpe_input) = (ToeplitzKind::Fd, RpeInput::Cosine);
        (toeplitz.learned_decay, toeplitz.act) = (false, Activation::None);
        toeplitz.bins = Some(64);
    }

    #[test]
    fn kinds_have_their_own_options() {
        assert_eq!(keys_refused(fd), Vec::<&str>::new());
        let all = [
            "toeplitz.rpe_input",
            "toeplitz.decay",
            "toeplitz.learned_decay",
            "toeplitz.act",
            "toeplitz.bins",
        ];
        let refused = keys_refused(|c| {
            (c.toeplitz.kind, c.toeplitz.bins) = (ToeplitzKind::Fd, Some(48));
            c.toeplitz.decay = true;
        });
        assert_eq!(refused, all);
        let refused = keys_refused(|c| {
            fd(c);
            (c.toeplitz.kind, c.causal) = (ToeplitzKind::Ski, true);
        });
        let options = ["toeplitz.rank", "toeplitz.taps", "toeplitz.warp"];
        let all = ["causal", "toeplitz.rpe_input", "toeplitz.bins"];
        assert_eq!(refused, [all, options].concat());
    }

    #[test]
    fn options_of_ski_have_ranges_and_are_its_own() {
        let ski = |c: &mut Config| {
            c.causal = false;
            let toeplitz = &mut c.toeplitz;
            (toeplitz.kind, toeplitz.rpe_input) = (ToeplitzKind::Ski, RpeInput::Warp);
            (toeplitz.rank, toeplitz.taps) = (Some(16), Some(5));
            toeplitz.warp = Some(0.99);
        };
        assert_eq!(keys_refused(ski), Vec::<&str>::new());
        let refused = keys_refused(|c| {
            ski(c);
            (c.toeplitz.rank, c.toeplitz.taps, c.toeplitz.warp) = (Some(1), Some(4), Some(1.0));
        });
        assert_eq!(refused, ["toeplitz.rank", "toeplitz.taps", "toeplitz.warp"]);
        assert_eq!(
            keys_refused(|c| c.toeplitz.taps = Some(5)),
            ["toeplitz.taps"]
        );
    }

    #[test]
    fn heads_must_have_channels() {
        assert_eq!(keys_refused(|c| c.num_heads = 1000), ["num_heads"]);
        assert_eq!(
            keys_refused(|c| (c.dim, c.expand_ratio) = (MAX_WIDTH, 2.0)),
            ["expand_ratio"]
        );
        // The official layers round the width down to a multiple of the heads.
        assert_eq!(keys_refused(|c| c.num_heads = 5), Vec::<&str>::new());
    }

    #[test]
    fn what_sees_the_next_token_does_not_predict_it() {
        let with = |task, causal| keys_refused(|c| (c.task, c.causal) = (task, causal));
        assert_eq!(with(Task::CausalLm, false), ["causal"]);
        assert_eq!(with(Task::CausalLm, true), Vec::<&str>::new());
        assert_eq!(with(Task::MaskedLm, false), Vec::<&str>::new());
    }

    #[test]
    fn newer_version_is_called_newer_even_with_unknown_keys() {
        let text = small_config().to_json();
        let newer = text.replace("\"version\": 1", "\"version\": 7, \"wavelets\": true");
        let error = Config::from_json(newer.as_bytes()).unwrap_err();
        assert!(
            matches!(error, ConfigError::Version { found: 7 }),
            "{error}"
        );
        assert!(error.to_string().contains("newer release"));
        let zero = text.replace("\"version\": 1", "\"version\": 0");
        let error = Config::from_json(zero.as_bytes()).unwrap_err();
        assert!(matches!(error, ConfigError::Version { found: 0 }));
    }

    #[test]
    fn other_json_is_refused_with_the_key() {
        let text = small_config().to_json();
        let other = text.replace("toeplite-checkpoint", "gpt2");
        let error = Config::from_json(other.as_bytes()).unwrap_err();
        assert!(matches!(error, ConfigError::Format { ref found } if found == "gpt2"));
        for (from, to, named) in [
            ("\"glu_dim\"", "\"glu_dims\"", "glu_dims"),
            (
                "\"norm\": \"layernorm\"",
                "\"norm\": \"batchnorm\"",
                "batchnorm",
            ),
            (
                "\"embed_scale\": 2.5",
                "\"embed_scale\": 1e999",
                "number out of range",
            ),
            ("\"dim\": 6", "\"dim\": -6", "-6"),
            ("\"dim\": 6", "\"dim\": 6, \"dim\": 7", "duplicate"),
        ] {
            assert!(text.contains(from), "{from} is not in {text}");
            let error = Config::from_json(text.replacen(from, to, 1).as_bytes()).unwrap_err();
            assert!(error.to_string().contains(named), "{error}");
        }
    }

    #[test]
    fn json_round_trip_is_exact() {
        let config = small_config();
        assert_eq!(
            Config::from_json(config.to_json().as_bytes()).unwrap(),
            config
        );
    }
}
