//! A running sequence in integers.

use super::activation::{activate, silu};
use super::dense::{finish, sums};
use super::model::{Layer, Matrix, Model};
use super::number::{Factor, bits, clamp};
use super::quantize::quantize;
use super::recurrence::{self, State};
use super::{ACTIVATION_BITS, check::Bounds};
use crate::error::{MemoryError, SelfTestError, SnapshotError, StepError};
use crate::format::ALIGNMENT;
use crate::hash::LogitsHash;
use crate::model::{Activation, Norm, Shape};
use crate::probe::{Probe, Stage};
use crate::session::Token;
use crate::snapshot;

/// One sequence being streamed through a model.
///
/// Each [`step`](Self::step) costs the same, at the first token and at the ten millionth.
pub struct Session<'a, 'm> {
    model: Model<'a>,
    kept: Kept<'m>,
    /// Scratch space of a step; not part of the state.
    scratch: Scratch<'m>,
}

/// What lasts from step to step.
struct Kept<'m> {
    /// Of each layer, the oldest row of its ring and the mode that rests next.
    places: &'m mut [[u32; 2]],
    /// States of the modes of all layers.
    modes: &'m mut [i32],
    /// Rings of all layers.
    rings: &'m mut [i16],
}

struct Scratch<'m> {
    /// Residual stream, `[dim]`.
    x: &'m mut [i32],
    /// Sums of a branch; a centred copy of the residual stream. `[dim]`.
    branch: &'m mut [i32],
    /// u, v and y of the GTU; both halves of the GLU; the logits.
    work: &'m mut [i32],
    /// Quantized input of a matrix.
    quantized: &'m mut [i8],
}

/// Takes the first `n` numbers off `rest`; nothing if there are fewer.
fn take<'s, T>(rest: &mut &'s mut [T], n: usize) -> &'s mut [T] {
    match core::mem::take(rest).split_at_mut_checked(n) {
        Some((first, after)) => {
            *rest = after;
            first
        }
        None => &mut [],
    }
}

impl<'a, 'm> Session<'a, 'm> {
    pub(super) fn new(model: Model<'a>, memory: &'m mut [u8]) -> Result<Self, MemoryError> {
        let (needed, found) = (model.memory_needed(), memory.len());
        let remainder = memory.as_ptr().addr() % ALIGNMENT;
        if remainder != 0 {
            return Err(MemoryError::Misaligned { remainder });
        }
        let too_small = MemoryError::TooSmall { needed, found };
        let memory = memory.get_mut(..needed).ok_or(too_small)?;
        memory.fill(0);
        let mut rest: &mut [i32] = bytemuck::try_cast_slice_mut(memory).map_err(|_| too_small)?;
        let dim = model.shape().dim;
        let modes = take(&mut rest, model.sizes().modes);
        let x = take(&mut rest, dim);
        let branch = take(&mut rest, dim);
        let work = take(&mut rest, model.work_words());
        let places = take(&mut rest, 2 * model.layers());
        let places = bytemuck::try_cast_slice_mut(places).map_err(|_| too_small)?;
        let rings = take(&mut rest, model.ring_words());
        let rings = bytemuck::try_cast_slice_mut(rings).map_err(|_| too_small)?;
        let quantized = bytemuck::try_cast_slice_mut(rest).map_err(|_| too_small)?;
        Ok(Self {
            model,
            kept: Kept {
                places,
                modes,
                rings,
            },
            scratch: Scratch {
                x,
                branch,
                work,
                quantized,
            },
        })
    }

