//! Counts the instructions of a frame and of the logits of a classifier, and writes `key: number` lines.
#![no_std]
#![no_main]

use boards::instructions::Counter;
use boards::{Console, entry};
use static_cell::ConstStaticCell;
use toeplite::classifier::{FrameSession, Input, Pooling};
use toeplite::format::known_frame;
use toeplite::{LogitsHash, Memory};

/// `MEMORY_BYTES` of the model, and the type `Model` of its contract.
mod model_meta {
    include!(env!("TOEPLITE_META"));
}

static MODEL: &[u8] = toeplite::include_aligned!(env!("TOEPLITE_MODEL"));
static MEMORY: ConstStaticCell<Memory<{ model_meta::MEMORY_BYTES }>> =
    ConstStaticCell::new(Memory::new());

/// Most numbers of a frame.
const LARGEST_FRAME: usize = 64;
/// Frames of a clip, and of what is listened to without an end.
const CLIP: u32 = 49;
const LONG: u32 = 200;

#[entry]
fn main() -> ! {
    bench::run(run)
}

fn run(console: &mut Console, counter: &mut Counter) -> Result<(), &'static str> {
    let model = model_meta::Model::from_bytes(MODEL)
        .map_err(|_| "the model blob is refused; `toeplite inspect` says why")?;
    let memory = MEMORY.try_take().ok_or("the memory is taken")?;
    let mut session = model
        .session(memory.as_mut_slice())
        .map_err(|_| "the session memory is refused; build with the model's own MEMORY_BYTES")?;
    session.self_test().map_err(
        |_| "the known-answer test failed: this core computes other logits than the host",
    )?;
    let Input::Frames { numbers } = model.input() else {
        return Err("the model takes tokens: this program is for frames");
    };
    let mut frame = [0.0; LARGEST_FRAME];
    let frame = frame.get_mut(..numbers).ok_or("frames are too large")?;
    let (mut least, mut most) = (u64::MAX, 0);
    for number in 0..CLIP {
        let instructions = push(&mut session, counter, number, frame)?;
        (least, most) = (least.min(instructions), most.max(instructions));
    }
    console.number("frame_min", least);
    console.number("frame_max", most);
    let (classes, logits) = counter.measure(|| session.float_logits().count());
    console.number("classes", classes as u64);
    console.number("logits", logits);
    console.number("logits_hash", hash(&mut session));
    session.reset();
    // a model of the last position has no mean
    if model.pooling() == Pooling::Mean {
        session.set_half_life(25.0).map_err(|_| "no half-life")?;
    }
    for number in 0..LONG {
        push(&mut session, counter, number, frame)?;
    }
    console.number("decaying_hash", hash(&mut session));
    console.number("memory", model.memory_needed() as u64);
    Ok(())
}

/// Instructions of the frame that follows from `number`.
fn push(
    session: &mut impl FrameSession,
    counter: &mut Counter,
    number: u32,
    frame: &mut [f32],
) -> Result<u64, &'static str> {
    known_frame(number, frame);
    let (result, instructions) = counter.measure(|| session.push_floats(frame));
    result.map_err(|_| "the model refused a frame")?;
    Ok(instructions)
}

fn hash(session: &mut impl FrameSession) -> u64 {
    let mut hash = LogitsHash::new();
    hash.update_each(session.float_logits());
    hash.finish()
}
