//! Reading options as Python would: by name, with a default only where the name is absent.

use super::error::FairseqError;
use super::pickle::{Mapping, Node, Value};

/// The options of a model: `cfg.model`, or `args` in older files.
#[derive(Clone, Copy)]
pub(super) struct Options<'a> {
    model: Mapping<'a>,
    /// The whole `cfg`, which references such as `${task.tokens_per_sample}` point into.
    root: Option<Mapping<'a>>,
}

impl<'a> Options<'a> {
    /// Finds the options in a checkpoint's top-level dict.
    pub fn find(checkpoint: Mapping<'a>) -> Result<Self, FairseqError> {
        if let Some(cfg) = checkpoint.get("cfg").filter(|node| !is_none(*node)) {
            let root = as_mapping("cfg", Some(cfg))?;
            let model = as_mapping("cfg.model", root.get("model"))?;
            return Ok(Self {
                model,
                root: Some(root),
            });
        }
        let args = checkpoint.get("args").filter(|node| !is_none(*node));
        let model = as_mapping("cfg", args)?;
        Ok(Self { model, root: None })
    }

    /// An option's value; `None` where the option is absent.
    pub fn get(self, option: &str) -> Option<Node<'a>> {
        let node = self.model.get(option)?;
        // Hydra leaves options that belong to other sections as references.
        let reference = node
            .str()
            .and_then(|text| text.strip_prefix("${")?.strip_suffix('}'));
        match reference {
            Some(path) => self.follow(path),
            None => Some(node),
        }
    }

    /// The same option of another section of `cfg`.
    pub fn in_section(self, section: &str, option: &str) -> Option<Node<'a>> {
        self.root?.get(section)?.mapping()?.get(option)
    }

    fn follow(self, path: &str) -> Option<Node<'a>> {
        let (section, option) = path.split_once('.')?;
        self.in_section(section, option)
    }

    /// Whether the option is present and not `None`.
    pub fn is_set(self, option: &str) -> bool {
        self.get(option).is_some_and(|node| !is_none(node))
    }

    /// A switch; `None` is off, as in Python.
    pub fn switch(self, option: &str, default: bool) -> Result<bool, FairseqError> {
        let Some(node) = self.get(option) else {
            return Ok(default);
        };
        match node.value() {
            Value::Bool(on) => Ok(*on),
            Value::Int(number @ (0 | 1)) => Ok(*number == 1),
            Value::None => Ok(false),
            _ => Err(type_error(option, node, "True or False")),
        }
    }

    /// A size or count; without a default the option is required.
    pub fn count(self, option: &str, default: Option<usize>) -> Result<usize, FairseqError> {
        match self.get(option) {
            Some(node) => count(option, node),
            None => default.ok_or_else(|| missing(option)),
        }
    }

    /// A number, integer or not.
    pub fn number(self, option: &str, default: f64) -> Result<f64, FairseqError> {
        let Some(node) = self.get(option) else {
            return Ok(default);
        };
        match node.value() {
            Value::Float(number) => Ok(*number),
            Value::Int(number) => Ok(*number as f64),
            _ => Err(type_error(option, node, "a number")),
        }
    }

    /// A name; Python's `None` reads as "None", which is how the layers treat it.
    pub fn name(self, option: &str, default: &'static str) -> Result<&'a str, FairseqError> {
        let Some(node) = self.get(option) else {
            return Ok(default);
        };
        match node.value() {
            Value::Str(text) => Ok(text),
            Value::None => Ok("None"),
            _ => Err(type_error(option, node, "a name")),
        }
    }
}

/// Reads a size or count.
pub(super) fn count(option: &str, node: Node) -> Result<usize, FairseqError> {
    let count = node.int().and_then(|int| usize::try_from(int).ok());
    count.ok_or_else(|| type_error(option, node, "a whole number, not negative"))
}

/// Whether a value is Python's `None`.
pub(super) fn is_none(node: Node) -> bool {
    matches!(node.value(), Value::None)
}

/// The error for an option that has to be there.
pub(super) fn missing(option: &str) -> FairseqError {
    FairseqError::MissingOption {
        option: option.to_owned(),
    }
}

/// Something dict-like that has to be there.
pub(super) fn as_mapping<'a>(
    place: &str,
    node: Option<Node<'a>>,
) -> Result<Mapping<'a>, FairseqError> {
    node.and_then(Node::mapping)
        .ok_or_else(|| FairseqError::Structure {
            place: place.to_owned(),
            found: node.map_or_else(|| "missing".to_owned(), Node::describe),
            expected: "a dict or a Namespace of fairseq",
        })
}

fn type_error(option: &str, node: Node, expected: &'static str) -> FairseqError {
    FairseqError::OptionType {
        option: option.to_owned(),
        found: node.describe(),
        expected,
    }
}
