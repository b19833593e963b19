//! Listens to a recording from its start to its end.

use crate::Ear;
use crate::failure::Failure;
use crate::microphone::{CHUNK, Microphone};
use apps::keyword::{Meter, Part};
use boards::instructions::Counter;
use boards::{Console, report};

/// Figures of a recording.
pub struct Listened {
    rate: u32,
    samples: u64,
    frames: u64,
    decisions: u64,
    events: u64,
    hash: u64,
    /// Nothing, if this machine does not count.
    cost: Option<Cost>,
}

/// Instructions of the parts.
#[derive(Default)]
struct Cost {
    /// Of the front end: all calls.
    front_end: u64,
    /// Of the classifier: all frames.
    classifier: u64,
    /// Of logits and detector: all decisions.
    decisions: u64,
}

/// Counts instructions, if this machine does.
struct Costs {
    counter: Option<Counter>,
    cost: Cost,
}

impl Meter for Costs {
    fn measure<R>(&mut self, part: Part, work: impl FnOnce() -> R) -> R {
        let Some(counter) = &mut self.counter else {
            return work();
        };
        let (result, instructions) = counter.measure(work);
        let sum = match part {
            Part::FrontEnd => &mut self.cost.front_end,
            Part::Classifier => &mut self.cost.classifier,
            Part::Decision => &mut self.cost.decisions,
        };
        *sum += instructions;
        result
    }
}

/// Writes a line for each event, while the recording goes on: when its last sample was heard.
#[inline(never)]
pub fn run(
    console: &mut Console,
    ear: &mut Ear,
    microphone: &mut Microphone,
    counter: Option<Counter>,
) -> Result<Listened, Failure> {
    let cost = Cost::default();
    let mut costs = Costs { counter, cost };
    let rate = ear.config().rate;
    let (mut taken, mut frames, mut decisions, mut events) = (0, 0, 0, 0);
    let mut chunk = [0; CHUNK];
    loop {
        let mut samples = microphone.listen(&mut chunk);
        if samples.is_empty() {
            break;
        }
        taken += samples.len() as u64;
        while let Some(heard) = ear.hear(&mut samples, &mut costs)? {
            frames += 1;
            decisions += u64::from(heard.decided);
            if let Some(event) = heard.event {
                events += 1;
                let milliseconds = milliseconds(taken - samples.len() as u64, rate);
                report::event(
                    console,
                    milliseconds,
                    ear.name(event.class),
                    event.confidence,
                );
            }
        }
    }
    console.text(report::SEPARATOR);
    let Costs { counter, cost } = costs;
    Ok(Listened {
        rate,
        samples: taken,
        frames,
        decisions,
        events,
        hash: ear.hash(),
        cost: counter.map(|_| cost),
    })
}

fn milliseconds(samples: u64, rate: u32) -> u64 {
    // a front end's rate is no less than 4000
    (samples * 1000).checked_div(u64::from(rate)).unwrap_or(0)
}

impl Listened {
    /// Writes the figures.
    #[inline(never)]
    pub fn write(&self, console: &mut Console) {
        console.number("milliseconds", milliseconds(self.samples, self.rate));
        console.number("frames", self.frames);
        console.number("decisions", self.decisions);
        console.number("events", self.events);
        console.hash("posteriors_hash", self.hash);
        let parts = self.cost.as_ref().map(|cost| {
            [
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
            ]
            .map(|(key, sum, count)| report::Part { key, sum, count })
        });
        report::costs(console, parts, self.rate, self.samples);
    }
}
