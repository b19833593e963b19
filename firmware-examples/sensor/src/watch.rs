//! From samples to events: what a product would keep of this example.

use crate::failure::Failure;
use crate::model_meta::front_end::{CHANNELS, CLASSES, CONFIG};
use crate::model_meta::{self, MEMORY_BYTES};
use crate::settings::Settings;
use crate::stream::Sample;
use boards::instructions::Counter;
use static_cell::{ConstStaticCell, StaticCell};
use toeplite::LogitsHash;
use toeplite::classifier::{FrameModel, FrameSession, Input, Pooling};
use toeplite_sensor::activity::{Change, Tracker};
use toeplite_sensor::{FrontEnd, Memory};

/// A classifier of the contract that the model has.
type Model = model_meta::Model<'static>;

/// Numbers of a frame.
const NUMBERS: usize = CHANNELS.len();

static MODEL: &[u8] = toeplite::include_aligned!(env!("TOEPLITE_MODEL"));
static SESSION: ConstStaticCell<toeplite::Memory<MEMORY_BYTES>> =
    ConstStaticCell::new(toeplite::Memory::new());
static FRONT_END: ConstStaticCell<Memory<NUMBERS>> = ConstStaticCell::new(Memory::new());
static TRACKER: ConstStaticCell<Posteriors> = ConstStaticCell::new([0.0; CLASSES.len()]);

static WATCH: StaticCell<Result<Watch, Failure>> = StaticCell::new();

/// Memory of the tracker: smoothed posteriors.
type Posteriors = [f32; CLASSES.len()];
/// Bytes of the front end's memory.
pub const FRONT_END_BYTES: usize = size_of::<Memory<NUMBERS>>();
/// Bytes of the tracker's memory.
pub const TRACKER_BYTES: usize = size_of::<Posteriors>();

/// Front end, classifier and tracker.
pub struct Watch {
    front_end: FrontEnd<'static, 'static>,
    session: <Model as FrameModel<'static>>::Session<'static>,
    tracker: Tracker<'static>,
    every: u32,
    /// Frames until the next decision.
    until: u32,
    /// Of the logits and the smoothed posteriors of all decisions.
    hash: LogitsHash,
}

/// What a sample led to.
#[derive(Default)]
pub struct Seen {
    /// Whether a frame was whole.
    pub framed: bool,
    /// Whether a decision was due.
    pub decided: bool,
    /// Another activity than before.
    pub change: Option<Change>,
}

/// Instructions of the parts.
#[derive(Default)]
pub struct Cost {
    /// Of the front end: all samples.
    pub front_end: u64,
    /// Of the classifier: all frames.
    pub classifier: u64,
    /// Of logits and tracker: all decisions.
    pub decisions: u64,
}

/// The watch, of the memory of all parts, which is there once.
///
/// What it is made of is on the stack on the way, and gone when this returns: the network needs the stack later. So the watch
/// lies in a `static`, and its test runs later.
#[inline(never)]
pub fn watch(settings: &Settings<'_>) -> Result<&'static mut Watch, Failure> {
    let place = WATCH.try_uninit().ok_or(Failure::Memory)?;
    let made = place.write(Watch::new(settings));
    made.as_mut().map_err(|failure| *failure)
}

impl Watch {
    /// Takes the memory of all parts, and checks that they belong together.
    #[inline(never)]
    fn new(settings: &Settings<'_>) -> Result<Self, Failure> {
        let model = Model::from_bytes(MODEL).map_err(|_| Failure::Model)?;
        if model.identity() != model_meta::IDENTITY || model.memory_needed() != MEMORY_BYTES {
            return Err(Failure::OtherMeta);
        }
        if model.input() != (Input::Frames { numbers: NUMBERS }) || model.classes() != CLASSES.len()
        {
            return Err(Failure::OtherFrontEnd);
        }
        let memory = SESSION.try_take().ok_or(Failure::Memory)?.as_mut_slice();
        let mut session = model.session(memory).map_err(|_| Failure::Memory)?;
        if model.pooling() == Pooling::Mean {
            let set = session.set_half_life(settings.half_life);
            set.map_err(|_| Failure::Arguments)?;
        }
        let memory = FRONT_END.try_take().ok_or(Failure::Memory)?.buffers();
        let front_end = FrontEnd::new(CONFIG, memory).map_err(|_| Failure::Memory)?;
        let posteriors = TRACKER.try_take().ok_or(Failure::Memory)?;
        Ok(Self {
            front_end,
            session,
            tracker: Tracker::new(settings.tracker, posteriors),
            every: settings.every,
            until: settings.every,
            hash: LogitsHash::new(),
        })
    }

    /// Runs the model's known-answer test, before anything is watched.
    #[inline(never)]
    pub fn self_test(&mut self) -> Result<(), Failure> {
        self.session.self_test().map_err(|_| Failure::SelfTest)
    }

    /// The model that watches.
    pub fn model(&self) -> &Model {
        self.session.model()
    }

    /// The hash of all decisions so far.
    pub fn hash(&self) -> u64 {
        self.hash.finish()
    }

    /// Takes a sample.
    pub fn see(
        &mut self,
        sample: &Sample,
        cost: &mut Cost,
        counter: &mut Option<Counter>,
    ) -> Result<Seen, Failure> {
        let front_end = &mut self.front_end;
        let frame = count(counter, &mut cost.front_end, || front_end.push(sample));
        let Some(frame) = frame else {
            return Ok(Seen::default());
        };
        let session = &mut self.session;
        let pushed = count(counter, &mut cost.classifier, || session.push_floats(frame));
        pushed.map_err(|_| Failure::Frame)?;
        self.until = self.until.saturating_sub(1);
        let decided = self.until == 0;
        let mut change = None;
        if decided {
            self.until = self.every;
            let tracker = &mut self.tracker;
            change = count(counter, &mut cost.decisions, || {
                tracker.push(session.float_logits())
            });
            let hash = &mut self.hash;
            hash.update_each(session.float_logits());
            hash.update(self.tracker.posteriors());
        }
        Ok(Seen {
            framed: true,
            decided,
            change,
        })
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
