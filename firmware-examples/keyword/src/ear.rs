//! From samples to events: what a product would keep of this example.

use crate::failure::Failure;
use crate::model_meta::front_end::{CLASSES, CONFIG, LogMel, Memory, Tables};
use crate::model_meta::{self, MEMORY_BYTES};
use crate::settings::Settings;
use boards::instructions::Counter;
use static_cell::ConstStaticCell;
use toeplite::LogitsHash;
use toeplite::classifier::{Decay, Input, Model, Pooling, Session};
use toeplite_audio::detect::{self, Detector, Event, Settings as Detection};
use toeplite_audio::fixed;

const FRAME: usize = CONFIG.frame;
const BINS: usize = CONFIG.bins();
const BANDS: usize = CONFIG.bands;

static MODEL: &[u8] = toeplite::include_aligned!(env!("TOEPLITE_MODEL"));
static TABLES: Tables<FRAME, BINS, BANDS> = Tables::new(CONFIG);
static SESSION: ConstStaticCell<toeplite::Memory<MEMORY_BYTES>> =
    ConstStaticCell::new(toeplite::Memory::new());
static FRONT_END: ConstStaticCell<Memory<FRAME, BINS, BANDS>> = ConstStaticCell::new(Memory::new());
static DETECTOR: ConstStaticCell<Posteriors> = ConstStaticCell::new([0.0; CLASSES.len()]);

/// Memory of the detector: smoothed posteriors.
type Posteriors = [f32; CLASSES.len()];
/// Bytes of the front end's memory.
pub const FRONT_END_BYTES: usize = size_of::<Memory<FRAME, BINS, BANDS>>();
/// Bytes of the detector's memory.
pub const DETECTOR_BYTES: usize = size_of::<Posteriors>();

/// A bit for each class that is a word, not silence or other speech.
const WORDS: u64 = detect::words(&CLASSES);

/// Front end, classifier and detector.
pub struct Ear {
    front_end: LogMel<'static>,
    session: Session<'static, 'static>,
    detector: Detector<'static>,
    /// A frame as the classifier takes it.
    features: [f32; BANDS],
    every: u32,
    /// Frames until the next decision.
    until: u32,
    /// Of the logits and the smoothed posteriors of all decisions.
    hash: LogitsHash,
}

/// What a frame led to.
pub struct Heard {
    /// Whether a decision was due.
    pub decided: bool,
    /// What was heard.
    pub event: Option<Event>,
}

/// Instructions of the parts.
#[derive(Default)]
pub struct Cost {
    /// Of the front end: all calls.
    pub front_end: u64,
    /// Of the classifier: all frames.
    pub classifier: u64,
    /// Of logits and detector: all decisions.
    pub decisions: u64,
}

impl Ear {
    /// Takes the memory of all parts, which is there once, and checks that they belong together.
    pub fn new(settings: &Settings<'_>) -> Result<Self, Failure> {
        let model = Model::from_bytes(MODEL).map_err(|_| Failure::Model)?;
        if model.identity() != model_meta::IDENTITY || model.memory_needed() != MEMORY_BYTES {
            return Err(Failure::OtherMeta);
        }
        if model.input() != (Input::Frames { numbers: BANDS }) || model.classes() != CLASSES.len() {
            return Err(Failure::OtherFrontEnd);
        }
        let memory = SESSION.try_take().ok_or(Failure::Memory)?.as_mut_slice();
        let mut session = model.session(memory).map_err(|_| Failure::Memory)?;
        session.self_test().map_err(|_| Failure::SelfTest)?;
        if model.pooling() == Pooling::Mean {
            let decay = Decay::half_life(settings.half_life).map_err(|_| Failure::Arguments)?;
            session.set_decay(decay).map_err(|_| Failure::Arguments)?;
        }
        let memory = FRONT_END.try_take().ok_or(Failure::Memory)?.buffers();
        let front_end = LogMel::new(TABLES.view(), memory).map_err(|_| Failure::Memory)?;
        let detection = Detection {
            words: WORDS,
            ..settings.detector
        };
        let detector = Detector::new(detection, DETECTOR.try_take().ok_or(Failure::Memory)?);
        Ok(Self {
            front_end,
            session,
            detector,
            features: [0.0; BANDS],
            every: settings.every,
            until: settings.every,
            hash: LogitsHash::new(),
        })
    }

    /// The model that listens.
    pub fn model(&self) -> &Model<'static> {
        self.session.model()
    }

    /// The hash of all decisions so far.
    pub fn hash(&self) -> u64 {
        self.hash.finish()
    }

    /// Takes samples from the front of `samples` until a frame is whole. `None`: all are taken; call it until then.
    pub fn hear(
        &mut self,
        samples: &mut &[i16],
        cost: &mut Cost,
        counter: &mut Option<Counter>,
    ) -> Result<Option<Heard>, Failure> {
        let (front_end, features) = (&mut self.front_end, &mut self.features);
        let is_frame = count(counter, &mut cost.front_end, || {
            let frame = front_end.next(samples)?;
            for (to, from) in features.iter_mut().zip(frame) {
                *to = from.number();
            }
            Some(())
        });
        if is_frame.is_none() {
            return Ok(None);
        }
        let session = &mut self.session;
        let pushed = count(counter, &mut cost.classifier, || {
            session.push_frame(features)
        });
        pushed.map_err(|_| Failure::Frame)?;
        self.until = self.until.saturating_sub(1);
        if self.until > 0 {
            let (decided, event) = (false, None);
            return Ok(Some(Heard { decided, event }));
        }
        self.until = self.every;
        let detector = &mut self.detector;
        let event = count(counter, &mut cost.decisions, || {
            detector.push(session.logits())
        });
        self.hash.update(self.session.logits());
        self.hash.update(self.detector.posteriors());
        let decided = true;
        Ok(Some(Heard { decided, event }))
    }
}

/// Does `work`, and adds its instructions to `sum`, if they are counted.
fn count<R>(counter: &mut Option<Counter>, sum: &mut u64, work: impl FnOnce() -> R) -> R {
    let Some(counter) = counter else {
        return work();
    };
    let (result, instructions) = counter.measure(work);
    *sum += instructions;
    result
}

/// What the front ends give, in floats and in integers.
trait Feature {
    /// The number that the classifier was trained on.
    fn number(&self) -> f32;
}

impl Feature for f32 {
    fn number(&self) -> f32 {
        *self
    }
}

impl Feature for i16 {
    fn number(&self) -> f32 {
        // a power of two: exact
        f32::from(*self) * (1.0 / fixed::ONE as f32)
    }
}
