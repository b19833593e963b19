//! Instructions of a classifier of frames on every core: a frame, an answer, a clip.

use super::{compiler, measure, qemu};
use crate::boards::Board;
use crate::firmware;
use crate::host::{Aligned, refused};
use crate::model::{Files, named};
use crate::paths;
use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use toeplite::LogitsHash;
use toeplite::classifier::{FrameModel, FrameSession, Input, Model};
use toeplite::fixed::classifier::Model as IntegerModel;
use toeplite::format::{TASK_CLASSIFIER, known_frame, offset};

/// Frames that the firmware classifies.
const COUNTED: u32 = 49;

/// What a classifier takes on a core.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Classified {
    /// One of [`TARGETS`](super::TARGETS).
    pub target: String,
    /// Name of the model's file.
    pub model: String,
    /// Bytes of the model.
    pub flash: u64,
    /// Bytes of a session's memory.
    pub memory: u64,
    /// Instructions of a frame, the most of all that were counted.
    pub frame: u64,
    /// Instructions of the logits.
    pub logits: u64,
    /// Frames of a clip in training.
    pub frames: u64,
    /// Instructions of a clip and its answer.
    pub clip: u64,
}

/// Whether the file at `blob` is a classifier that streams.
///
/// # Errors
/// It cannot be read.
pub fn is_classifier(blob: &Path) -> Result<bool> {
    let bytes = Aligned::read(blob)?;
    let task = bytes.as_slice().get(offset::TASK..offset::TASK + 2);
    Ok(task == Some(&TASK_CLASSIFIER.to_le_bytes()))
}

/// Counts the classifier in the file `blob` on the core `target`, and compares its logits with the host's.
///
/// # Errors
/// The model is refused, takes tokens, or is too big; a build or a run fails; the logits are others than the host's.
pub fn count(target: &str, blob: &Path) -> Result<Classified> {
    let board = measure::board(target)?;
    let bytes = Aligned::read(blob)?;
    match bytes.is_fixed() {
        true => count_by::<IntegerModel<'_>>(target, &board, (blob, &bytes)),
        false => count_by::<Model<'_>>(target, &board, (blob, &bytes)),
    }
}

fn count_by<'a, M: FrameModel<'a>>(
    target: &str,
    board: &Board,
    (blob, bytes): (&Path, &'a Aligned),
) -> Result<Classified> {
    let model = M::from_bytes(bytes.as_slice()).map_err(refused)?;
    let stem = blob.file_stem().context("--model names no file")?;
    let stem = stem.to_string_lossy();
    let (flash, memory) = (model.blob_bytes() as u64, model.memory_needed() as u64);
    ensure!(
        flash < board.flash && memory < board.ram,
        "{stem} is too big for {target}: its {flash} bytes must fit into {} bytes of flash, and {memory} bytes of session \
         memory into {} bytes of RAM",
        board.flash,
        board.ram
    );
    let name = named(&stem, "classifier");
    let files = files(&name, blob, memory, bytes.is_fixed())?;
    let firmware = firmware::classifier(board, &name, &files)?;
    let report = measure::run(&firmware, "")?;
    let expected = hash(&model)?;
    ensure!(
        report.number("logits_hash")? == expected,
        "{target} computes other logits than the host"
    );
    let (frame, logits) = (report.number("frame_max")?, report.number("logits")?);
    let frames = u64::from(bytes.train_len());
    Ok(Classified {
        target: target.into(),
        model: stem.into_owned(),
        flash,
        memory,
        frame,
        logits,
        frames,
        clip: frames * frame + logits,
    })
}

/// Hash of the logits that the firmware should have.
fn hash<'a>(model: &impl FrameModel<'a>) -> Result<u64> {
    let Input::Frames { numbers } = model.input() else {
        bail!("the model takes tokens: frames are counted");
    };
    let mut memory = Aligned::zeros(model.memory_needed());
    let mut session = model.session(memory.as_mut_slice()).map_err(refused)?;
    let mut frame = vec![0.0; numbers];
    for number in 0..COUNTED {
        known_frame(number, &mut frame);
        session.push_floats(&frame).map_err(refused)?;
    }
    let mut hash = LogitsHash::new();
    hash.update_each(session.float_logits());
    Ok(hash.finish())
}

/// The blob, and what the firmware needs to know beside it, written for it.
fn files(name: &str, blob: &Path, memory: u64, is_fixed: bool) -> Result<Files> {
    let folder = paths::output().join("bench").join(name);
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let meta = folder.join("model_meta.rs");
    let module = if is_fixed { "fixed::" } else { "" };
    let text = format!(
        "/// Bytes of session memory.\npub const MEMORY_BYTES: usize = {memory};\n\
         /// What reads the model.\npub type Model<'a> = toeplite::{module}classifier::Model<'a>;\n"
    );
    // Cargo goes by the time of the file: written only if it says something new.
    if fs::read_to_string(&meta).ok().as_deref() != Some(&text) {
        fs::write(&meta, text).with_context(|| format!("writing {}", meta.display()))?;
    }
    let found = blob.canonicalize();
    let blob = found.with_context(|| format!("finding {}", blob.display()))?;
    Ok(Files { blob, meta })
}

/// The counts as a table in Markdown.
///
/// # Errors
/// A tool is missing.
pub fn markdown(rows: &[Classified]) -> Result<String> {
    let mut text = format!("{}; {}.\n", compiler()?, qemu()?);
    text.push_str(
        "\n| classifier | flash, bytes | session memory, bytes | a frame | an answer | frames a clip | a clip |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for row in rows {
        writeln!(
            text,
            "| {}, {} | {} | {} | {} | {} | {} | {} |",
            row.target,
            row.model,
            row.flash,
            row.memory,
            row.frame,
            row.logits,
            row.frames,
            row.clip
        )?;
    }
    Ok(text)
}
