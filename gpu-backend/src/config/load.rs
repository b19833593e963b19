//! Reading, overriding and freezing a [`RunConfig`].

use super::{ConfigError, RunConfig, model};
use serde::Deserialize;
use std::path::{Path, PathBuf, absolute};
use toml::{Table, Value};

/// Keys of `[data]` that hold paths.
const PATHS: [(&str, &str); 4] = [
    ("data", "train"),
    ("data", "valid"),
    ("data", "tokenizer"),
    ("train", "from"),
];

/// What a resumed run may change: nothing that decides what is computed, but the number of steps.
const CHANGEABLE: [&str; 6] = [
    "train.steps",
    "train.device",
    "train.log_every",
    "data.train",
    "data.valid",
    "data.tokenizer",
];

impl RunConfig {
    /// Reads a `run.toml`, replaces what `overrides` (`key=value`, dotted keys, TOML values; what is
    /// no TOML value is a string) say, fills in the model from its preset, and checks everything.
    /// Paths in the file are relative to the file's folder, those in overrides to the current one.
    ///
    /// # Errors
    /// [`ConfigError`] names file and key.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::Read {
            path: path.to_owned(),
            cause,
        })?;
        Self::parse(path, &text, overrides)
    }

    /// [`RunConfig::load`] of a text; `path` is named in errors, and its folder is what the text's
    /// paths are relative to.
    ///
    /// # Errors
    /// As [`RunConfig::load`].
    pub fn parse(path: &Path, text: &str, overrides: &[String]) -> Result<Self, ConfigError> {
        let mut table: Table = text
            .parse()
            .map_err(|e: toml::de::Error| ConfigError::Toml {
                path: path.to_owned(),
                message: e.to_string().trim_end().to_owned(),
            })?;
        make_absolute(&mut table, path.parent().unwrap_or(Path::new("")));
        for text in overrides {
            let (key, value) = split(text)?;
            set(path, &mut table, key, value)?;
        }
        make_absolute(&mut table, Path::new(""));
        model::expand(path, &mut table)?;
        let config: Self =
            serde_path_to_error::deserialize(Value::Table(table)).map_err(|error| {
                let mut key = error.path().to_string();
                if key == "." {
                    key = "the file".to_owned();
                }
                ConfigError::Key {
                    path: path.to_owned(),
                    key,
                    message: error.inner().message().to_owned(),
                }
            })?;
        config.check(path)?;
        Ok(config)
    }

    /// [`RunConfig::load`] of a run's frozen configuration, to go on with it.
    ///
    /// # Errors
    /// As [`RunConfig::load`]; [`ConfigError::Frozen`] for overrides that would make it another run.
    pub fn resume(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        for text in overrides {
            let (key, _) = split(text)?;
            let free = CHANGEABLE.contains(&key)
                || key.starts_with("evaluation.")
                || key.starts_with("checkpoints.");
            if !free {
                return Err(ConfigError::Frozen {
                    key: key.to_owned(),
                });
            }
        }
        Self::load(path, overrides)
    }

    /// The text of a `run.toml` with every value spelt out, which [`RunConfig::parse`] reads back to
    /// an equal value.
    pub fn to_toml(&self) -> String {
        let body = toml::to_string_pretty(self).expect("numbers, names and paths serialize");
        let version = env!("CARGO_PKG_VERSION");
        format!(
            "# The configuration of this run, as toeplite-train {version} understood it.\n\n{body}"
        )
    }
}

fn split(text: &str) -> Result<(&str, &str), ConfigError> {
    let bad = || ConfigError::Override {
        text: text.to_owned(),
    };
    let (key, value) = text.split_once('=').ok_or_else(bad)?;
    let key = key.trim();
    if key.is_empty() || key.split('.').any(str::is_empty) {
        return Err(bad());
    }
    Ok((key, value.trim()))
}

fn set(path: &Path, table: &mut Table, key: &str, value: &str) -> Result<(), ConfigError> {
    let mut parts: Vec<&str> = key.split('.').collect();
    let last = parts.pop().expect("split gives at least one part");
    let mut at = table;
    for part in parts {
        let entry = at.entry(part).or_insert_with(|| Value::Table(Table::new()));
        let found = entry.type_str();
        at = entry.as_table_mut().ok_or_else(|| ConfigError::Key {
            path: path.to_owned(),
            key: key.to_owned(),
            message: format!("`{part}` is of type {found}, it holds no keys"),
        })?;
    }
    at.insert(last.to_owned(), value_of(value));
    Ok(())
}

