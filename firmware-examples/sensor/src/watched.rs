//! Watches a stream from its start to its end.

use crate::failure::Failure;
use crate::model_meta::front_end::{CLASSES, CONFIG};
use crate::stream::Stream;
use crate::watch::{Cost, Watch};
use boards::instructions::Counter;
use boards::{Console, report};

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
#[inline(never)]
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
            let name = CLASSES.get(change.class).unwrap_or(&"?");
            report::event(
                console,
                CONFIG.milliseconds(samples),
                name,
                change.posterior,
            );
        }
    }
    console.text(report::SEPARATOR);
    Ok(Watched {
        samples,
        frames,
        decisions,
        events,
        hash: watch.hash(),
        cost: counter.map(|_| cost),
    })
}

impl Watched {
    /// Writes the figures.
    #[inline(never)]
    pub fn write(&self, console: &mut Console) {
        console.number("milliseconds", CONFIG.milliseconds(self.samples));
        console.number("samples", self.samples);
        console.number("frames", self.frames);
        console.number("decisions", self.decisions);
        console.number("events", self.events);
        console.hash("posteriors_hash", self.hash);
        let parts = self.cost.as_ref().map(|cost| {
            [
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
            ]
            .map(|(key, sum, count)| report::Part { key, sum, count })
        });
        report::costs(console, parts, CONFIG.rate, self.samples);
    }
}
