//! Running a converted model on the host, through the very runtime that devices run.

use crate::blob::{AnyModel, SessionMemory, StreamError};
use crate::convert::modal::Modal;
use crate::convert::rounding::DOUBLE;
use crate::listen::Listener;
use crate::reference::mix::Mix;
use crate::reference::recurrence::{ModalMix, TwoSidedMix};
use crate::reference::{Input, ReferenceError};
use ndarray::{Array2, ArrayView2};
use num_complex::Complex64;
use toeplite::layer::Recurrence;
use toeplite::{ClipError, InputError, classifier, fixed};

/// The logits `[n, vocab]` after each of `tokens`, from the start of a sequence; at each of them, if the model sees
/// them as one window.
///
/// # Errors
/// A token is not in the vocabulary; a window of no tokens or of too many; the model is a classifier.
pub fn logits<'a>(
    model: impl Into<AnyModel<'a>>,
    tokens: &[u32],
) -> Result<Array2<f32>, StreamError> {
    let model = model.into();
    let mut out = Array2::zeros((tokens.len(), model.outputs()));
    let mut rows = out.rows_mut().into_iter();
    model.stream(tokens.iter().copied(), |logits| {
        let row = rows.next().into_iter().flatten().enumerate();
        row.for_each(|(i, to)| *to = logits.get(i));
    })?;
    Ok(out)
}

/// Why a model gave a clip no class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClassifyError {
    /// The model is a language model.
    #[error("the model is a language model: it has logits after each token, no class for a clip")]
    NoClassifier,
    /// The model does not take the clip.
    #[error(transparent)]
    Clip(#[from] ClipError),
}

/// The logits `[classes]` that a classifier gives a clip, from a state of rest.
///
/// # Errors
/// [`ClassifyError`].
pub fn classify<'a>(
    model: impl Into<AnyModel<'a>>,
    clip: Input<'_>,
) -> Result<Vec<f32>, ClassifyError> {
    let model = model.into();
    let mut memory = SessionMemory::of_bytes(model.memory_needed());
    let memory = memory.as_mut_slice();
    match model {
        AnyModel::Classifier(_) | AnyModel::FixedClassifier(_) => {
            let mut listener = Listener::new(&model, memory).expect("a classifier that streams");
            push_all(&mut listener, clip)?;
            Ok(listener.logits())
        }
        AnyModel::WindowClassifier(model) => {
            let mut session = model.session(memory).expect(ENOUGH);
            let logits = match clip {
                Input::Tokens(tokens) => session.run(tokens),
                Input::Frames(frames) => {
                    for_width(&model, frames)?;
                    session.run_frames(frames.as_standard_layout().as_slice().expect(CONTIGUOUS))
                }
            };
            Ok(logits?.to_vec())
        }
        AnyModel::F32(_) | AnyModel::Fixed(_) | AnyModel::Window(_) => {
            Err(ClassifyError::NoClassifier)
        }
    }
}

/// [`classify`] of tokens.
///
/// # Errors
/// [`ClassifyError`].
pub fn classify_tokens<'a>(
    model: impl Into<AnyModel<'a>>,
    tokens: &[u32],
) -> Result<Vec<f32>, ClassifyError> {
    classify(model, Input::Tokens(tokens))
}

/// [`classify`] of frames, `[n, frame_dim]`.
///
/// # Errors
/// [`ClassifyError`].
pub fn classify_frames<'a>(
    model: impl Into<AnyModel<'a>>,
    frames: ArrayView2<'_, f32>,
) -> Result<Vec<f32>, ClassifyError> {
    classify(model, Input::Frames(frames))
}

const ENOUGH: &str = "the memory is the size that the model asks for";
const CONTIGUOUS: &str = "the standard layout is contiguous";

fn push_all(listener: &mut Listener<'_, '_>, clip: Input<'_>) -> Result<(), ClipError> {
    let at = |position| move |source| ClipError::Input { position, source };
    match clip {
        _ if clip.is_empty() => return Err(ClipError::Empty),
        Input::Tokens(tokens) => {
            for (i, token) in tokens.iter().enumerate() {
                listener.push(*token).map_err(at(i))?;
            }
        }
        Input::Frames(frames) => {
            let frames = frames.as_standard_layout();
            for (i, frame) in frames.rows().into_iter().enumerate() {
                let frame = frame.to_slice().expect(CONTIGUOUS);
                listener.push_frame(frame).map_err(at(i))?;
            }
        }
    }
    Ok(())
}

/// Frames of another width must not be taken for others of the right one: a window's lie one after the other.
fn for_width(
    model: &classifier::window::Model<'_>,
    frames: ArrayView2<'_, f32>,
) -> Result<(), ClipError> {
    let found = frames.ncols();
    let source = match model.input() {
        classifier::Input::Frames { numbers } if numbers == found => return Ok(()),
        classifier::Input::Frames { numbers } => InputError::FrameLength {
            expected: numbers,
            found,
        },
        classifier::Input::Tokens { .. } => InputError::TakesTokens,
    };
    Err(ClipError::Input {
        position: 0,
        source,
    })
}

