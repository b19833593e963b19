//! `toeplite inspect`: what is in a model or a checkpoint.

use super::output::{self, bytes};
use crate::blob::{AnyModel, Blob};
use crate::checkpoint::config::Pooling;
use crate::checkpoint::{Checkpoint, Config, Origin, SourceFormat};
use crate::convert::modal::Modal;
use crate::stream;
use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use toeplite::classifier;
use toeplite::layer::Layer;

/// Show what is in a model (.toep) or a checkpoint.
#[derive(Args)]
#[command(after_help = "\
Examples:
  toeplite inspect model.toep
  toeplite inspect checkpoint.pt --json")]
pub struct Cmd {
    /// A model (.toep), a checkpoint folder, or a fairseq checkpoint (.pt).
    subject: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Cmd {
    /// Runs the subcommand.
    pub fn run(self) -> Result<ExitCode> {
        if super::input::is_blob(&self.subject) {
            let blob = Blob::read(&self.subject)?;
            inspect_model(&blob.any()?, self.json)?;
        } else {
            super::input::refuse_empty(&self.subject, "a model (.toep) or a checkpoint")?;
            let (checkpoint, origin) = Checkpoint::open_with_origin(&self.subject)?;
            inspect_checkpoint(&self.subject, &checkpoint, &origin, self.json)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// One recurrence of a model's layer, as shown.
struct LayerRow {
    layer: usize,
    /// Where a layer has two.
    direction: &'static str,
    taps: usize,
    order: usize,
    radius: f64,
    /// Of all channels; over a window of those that are run together.
    state_bytes: usize,
    /// Of the layer; none beside the backward recurrence.
    weight_bytes: usize,
}

impl LayerRow {
    fn new(
        (layer, direction): (usize, &'static str),
        modal: &Modal,
        state_bytes: usize,
        weight_bytes: usize,
    ) -> Self {
        Self {
            layer,
            direction,
            taps: modal.fir_len(),
            order: modal.order(),
            radius: modal.radius(),
            state_bytes,
            weight_bytes,
        }
    }

    fn json(&self) -> Value {
        json!({ "taps": self.taps, "order": self.order, "largest_pole": self.radius,
            "state_bytes": self.state_bytes, "weight_bytes": self.weight_bytes })
    }
}

/// The layers, and their backward recurrences if they have any.
fn layer_rows(model: &AnyModel<'_>) -> [Vec<LayerRow>; 2] {
    let state_bytes = |modal: &Modal| {
        let bytes = model.state_bytes(modal.fir_len(), modal.order());
        bytes.taps + bytes.modes
    };
    let weight_bytes = |i| match model {
        AnyModel::F32(model) => matrix_bytes(&model.layer(i)),
        AnyModel::Window(model) => matrix_bytes(&model.layer(i)),
        AnyModel::Classifier(model) => matrix_bytes(&model.layer(i)),
        AnyModel::WindowClassifier(model) => matrix_bytes(&model.layer(i)),
        AnyModel::Fixed(model) => fixed_matrix_bytes(&model.layer(i)),
        AnyModel::FixedClassifier(model) => fixed_matrix_bytes(&model.layer(i)),
    };
    let forward = stream::recurrences(model);
    let backward = stream::backward_recurrences(model);
    let direction = match model.window() {
        Some(_) => " forward",
        None => "",
    };
    let forward = forward.iter().enumerate().map(|(i, modal)| {
        let name = (i, direction);
        LayerRow::new(name, modal, state_bytes(modal), weight_bytes(i))
    });
    let backward = backward
        .iter()
        .enumerate()
        .map(|(i, modal)| LayerRow::new((i, " backward"), modal, state_bytes(modal), 0));
    [forward.collect(), backward.collect()]
}

fn fixed_matrix_bytes(layer: &toeplite::fixed::model::Layer<'_>) -> usize {
    let matrices = [layer.gtu_in, layer.gtu_out, layer.glu_in, layer.glu_out];
    matrices.iter().map(|m| m.bytes()).sum()
}

fn matrix_bytes(layer: &Layer<'_>) -> usize {
    let matrices = [layer.gtu_in, layer.gtu_out, layer.glu_in, layer.glu_out];
    matrices.iter().map(|m| m.bytes()).sum()
}

/// What a classifier tells apart, and how a sequence becomes one vector.
struct Classifier {
    classes: usize,
    pooling: &'static str,
    frame_dim: usize,
}

impl Classifier {
    fn of_model(model: &AnyModel<'_>) -> Option<Self> {
        Some(Self {
            classes: model.outputs(),
            pooling: match model.pooling()? {
                classifier::Pooling::Mean => "mean",
                classifier::Pooling::Last => "last",
            },
            frame_dim: model.shape().frame_dim,
        })
    }

    fn of_config(config: &Config) -> Option<Self> {
        let classifier = config.classifier.as_ref()?;
        Some(Self {
            classes: classifier.classes,
            pooling: match classifier.pooling {
                Pooling::Mean => "mean",
                Pooling::Last => "last",
            },
            frame_dim: classifier.frame_dim.unwrap_or(0),
        })
    }

    fn json(&self) -> Value {
        let frame = (self.frame_dim > 0).then_some(self.frame_dim);
        json!({ "classes": self.classes, "pooling": self.pooling, "frame_dim": frame })
    }

    fn fact(&self) -> (&'static str, String) {
        let what = match self.pooling {
            "mean" => "the mean over positions",
            _ => "the last position",
        };
        ("classes", format!("{}, of {what}", self.classes))
    }
}

/// What stands at a position: tokens, or frames of some numbers.
fn reads(vocabulary: usize, frame: usize) -> (&'static str, String) {
    match frame {
        0 => ("vocabulary", vocabulary.to_string()),
        frame => ("numbers of a frame", frame.to_string()),
    }
}

fn inspect_model(model: &AnyModel<'_>, as_json: bool) -> Result<()> {
    let shape = model.shape();
    let [rows, backward] = layer_rows(model);
    let classifier = Classifier::of_model(model);
    let task = match (&classifier, model.window()) {
        (Some(_), _) => "class of a sequence",
        (None, Some(_)) => "logits at every token of a window",
        (None, None) => "logits of the next token",
    };
    let (contract, weights) = (model.contract(), model.weights());
    if as_json {
        let mut layers: Vec<Value> = rows.iter().map(LayerRow::json).collect();
        for (layer, backward) in layers.iter_mut().zip(&backward) {
            layer["backward"] = backward.json();
        }
        return output::json(&json!({
            "kind": "model", "contract": contract, "weights": weights,
            "task": task, "window": model.window(),
            "packed_for": shape.weight_order.name(),
            "identity": format!("{:08x}", model.identity()),
            "blob_bytes": model.blob_bytes(), "memory_bytes": model.memory_needed(),
            "classifier": classifier.as_ref().map(Classifier::json),
            "vocab_size": shape.vocabulary, "dim": shape.dim, "channels": shape.channels,
            "glu_dim": shape.glu_dim, "train_len": shape.train_len, "layers": layers,
        }));
    }
    let facts = [
        ("identity", format!("{:08x}", model.identity())),
        ("task", task.into()),
        ("numeric contract", contract.into()),
        ("weights", weights.into()),
        ("packed for", shape.weight_order.name().into()),
        ("flash, bytes", bytes(model.blob_bytes())),
        ("session memory, bytes", bytes(model.memory_needed())),
        reads(shape.vocabulary, shape.frame_dim),
        (
            "dim, channels, GLU",
            format!("{}, {}, {}", shape.dim, shape.channels, shape.glu_dim),
        ),
        ("layers", shape.layers.to_string()),
        ("trained at length", shape.train_len.to_string()),
    ];
    let window = model.window().map(|n| ("window, tokens", bytes(n)));
    let classes = classifier.map(|classifier| classifier.fact());
    output::line(output::table(
        ["model", ""],
        facts
            .into_iter()
            .chain(window)
            .chain(classes)
            .map(|(k, v)| [k.to_string(), v]),
    ))?;
    let mut rows: Vec<LayerRow> = rows.into_iter().chain(backward).collect();
    rows.sort_by_key(|r| r.layer);
    let rows = rows.iter().map(|r| {
        [
            format!("{}{}", r.layer, r.direction),
            r.taps.to_string(),
            r.order.to_string(),
            format!("{:.6}", r.radius),
            bytes(r.state_bytes),
            bytes(r.weight_bytes),
        ]
    });
    let header = [
        "layer",
        "taps",
        "order",
        "largest pole",
        "state, bytes",
        "weights, bytes",
    ];
    Ok(output::line(output::table(header, rows))?)
}

fn inspect_checkpoint(
    path: &Path,
    checkpoint: &Checkpoint,
    origin: &Origin,
    as_json: bool,
) -> Result<()> {
    let format = match &origin.format {
        SourceFormat::Native => "config.json + safetensors".to_string(),
        SourceFormat::Fairseq { arch } => format!("fairseq, architecture {arch}"),
    };
    let mut types: BTreeMap<String, usize> = BTreeMap::new();
    for (name, stored) in &origin.stored_types {
        let len = checkpoint.tensors.get(name).map_or(0, |t| t.len());
        *types
            .entry(format!("{stored:?}").to_lowercase())
            .or_default() += len;
    }
    if as_json {
        return output::json(&json!({
            "kind": "checkpoint", "path": path, "format": format,
            "parameters": checkpoint.parameters(), "stored_as": types, "config": checkpoint.config,
        }));
    }
    let c = &checkpoint.config;
    let t = &c.toeplitz;
    let stored = types
        .iter()
        .map(|(kind, n)| format!("{} {kind}", bytes(*n)))
        .collect::<Vec<_>>();
    let decay = match (t.decay, t.learned_decay) {
        (true, _) => "fixed",
        (false, true) => "learned",
        (false, false) => "none",
    };
    let facts = [
        ("format", format),
        ("parameters", bytes(checkpoint.parameters())),
        ("stored as", stored.join(", ")),
        ("task", format!("{:?}", c.task)),
        reads(c.vocab_size, c.frame_dim().unwrap_or(0)),
        ("layers", c.layers.to_string()),
        (
            "dim, channels, GLU",
            format!("{}, {}, {}", c.dim, c.channels(), c.glu_dim),
        ),
        ("heads", c.num_heads.to_string()),
        ("causal", c.causal.to_string()),
        ("norm", format!("{:?}, {:?}", c.norm, c.norm_position())),
        (
            "RPE",
            format!(
                "{} wide, {} hidden layers, input {:?}",
                t.rpe_dim, t.rpe_layers, t.rpe_input
            ),
        ),
        ("decay", decay.into()),
        ("kernel activation", format!("{:?}", t.act)),
        ("trained at length", c.train_len.to_string()),
    ];
    let classes = Classifier::of_config(c).map(|classifier| classifier.fact());
    Ok(output::line(output::table(
        ["checkpoint", ""],
        facts
            .into_iter()
            .chain(classes)
            .map(|(k, v)| [k.to_string(), v]),
    ))?)
}
