//! From a microphone's samples to events: audio front end, classifier of frames, detector.
//!
//! An [`Ear`] is made of a [`Material`], what is heard by whom, and of a [`Memory`]. The material is that of the firmware, or
//! that of an image in the board's partition, which [`choose`] prefers if it is good.

mod front_end;
mod material;

pub use front_end::{FrontEnd, Room};
#[cfg(feature = "partition")]
pub use material::choose;
pub use material::{Material, Names};

use toeplite::LogitsHash;
use toeplite::classifier::{FrameModel, FrameSession, Pooling};
use toeplite_audio::detect::{self, Detector, Event};
use toeplite_audio::{Config, Kept, LengthError};

/// When a word counts as heard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Frames from one decision to the next.
    pub every: u32,
    /// What is so many frames old counts half, in models that take the mean.
    pub half_life: f32,
    /// Smoothing, threshold and rest, in decisions; which classes are words, their names say.
    pub detector: detect::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            every: detect::EVERY,
            half_life: detect::HALF_LIFE,
            detector: detect::Settings::usual(0),
        }
    }
}

/// Memory of an ear, each part at least as large as its material needs.
pub struct Memory<'a, F: FrontEnd<'a>> {
    /// Of the classifier's session; its [`scratch`](FrameSession::scratch) must be as long as the front end's work.
    pub session: &'a mut [u8],
    /// What the front end keeps. It works in memory that the session lends.
    pub front_end: Kept<'a, F::Level>,
    /// A number a band.
    pub features: &'a mut [f32],
    /// A number a class.
    pub posteriors: &'a mut [f32],
}

/// Why there is no ear, or it hears no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EarError {
    /// A part of the memory is too small for the material.
    Memory,
    /// The known-answer test gave other logits than the host's.
    SelfTest,
    /// The half-life is no number of frames.
    HalfLife,
    /// The model refused a frame: a number that cannot be computed with.
    Frame,
}

impl From<LengthError> for EarError {
    fn from(_: LengthError) -> Self {
        Self::Memory
    }
}

/// The parts whose time can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Of samples: a frame's features.
    FrontEnd,
    /// Of a frame.
    Classifier,
    /// Logits and detector.
    Decision,
}

/// Measures what parts take, by a clock of the board's.
pub trait Meter {
    /// Does `work`, which belongs to `part`.
    fn measure<R>(&mut self, part: Part, work: impl FnOnce() -> R) -> R;
}

/// Nothing is measured.
impl Meter for () {
    fn measure<R>(&mut self, _: Part, work: impl FnOnce() -> R) -> R {
        work()
    }
}

/// What a frame led to.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// Whether a decision was due.
    pub decided: bool,
    /// What was heard.
    pub event: Option<Event>,
}

/// Front end, classifier and detector.
pub struct Ear<'a, F: FrontEnd<'a>> {
    front_end: F,
    session: <F::Model as FrameModel<'a>>::Session<'a>,
    detector: Detector<'a>,
    names: Names<'a>,
    /// A frame as the classifier takes it.
    features: &'a mut [f32],
    every: u32,
    /// Frames until the next decision.
    until: u32,
    /// Of the logits and the smoothed posteriors of all decisions.
    hash: LogitsHash,
}

impl<'a, F: FrontEnd<'a>> Ear<'a, F> {
    /// An ear that has heard nothing. [`Self::self_test`] tells whether it will hear as the host does.
    ///
    /// # Errors
    /// [`EarError::Memory`] or [`EarError::HalfLife`].
    #[inline(never)] // its stack is to be free again when the ear hears
    pub fn new(
        material: Material<'a, F>,
        memory: Memory<'a, F>,
        settings: &Settings,
    ) -> Result<Self, EarError> {
        let Material {
            model,
            tables,
            names,
        } = material;
        let session = model.session(memory.session);
        let mut session = session.map_err(|_| EarError::Memory)?;
        if model.pooling() == Pooling::Mean {
            let set = session.set_half_life(settings.half_life);
            set.map_err(|_| EarError::HalfLife)?;
        }
        let config = F::config(&tables);
        if session.scratch().len() < F::work_words(&config) {
            return Err(EarError::Memory);
        }
        let detection = detect::Settings {
            words: names.words(),
            ..settings.detector
        };
        let posteriors = memory.posteriors.get_mut(..model.classes());
        let features = memory.features.get_mut(..config.bands);
        Ok(Self {
            front_end: F::new(tables, memory.front_end)?,
            session,
            detector: Detector::new(detection, posteriors.ok_or(EarError::Memory)?),
            names,
            features: features.ok_or(EarError::Memory)?,
            every: settings.every,
            until: settings.every,
            hash: LogitsHash::new(),
        })
    }

    /// Runs the model's known-answer test; do it once, before the ear hears anything. Afterwards it has heard nothing.
    ///
    /// # Errors
    /// [`EarError::SelfTest`].
    #[inline(never)] // its stack is to be free again when the ear hears
    pub fn self_test(&mut self) -> Result<(), EarError> {
        self.session.self_test().map_err(|_| EarError::SelfTest)
    }

    /// The model that listens.
    pub fn model(&self) -> &F::Model {
        self.session.model()
    }

    /// What the front end computes: rate, frames and bands.
    pub fn config(&self) -> Config {
        self.front_end.settings()
    }

    /// The name of a class.
    pub fn name(&self, class: usize) -> &'a str {
        self.names.get(class).unwrap_or("?")
    }

    /// The hash of all decisions so far.
    pub fn hash(&self) -> u64 {
        self.hash.finish()
    }

    /// Takes samples from the front of `samples` until a frame is whole. `None`: all are taken; call it until then.
    ///
    /// # Errors
    /// [`EarError::Frame`].
    pub fn hear(
        &mut self,
        samples: &mut &[i16],
        meter: &mut impl Meter,
    ) -> Result<Option<Heard>, EarError> {
        let (front_end, features) = (&mut self.front_end, &mut *self.features);
        let session = &mut self.session;
        let is_frame = meter.measure(Part::FrontEnd, || {
            front_end.next(samples, session.scratch(), features)
        });
        if !is_frame? {
            return Ok(None);
        }
        let pushed = meter.measure(Part::Classifier, || session.push_floats(features));
        pushed.map_err(|_| EarError::Frame)?;
        self.until = self.until.saturating_sub(1);
        if self.until > 0 {
            let (decided, event) = (false, None);
            return Ok(Some(Heard { decided, event }));
        }
        self.until = self.every;
        let detector = &mut self.detector;
        let event = meter.measure(Part::Decision, || detector.push(session.float_logits()));
        let hash = &mut self.hash;
        hash.update_each(self.session.float_logits());
        hash.update(self.detector.posteriors());
        let decided = true;
        Ok(Some(Heard { decided, event }))
    }
}