/// The recurrences of all layers as the blob holds them; of a window the forward ones.
pub fn recurrences<'a>(model: impl Into<AnyModel<'a>>) -> Vec<Modal> {
    let model = model.into();
    let shape = model.shape();
    (0..shape.layers)
        .map(|i| match model {
            AnyModel::F32(model) => recurrence(&model.layer(i).recurrence, shape.channels),
            AnyModel::Fixed(model) => fixed_recurrence(&model.layer(i).recurrence, shape.channels),
            AnyModel::FixedClassifier(model) => {
                fixed_recurrence(&model.layer(i).recurrence, shape.channels)
            }
            AnyModel::Window(model) => recurrence(&model.layer(i).recurrence, shape.channels),
            AnyModel::Classifier(model) => recurrence(&model.layer(i).recurrence, shape.channels),
            AnyModel::WindowClassifier(model) => {
                recurrence(&model.layer(i).recurrence, shape.channels)
            }
        })
        .collect()
}

/// The backward recurrences of all layers as the blob holds them: index 0 of their kernels is lag -1. None of a
/// model that streams.
pub fn backward_recurrences<'a>(model: impl Into<AnyModel<'a>>) -> Vec<Modal> {
    let model = model.into();
    let shape = model.shape();
    let backward = |i| match model {
        AnyModel::Window(model) => Some(model.backward(i)),
        AnyModel::WindowClassifier(model) => Some(model.backward(i)),
        AnyModel::F32(_)
        | AnyModel::Fixed(_)
        | AnyModel::Classifier(_)
        | AnyModel::FixedClassifier(_) => None,
    };
    let all = (0..shape.layers).filter_map(backward);
    all.map(|r| recurrence(&r, shape.channels)).collect()
}

/// Token mixing by the recurrences that the blob holds.
///
/// # Errors
/// The recurrences contradict each other, which those of a checked model do not.
pub fn mix(model: &AnyModel<'_>) -> Result<Box<dyn Mix<f32>>, ReferenceError> {
    let forward = ModalMix::new(&recurrences(model))?;
    Ok(match model {
        AnyModel::Window(_) | AnyModel::WindowClassifier(_) => {
            let backward = ModalMix::new(&backward_recurrences(model))?;
            Box::new(TwoSidedMix::new(forward, backward)?)
        }
        _ => Box::new(forward),
    })
}

/// The contract's modes act a lag later than their inputs leave the ring, and the lag between is a tap.
fn fixed_recurrence(r: &fixed::model::Recurrence<'_>, channels: usize) -> Modal {
    let unit = |places: i32| f64::from(-places).exp2();
    let modes: Vec<_> = (0..r.counts.real + r.counts.complex)
        .map_while(|k| r.mode(k))
        .collect();
    let rows = r.taps.len().checked_div(channels).unwrap_or(0);
    let taps = r.taps.iter().map(|tap| f64::from(*tap) * unit(r.fraction));
    let poles = modes.iter().map(|mode| {
        let part = |x: i32| f64::from(x) * unit((mode.low + mode.down) as i32);
        Complex64::new(1.0 + part(mode.re), part(mode.im))
    });
    let residues = Array2::from_shape_fn((modes.len(), channels), |(k, c)| {
        let scale = unit(r.fraction - modes[k].input as i32 + modes[k].low as i32);
        let residue = r.residues[k * channels + c];
        let im = if k < r.counts.real { 0 } else { residue >> 16 };
        Complex64::new(f64::from(residue as i16), f64::from(im)) * scale
    });
    Modal {
        taps: Array2::from_shape_vec((rows, channels), taps.collect())
            .expect("the runtime checked the sizes"),
        poles: poles.collect(),
        residues,
        channel_decay: None,
    }
}

fn recurrence(r: &Recurrence<'_>, channels: usize) -> Modal {
    let wide = |x: &f32| f64::from(*x);
    let (real, complex) = r.modes.poles.split_at(r.counts.real);
    let mut poles: Vec<Complex64> = real.iter().map(|p| Complex64::new(wide(p), 0.0)).collect();
    let squares = complex.chunks_exact(2);
    let imaginary = |square: f64| if square == 0.0 { DOUBLE } else { square.sqrt() };
    poles.extend(squares.map(|p| Complex64::new(wide(&p[0]), imaginary(wide(&p[1])))));
    let residues = Array2::from_shape_fn((poles.len(), channels), |(k, c)| {
        let at = |row: usize| f64::from(r.residue(row, c));
        match k.checked_sub(r.counts.real) {
            None => Complex64::new(at(k), 0.0),
            Some(j) => {
                let row = r.counts.real + 2 * j;
                Complex64::new(at(row), -at(row + 1) / poles[k].im)
            }
        }
    });
    let decays = (0..channels).map(|c| f64::from(r.decay(c)));
    Modal {
        taps: Array2::from_shape_fn((r.counts.taps, channels), |(i, c)| f64::from(r.tap(i, c))),
        poles,
        residues,
        channel_decay: r.counts.has_channel_decay.then(|| decays.collect()),
    }
}