/// A TOML value, or else a string: `--set model.norm=layernorm` needs no quotes.
fn value_of(text: &str) -> Value {
    #[derive(Deserialize)]
    struct Line {
        v: Value,
    }
    // A newline could smuggle in more keys.
    let parsed = if text.contains('\n') {
        None
    } else {
        toml::from_str(&format!("v = {text}")).ok()
    };
    parsed.map_or_else(|| Value::String(text.to_owned()), |line: Line| line.v)
}

fn make_absolute(table: &mut Table, base: &Path) {
    for (part, key) in PATHS {
        if let Some(Value::Table(part)) = table.get_mut(part)
            && let Some(Value::String(path)) = part.get_mut(key)
            && !path.is_empty()
        {
            let joined: PathBuf = base.join(&*path);
            // Without a current folder there is nothing to be relative to: the path stays.
            if let Some(text) = absolute(joined)
                .ok()
                .and_then(|p| p.to_str().map(str::to_owned))
            {
                *path = text;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DataKind, DeviceChoice, Preset};
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = r#"
        [model]
        preset = "shakespeare-32x2"
        [data]
        kind = "text-bytes"
        train = "train.txt"
        [train]
        steps = 10
        batch = 4
        length = 64
    "#;

    fn parse(text: &str, overrides: &[&str]) -> Result<RunConfig, ConfigError> {
        let overrides: Vec<String> = overrides.iter().map(|s| (*s).to_owned()).collect();
        RunConfig::parse(Path::new("/runs/run.toml"), text, &overrides)
    }

    fn message(text: &str, overrides: &[&str]) -> String {
        parse(text, overrides).unwrap_err().to_string()
    }

    #[test]
    fn preset_defaults_and_paths_are_filled_in() {
        let run = parse(TEXT, &[]).unwrap();
        let mut model = Preset::Shakespeare32x2.config();
        model.train_len = 64;
        assert_eq!(run.model, model);
        assert_eq!(run.data.kind, DataKind::TextBytes);
        assert_eq!(run.data.train, Path::new("/runs/train.txt"));
        assert_eq!(run.train.micro_batches, 1);
        assert_eq!(run.optimiser.betas, [0.9, 0.98]);
    }

    #[test]
    fn overrides_are_values_or_names() {
        let run = parse(
            TEXT,
            &[
                "train.batch=8",
                "model.norm=layernorm",
                "model.toeplitz.rpe_dim = 24",
                "optimiser.betas=[0.9, 0.95]",
                "train.device=cuda:1",
                "data.valid=/v.txt",
            ],
        )
        .unwrap();
        assert_eq!(run.train.batch, 8);
        assert_eq!(run.model.toeplitz.rpe_dim, 24);
        assert_eq!(run.optimiser.betas[1], 0.95);
        assert_eq!(run.train.device, DeviceChoice::Cuda(1));
        assert_eq!(run.data.valid.as_deref(), Some(Path::new("/v.txt")));
        let wide = parse(TEXT, &["model.dim=48"]).unwrap();
        assert_eq!(wide.model.glu_dim, 48);
    }

    #[test]
    fn frozen_configuration_reads_back() {
        let run = parse(TEXT, &["model.norm_position=pre", "train.seed=7"]).unwrap();
        let frozen = run.to_toml();
        let other = RunConfig::parse(Path::new("/elsewhere/run.toml"), &frozen, &[]).unwrap();
        assert_eq!(other, run);
    }

    #[test]
    fn errors_name_file_and_key() {
        for (overrides, expected) in [
            (
                &["train.bach=8"][..],
                &["/runs/run.toml", "bach", "batch"][..],
            ),
            (&["trian.batch=8"], &["trian"]),
            (
                &["model.toeplitz.rpe_dims=8"],
                &["model.toeplitz", "rpe_dims"],
            ),
            (&["train.batch=many"], &["train.batch", "many"]),
            (&["train.device=tpu"], &["train.device", "tpu", "cuda:0"]),
            (&["model.norm=batchnorm"], &["model.norm", "batchnorm"]),
            (
                &["model.preset=gpt"],
                &["model.preset", "gpt", "wikitext103"],
            ),
            (&["data.kind.x=1"], &["data.kind.x", "holds no keys"]),
            (&["train.batch"], &["train.batch", "key=value"]),
            (&["train..batch=1"], &["key=value"]),
            (
                &["train.batch=0", "model.dim=0"],
                &["train.batch", "model.dim"],
            ),
        ] {
            let text = message(TEXT, overrides);
            for part in expected {
                assert!(
                    text.contains(part),
                    "{overrides:?}: {part} is not in: {text}"
                );
            }
        }
        let text = message("[train\n", &[]);
        assert!(
            text.contains("run.toml") && text.contains("line 1"),
            "{text}"
        );
        let text = message(&TEXT.replace("steps = 10", ""), &[]);
        assert!(text.contains("steps"), "{text}");
        let text = message("model = 3", &[]);
        assert!(text.contains("`model`"), "{text}");
    }

    #[test]
    fn data_must_fit_the_task() {
        let classifier = "model.classifier={classes = 2, pooling = 'mean', frame_dim = 16}";
        let classify = ["model.task=classifier", classifier];
        let sounds = ["data.kind=wav-folders", "data.frame=16", "data.hop=8"];
        assert!(parse(TEXT, &[&classify[..], &sounds[..]].concat()).is_ok());
        let masked = ["model.task=masked-lm", "model.vocab_size=257"];
        for (overrides, key, remedy) in [
            (
                &classify[..],
                "`model.task`",
                "data.kind = \"text-folders\"",
            ),
            (
                &[&classify[..], &["data.kind=token-classes"]].concat(),
                "`model.classifier.frame_dim` is 16",
                "remove it",
            ),
            (
                &[&classify[..], &["data.kind=frames", "data.image=[7, 9]"]].concat(),
                "`data.image`",
                "train.length",
            ),
            (&["data.shift=2"], "`data.shift`", "data.image"),
            (&sounds[..], "`model.task`", "frame_dim = 16"),
            (
                &[&classify[..], &["data.kind=wav-folders"]].concat(),
                "`model.classifier.frame_dim` is 16",
                "data.frame = 256",
            ),
            (
                &[&classify[..], &["data.kind=frames", "data.classes=['a']"]].concat(),
                "`data.classes` has 1",
                "model.classifier.classes = 2",
            ),
            (
                &[
                    "data.kind=frames",
                    "model.task=classifier",
                    "model.classifier={classes = 2, pooling = 'last'}",
                ],
                "`model.classifier.frame_dim`",
                "the width of its frames",
            ),
            (
                &["data.tokenizer=t.json"],
                "`data.tokenizer`",
                "data.kind = \"text-tokenizer\"",
            ),
            (&["data.mask_token=3"], "`data.mask_token`", "masked-lm"),
            (&masked, "`data.mask_token`", "mask_token = 256"),
        ] {
            let text = message(TEXT, overrides);
            assert!(text.contains(key) && text.contains(remedy), "{text}");
        }
    }

    #[test]
    fn resumed_run_stays_the_run_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.toml");
        std::fs::write(&path, parse(TEXT, &[]).unwrap().to_toml()).unwrap();
        let longer = RunConfig::resume(&path, &["train.steps=99".to_owned()]).unwrap();
        assert_eq!(longer.train.steps, 99);
        let error = RunConfig::resume(&path, &["train.batch=99".to_owned()]).unwrap_err();
        assert!(matches!(error, ConfigError::Frozen { ref key } if key == "train.batch"));
    }

    proptest! {
        #[test]
        fn any_override_is_taken_or_refused(text in "\\PC{0,24}") {
            let _ = parse(TEXT, &[&text]);
        }

        #[test]
        fn any_file_is_taken_or_refused(text in "(\\[(model|data|train)\\]\n|[a-z]{1,6} ?= ?[0-9a-z\"\\[\\]]{0,6}\n){0,8}") {
            let _ = parse(&text, &[]);
        }
    }
}