    /// The model that runs.
    pub fn model(&self) -> &Model<'a> {
        &self.model
    }

    /// Takes one token and returns the logits of the next, `[vocabulary]`, in units of
    /// `2^-`[`LOGIT_BITS`](super::LOGIT_BITS).
    ///
    /// # Errors
    /// [`StepError::UnknownToken`]; the session is then unchanged.
    pub fn step(&mut self, token: impl Into<Token>) -> Result<&[i32], StepError> {
        self.advance(token.into(), &mut ())?;
        Ok(self.head(&mut ()))
    }

    /// [`step`](Self::step), with `probe` told of every stage, such as a
    /// [`Profile`](crate::profile::Profile). The logits are those of `step`.
    ///
    /// # Errors
    /// [`StepError::UnknownToken`]; the session is then unchanged.
    #[cfg(feature = "profile")]
    pub fn step_with(
        &mut self,
        token: impl Into<Token>,
        probe: &mut impl Probe,
    ) -> Result<&[i32], StepError> {
        self.advance(token.into(), probe)?;
        Ok(self.head(probe))
    }

    /// Takes several tokens and returns the logits after the last. The logits between are not
    /// computed.
    ///
    /// # Errors
    /// [`StepError::NoTokens`] if there are none; [`StepError::UnknownToken`] at the first unknown one, the
    /// session having taken those before it.
    pub fn prefill<T: Into<Token>>(
        &mut self,
        tokens: impl IntoIterator<Item = T>,
    ) -> Result<&[i32], StepError> {
        let mut any = Err(StepError::NoTokens);
        for token in tokens {
            if let Err(error) = self.advance(token.into(), &mut ()) {
                // what the layers left there are no logits
                self.scratch.work.fill(0);
                return Err(error);
            }
            any = Ok(());
        }
        any?;
        Ok(self.head(&mut ()))
    }

    /// The logits that the last step or prefill returned; zeros before the first, after a failed
    /// prefill, [`reset`](Self::reset) and [`restore`](Self::restore).
    pub fn logits(&self) -> &[i32] {
        self.scratch
            .work
            .get(..self.model.vocab_size())
            .unwrap_or(&[])
    }

    /// Back to the start of a sequence.
    pub fn reset(&mut self) {
        self.kept.places.fill([0; 2]);
        self.kept.modes.fill(0);
        self.kept.rings.fill(0);
        self.scratch.work.fill(0);
    }

    /// Bytes of a [`save`](Self::save).
    pub fn snapshot_bytes(&self) -> usize {
        let kept = &self.kept;
        snapshot::HEADER
            + 4 * (2 * kept.places.len() + kept.modes.len())
            + size_of_val(&*kept.rings)
    }

    /// Writes the state to the start of `out` and returns its size. Logits are not saved.
    ///
    /// # Errors
    /// [`SnapshotError::WrongLength`] if `out` has fewer than
    /// [`snapshot_bytes`](Self::snapshot_bytes) bytes.
    pub fn save(&self, out: &mut [u8]) -> Result<usize, SnapshotError> {
        let kept = &self.kept;
        let pair = |[low, high]: &[i16; 2]| u32::from(*low as u16) | u32::from(*high as u16) << 16;
        let places = kept.places.iter().flatten().copied();
        let modes = kept.modes.iter().map(|s| *s as u32);
        let rings = kept.rings.as_chunks().0.iter().map(pair);
        let words = places.chain(modes).chain(rings);
        snapshot::write(out, self.snapshot_bytes(), self.model.identity(), words)
    }

    /// Takes over a state that [`save`](Self::save) wrote, on any device with the same model.
    ///
    /// # Errors
    /// [`SnapshotError`]; the session is then unchanged.
    pub fn restore(&mut self, snapshot: &[u8]) -> Result<(), SnapshotError> {
        let body = snapshot::read(snapshot, self.snapshot_bytes(), self.model.identity())?;
        let corrupt = SnapshotError::Corrupt;
        let kept = &mut self.kept;
        let (places, rest) = body
            .split_at_checked(2 * kept.places.len())
            .ok_or(corrupt)?;
        let (modes, rings) = rest.split_at_checked(kept.modes.len()).ok_or(corrupt)?;
        if !holds(&self.model, places, modes) {
            return Err(corrupt);
        }
        let places = snapshot::words(places);
        let to = kept.places.iter_mut().flatten();
        to.zip(places).for_each(|(to, from)| *to = from);
        let to = kept.modes.iter_mut();
        to.zip(snapshot::words(modes))
            .for_each(|(to, from)| *to = from as i32);
        let to = kept.rings.as_chunks_mut().0.iter_mut();
        to.zip(snapshot::words(rings))
            .for_each(|(to, from)| *to = [from as i16, (from >> 16) as i16]);
        self.scratch.work.fill(0);
        Ok(())
    }

    /// Runs the model's known-answer test: the logits of a few steps must hash to what the host
    /// computed when it wrote the model. The session is at the start of a sequence afterwards.
    ///
    /// # Errors
    /// [`SelfTestError`] with both hashes.
    pub fn self_test(&mut self) -> Result<(), SelfTestError> {
        let (expected, tokens) = self.model.known_answer();
        let found = self.hash_steps(tokens.iter().copied());
        if expected == found {
            Ok(())
        } else {
            Err(SelfTestError { expected, found })
        }
    }

    /// The hash of the logits of every step over `tokens` from the start of a sequence. The
    /// session is at the start of a sequence afterwards. Tokens that are not in the vocabulary
    /// are passed over.
    pub fn hash_steps<T: Into<Token>>(&mut self, tokens: impl IntoIterator<Item = T>) -> u64 {
        self.reset();
        let mut hash = LogitsHash::new();
        for token in tokens {
            if let Ok(logits) = self.step(token) {
                hash.update_fixed(logits);
            }
        }
        self.reset();
        hash.finish()
    }

    /// Runs the embedding and all layers. Not inlined, here and below: once in flash is enough.
    #[inline(never)]
    fn advance<P: Probe>(&mut self, token: Token, probe: &mut P) -> Result<(), StepError> {
        let shape = *self.model.shape();
        if token.0 as usize >= shape.vocabulary {
            return Err(StepError::UnknownToken {
                token: token.0,
                vocabulary: shape.vocabulary,
            });
        }
        let s = &mut self.scratch;
        probe.enter(Stage::Embedding);
        s.embed(&self.model, token.0 as usize);
        let (mut modes, mut rings) = (&mut *self.kept.modes, &mut *self.kept.rings);
        for (i, places) in self.kept.places.iter_mut().enumerate() {
            probe.enter(Stage::Norm);
            let layer = self.model.layer(i);
            let counts = layer.recurrence.counts;
            let state = State {
                places,
                ring: take(&mut rings, counts.taps * shape.channels),
                modes: take(&mut modes, counts.order() * shape.channels),
            };
            s.gtu(&self.model, &layer, state, probe);
            s.glu(&self.model, &layer, probe);
        }
        Ok(())
    }

    /// The final norm and the head.
    #[inline(never)]
    fn head<P: Probe>(&mut self, probe: &mut P) -> &[i32] {
        let shape = *self.model.shape();
        let s = &mut self.scratch;
        probe.enter(Stage::Norm);
        let (q, factor) = s.input(&self.model, shape.final_norm);
        probe.enter(Stage::Head);
        let head = self.model.head();
        let logits = s.work.get_mut(..shape.vocabulary).unwrap_or(&mut []);
        sums(head.weights, s.quantized.get(..q).unwrap_or(&[]), logits);
        finish(&head, 0, factor, logits, |x| x);
        logits
    }
}

