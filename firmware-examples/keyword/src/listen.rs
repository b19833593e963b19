//! Listens to a recording from its start to its end.

use crate::ear::{Cost, Ear};
use crate::failure::Failure;
use crate::microphone::{CHUNK, Microphone};
use crate::model_meta::front_end::{CLASSES, CONFIG};
use crate::report;
use boards::Console;
use boards::instructions::Counter;
use toeplite_audio::detect::Event;

/// Ends the events; everything after it is `key: value` lines.
const SEPARATOR: &str = "\n---\n";

/// Figures of a recording.
pub struct Listened {
    samples: u64,
    frames: u64,
    decisions: u64,
    events: u64,
    hash: u64,
    /// Nothing, if this machine does not count.
    cost: Option<Cost>,
}

/// Writes a line for each event, while the recording goes on: when its last sample was heard.
pub fn run(
    console: &mut Console,
    ear: &mut Ear,
    microphone: &mut Microphone,
    mut counter: Option<Counter>,
) -> Result<Listened, Failure> {
    let mut cost = Cost::default();
    let (mut taken, mut frames, mut decisions, mut events) = (0, 0, 0, 0);
    let mut chunk = [0; CHUNK];
    loop {
        let mut samples = microphone.listen(&mut chunk);
        if samples.is_empty() {
            break;
        }
        taken += samples.len() as u64;
        while let Some(heard) = ear.hear(&mut samples, &mut cost, &mut counter)? {
            frames += 1;
            decisions += u64::from(heard.decided);
            if let Some(event) = heard.event {
                events += 1;
                write(console, taken - samples.len() as u64, event);
            }
        }
    }
    console.text(SEPARATOR);
    Ok(Listened {
        samples: taken,
        frames,
        decisions,
        events,
        hash: ear.hash(),
        cost: counter.map(|_| cost),
    })
}

/// `1.240 s: seven 93%`
fn write(console: &mut Console, samples: u64, event: Event) {
    report::thousandths(console, milliseconds(samples));
    console.text(" s: ");
    console.text(CLASSES.get(event.class).unwrap_or(&"?"));
    console.text(" ");
    console.decimal((event.posterior * 100.0) as u64);
    console.text("%\n");
}

fn milliseconds(samples: u64) -> u64 {
    samples * 1000 / u64::from(CONFIG.rate)
}

impl Listened {
    /// Writes the figures.
    pub fn write(&self, console: &mut Console) {
        console.number("milliseconds", milliseconds(self.samples));
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
                "instructions_per_frame_front_end",
                cost.front_end,
                self.frames,
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
        report::thousandths(console, all / 640);
        console.text("\n");
    }
}
