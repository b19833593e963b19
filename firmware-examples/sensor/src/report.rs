//! Watches a stream from its start to its end, and writes events and the `key: value` lines.

use crate::failure::Failure;
use crate::model_meta::front_end::{CLASSES, CONFIG};
use crate::stream::Stream;
use crate::watch::{Cost, FRONT_END_BYTES, TRACKER_BYTES, Watch};
use boards::footprint::{Stack, flash_bytes, static_ram_bytes};
use boards::instructions::Counter;
use boards::{BOARD, Console};
use toeplite::classifier::Model;
use toeplite_sensor::activity::Change;

/// Ends the events; everything after it is `key: value` lines.
const SEPARATOR: &str = "\n---\n";

/// Figures of a stream.
pub struct Watched {
    samples: u64,
    frames: u64,
    decisions: u64,
    events: u64,
    hash: u64,
    /// Nothing, if this machine does not count.
    cost: Option<Cost>,
}

/// Writes a line for each event, while the stream goes on: when its last sample was taken.
pub fn watch(
    console: &mut Console,
    watch: &mut Watch,
    stream: &Stream,
    mut counter: Option<Counter>,
) -> Result<Watched, Failure> {
    let mut cost = Cost::default();
    let (mut samples, mut frames, mut decisions, mut events) = (0, 0, 0, 0);
    while let Some(sample) = stream.next()? {
        samples += 1;
        let seen = watch.see(&sample, &mut cost, &mut counter)?;
        frames += u64::from(seen.framed);
        decisions += u64::from(seen.decided);
        if let Some(change) = seen.change {
            events += 1;
            write(console, samples, change);
        }
    }
    console.text(SEPARATOR);
    Ok(Watched {
        samples,
        frames,
        decisions,
        events,
        hash: watch.hash(),
        cost: counter.map(|_| cost),
    })
}

/// `12.400 s: walking 93%`
fn write(console: &mut Console, samples: u64, change: Change) {
    thousandths(console, CONFIG.milliseconds(samples));
    console.text(" s: ");
    console.text(CLASSES.get(change.class).unwrap_or(&"?"));
    console.text(" ");
    console.decimal((change.posterior * 100.0) as u64);
    console.text("%\n");
}

impl Watched {
    /// Writes the figures.
    pub fn write(&self, console: &mut Console) {
        console.number("milliseconds", CONFIG.milliseconds(self.samples));
        console.number("samples", self.samples);
        console.number("frames", self.frames);
        console.number("decisions", self.decisions);
        console.number("events", self.events);
        console.hash("posteriors_hash", self.hash);
        let Some(cost) = &self.cost else {
            console.line("instructions", "not counted (needs QEMU's -icount)");
            return;
        };
        let mean = |sum: u64, count: u64| sum.checked_div(count).unwrap_or(0);
        for (key, sum, count) in [
            (
                "instructions_per_sample_front_end",
                cost.front_end,
                self.samples,
            ),
            (
                "instructions_per_frame_classifier",
                cost.classifier,
                self.frames,
            ),
            ("instructions_per_decision", cost.decisions, self.decisions),
        ] {
            console.number(key, mean(sum, count));
        }
        let all = cost.front_end + cost.classifier + cost.decisions;
        let all = mean(all * u64::from(CONFIG.rate), self.samples);
        console.number("instructions_per_second", all);
        console.text("percent_of_64_mhz_at_one_instruction_a_cycle: ");
        thousandths(console, all / 640);
        console.text("\n");
    }
}

/// Writes what the program takes of the board's memories. The model passed its known-answer test before.
pub fn memory(console: &mut Console, model: &Model<'_>, stack: &Stack) {
    let (statics, peak) = (static_ram_bytes() as u64, stack.peak_bytes() as u64);
    console.line("board", BOARD.name);
    console.line("core", BOARD.core);
    console.identity("model_identity", model.identity());
    console.number("model_bytes", model.blob_bytes() as u64);
    console.number("flash_bytes", flash_bytes() as u64);
    console.number("session_memory_bytes", model.memory_needed() as u64);
    console.number("front_end_memory_bytes", FRONT_END_BYTES as u64);
    console.number("tracker_memory_bytes", TRACKER_BYTES as u64);
    console.number("static_ram_bytes", statics);
    console.number("stack_peak_bytes", peak);
    console.number("ram_bytes", statics + peak);
    console.line("self_test", "passed");
}

/// Writes a number of thousandths with three digits behind the point.
fn thousandths(console: &mut Console, number: u64) {
    console.decimal(number / 1000);
    console.text(".");
    for digit in [number / 100 % 10, number / 10 % 10, number % 10] {
        console.decimal(digit);
    }
}
