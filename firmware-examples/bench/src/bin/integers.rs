//! Classifies frames by a model of integers: a program without floats, which links nothing of a software float library. Writes
//! what a frame takes, and the hash of the last logits.
#![no_std]
#![no_main]

use boards::instructions::Counter;
use boards::{Console, entry};
use static_cell::ConstStaticCell;
use toeplite::fixed::classifier::Model;
use toeplite::{LogitsHash, Memory};

/// `MEMORY_BYTES` of the model.
mod model_meta {
    include!(env!("TOEPLITE_META"));
}

static MODEL: &[u8] = toeplite::include_aligned!(env!("TOEPLITE_MODEL"));
static MEMORY: ConstStaticCell<Memory<{ model_meta::MEMORY_BYTES }>> =
    ConstStaticCell::new(Memory::new());

/// Numbers of a frame.
const NUMBERS: usize = 10;
/// Frames of a clip.
const CLIP: i32 = 49;

#[entry]
fn main() -> ! {
    bench::run(run)
}

fn run(console: &mut Console, counter: &mut Counter) -> Result<(), &'static str> {
    let model = Model::from_bytes(MODEL)
        .map_err(|_| "the model blob is refused; `toeplite inspect` says why")?;
    let memory = MEMORY.try_take().ok_or("the memory is taken")?;
    let mut session = model
        .session(memory.as_mut_slice())
        .map_err(|_| "the session memory is refused; build with the model's own MEMORY_BYTES")?;
    session.self_test().map_err(
        |_| "the known-answer test failed: this core computes other logits than the host",
    )?;
    let mut most = 0;
    for number in 0..CLIP {
        let frame: [i32; NUMBERS] =
            core::array::from_fn(|i| ((number * 31 + i as i32 * 17) % 64 - 32) << 12);
        let (pushed, instructions) = counter.measure(|| session.push_frame(&frame));
        pushed.map_err(|_| "the model refused a frame")?;
        most = most.max(instructions);
    }
    console.number("frame_max", most);
    let mut hash = LogitsHash::new();
    hash.update_fixed(session.logits());
    console.number("logits_hash", hash.finish());
    Ok(())
}