/// Whether the words of a snapshot are places and states that a session of `model` can have.
fn holds(model: &Model<'_>, places: &[[u8; 4]], modes: &[[u8; 4]]) -> bool {
    let (mut places, mut states) = (snapshot::words(places), snapshot::words(modes));
    let mut state = || u64::from((states.next().unwrap_or(0) as i32).unsigned_abs());
    let channels = model.shape().channels;
    (0..model.layers()).all(|layer| {
        let r = model.layer(layer).recurrence;
        let modes = r.counts.real + r.counts.complex;
        let rows = [r.counts.taps, modes].map(|rows| rows.max(1) as u32);
        let in_range = rows.iter().all(|rows| places.next().unwrap_or(0) < *rows);
        in_range
            && (0..modes).all(|index| {
                let bounds = r.mode(index).and_then(|mode| Bounds::of(&mode));
                let largest = bounds.map_or(0, |bounds| bounds.state);
                let real = index < r.counts.real;
                (0..channels).all(|_| {
                    let (re, im) = (state(), if real { 0 } else { state() });
                    re * re + im * im <= largest * largest
                })
            })
    })
}

impl Scratch<'_> {
    /// `x = weight * multiplier` of the token's row.
    fn embed(&mut self, model: &Model<'_>, row: usize) {
        let (weights, multipliers) = model.embedding();
        let multiplier = i32::from(multipliers.get(row).copied().unwrap_or(0));
        let weights = weights.get(row * self.x.len()..).unwrap_or(&[]);
        for (x, weight) in self.x.iter_mut().zip(weights) {
            *x = i32::from(*weight) * multiplier;
        }
    }

    /// Quantizes the residual stream after `norm`; returns how many numbers and their factor.
    fn input(&mut self, model: &Model<'_>, norm: Norm) -> (usize, Factor) {
        let x = if norm == Norm::Layer {
            copy(self.x, self.branch);
            &mut *self.branch
        } else {
            &mut *self.x
        };
        let [mean, _] = &model.means;
        let factor = quantize(norm, mean, model.fraction(), x, self.quantized);
        (x.len(), factor)
    }

    /// `x += W_o norm(u * TNO(v))` with `u, v = act(W norm(x))`.
    fn gtu<P: Probe>(
        &mut self,
        model: &Model<'_>,
        layer: &Layer<'_>,
        mut state: State<'_>,
        probe: &mut P,
    ) {
        let shape = model.shape();
        let (q, factor) = self.input(model, shape.norm);
        let mut rest = &mut *self.work;
        let uv = take(&mut rest, 2 * shape.channels);
        let y = take(&mut rest, shape.channels);
        probe.enter(Stage::Dense);
        let q = self.quantized.get(..q).unwrap_or(&[]);
        sums(layer.gtu_in.weights, q, uv);
        probe.enter(Stage::Gates);
        activated(shape.gtu_act, &layer.gtu_in, factor, uv);
        let Some((u, v)) = uv.split_at_mut_checked(shape.channels) else {
            return;
        };
        probe.enter(Stage::Fir);
        let r = &layer.recurrence;
        recurrence::convolve(r, &state, v, y);
        probe.enter(Stage::Recurrence);
        recurrence::advance(r, &mut state, v, y);
        probe.enter(Stage::Gates);
        let places = gate(u, y);
        probe.enter(Stage::Norm);
        // Q of u, of v, and what the recurrence adds
        let fraction = 2 * ACTIVATION_BITS + r.fraction - places;
        let [_, mean] = &model.means;
        let factor = quantize(shape.gtu_norm, mean, fraction, y, self.quantized);
        // the blob's places are those without the shift
        let shifted = if shape.gtu_norm == Norm::None {
            places
        } else {
            0
        };
        let factor = Factor {
            exponent: factor.exponent + shifted,
            ..factor
        };
        probe.enter(Stage::Dense);
        let q = self.quantized.get(..shape.channels).unwrap_or(&[]);
        sums(layer.gtu_out.weights, q, self.branch);
        finish(&layer.gtu_out, 0, factor, self.branch, |x| x);
        probe.enter(Stage::Norm);
        add(self.branch, self.x);
    }

    /// `x += W_3 (act(W_1 norm(x)) * (W_2 norm(x)))`.
    fn glu<P: Probe>(&mut self, model: &Model<'_>, layer: &Layer<'_>, probe: &mut P) {
        let shape: &Shape = model.shape();
        let (q, factor) = self.input(model, shape.norm);
        let both = self.work.get_mut(..2 * shape.glu_dim).unwrap_or(&mut []);
        probe.enter(Stage::Dense);
        let q = self.quantized.get(..q).unwrap_or(&[]);
        sums(layer.glu_in.weights, q, both);
        probe.enter(Stage::Gates);
        let Some((gate, value)) = both.split_at_mut_checked(shape.glu_dim) else {
            return;
        };
        activated(shape.glu_act, &layer.glu_in, factor, gate);
        finish(&layer.glu_in, shape.glu_dim, factor, value, clamp);
        for (gate, value) in gate.iter_mut().zip(&*value) {
            *gate *= value;
        }
        probe.enter(Stage::Norm);
        let [mean, _] = &model.means;
        let factor = quantize(Norm::None, mean, 0, gate, self.quantized);
        probe.enter(Stage::Dense);
        let q = self.quantized.get(..shape.glu_dim).unwrap_or(&[]);
        sums(layer.glu_out.weights, q, self.branch);
        finish(&layer.glu_out, 0, factor, self.branch, |x| x);
        probe.enter(Stage::Norm);
        add(self.branch, self.x);
    }
}

/// Numbers of 16 bits from sums, and `activation` of them.
fn activated(activation: Activation, matrix: &Matrix<'_>, factor: Factor, sums: &mut [i32]) {
    // a loop of its own for the usual one, without a choice in it
    match activation {
        Activation::Silu => finish(matrix, 0, factor, sums, silu),
        other => finish(matrix, 0, factor, sums, |x| activate(other, clamp(x))),
    }
}

/// `y = (y >> n) * u` with `n` such that all `y >> n` have 16 bits, which is returned.
fn gate(u: &[i32], y: &mut [i32]) -> i32 {
    let all = y.iter().fold(0, |all, y| all | (y ^ (y >> 31)) as u32);
    let places = (bits(all) - 15).max(0);
    for (y, u) in y.iter_mut().zip(u) {
        *y = (*y >> places as u32) * u;
    }
    places
}

/// `x += branch`, saturating.
fn add(branch: &[i32], x: &mut [i32]) {
    for (x, branch) in x.iter_mut().zip(branch) {
        *x = x.saturating_add(*branch);
    }
}

fn copy(from: &[i32], to: &mut [i32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}
