//! The bar on the error stream; lines instead where that is no terminal.

use super::metrics::Line;
use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressStyle};
use std::time::{Duration, Instant};

/// Shows how far a run is.
pub(super) struct Display {
    bar: ProgressBar,
    quiet: bool,
    steps: u64,
    /// When this process began, and at which step.
    begun: (Instant, u64),
}

impl Display {
    /// Of a run of `steps` that stands at `step`.
    pub fn new(step: u64, steps: u64, quiet: bool) -> Self {
        let bar = if quiet {
            ProgressBar::hidden()
        } else {
            Self::bar(step, steps)
        };
        Self {
            bar,
            quiet,
            steps,
            begun: (Instant::now(), step),
        }
    }

    fn bar(step: u64, steps: u64) -> ProgressBar {
        let template = "[{bar:24}] {human_pos}/{human_len} {msg}, {eta} left";
        let style = ProgressStyle::with_template(template).expect("a valid template");
        let bar = ProgressBar::new(steps)
            .with_style(style.progress_chars("=> "))
            .with_position(step);
        // The time left must not count steps of an earlier process as done just now.
        bar.reset_eta();
        bar
    }

    pub fn step(&self, step: u64) {
        self.bar.set_position(step);
    }

    /// Shows a line of the metrics, at which the data was read `epochs` times.
    pub fn line(&self, line: &Line, epochs: f64) {
        if self.quiet {
            return;
        }
        match line {
            Line::Step {
                step,
                loss,
                tokens_per_second,
                peak_bytes,
                utilisation,
                ..
            } => {
                let mut text =
                    format!("loss {loss:.4}, epoch {epochs:.2}, {tokens_per_second:.0} tokens/s");
                if let Some(bytes) = peak_bytes {
                    text.push_str(&format!(", {}", HumanBytes(*bytes as u64)));
                }
                if let Some(share) = utilisation {
                    text.push_str(&format!(", {:.0}% of peak", share * 100.0));
                }
                if self.bar.is_hidden() {
                    let left = time_left(self.begun.0.elapsed(), self.begun.1, *step, self.steps);
                    let steps = self.steps;
                    toeplite_terminal::tell(format_args!(
                        "step {step} of {steps}: {text}, {left:#} left"
                    ));
                } else {
                    self.bar.set_message(text);
                }
            }
            Line::Evaluation {
                step,
                loss,
                bits_per_byte,
                accuracy,
                ..
            } => {
                let bits = bits_per_byte.map_or(String::new(), |b| format!(", {b:.4} bits/byte"));
                self.say(&format!(
                    "step {step}: validation loss {loss:.4}{bits}, accuracy {:.2}%",
                    accuracy * 100.0
                ));
            }
        }
    }

    pub fn say(&self, text: &str) {
        if self.quiet {
        } else if self.bar.is_hidden() {
            toeplite_terminal::tell(text);
        } else {
            self.bar.println(text);
        }
    }
}

/// What the steps to come take if they take as long as those since `begun`, which took `elapsed`.
fn time_left(elapsed: Duration, begun: u64, step: u64, steps: u64) -> HumanDuration {
    let share = steps.saturating_sub(step) as f64 / step.saturating_sub(begun).max(1) as f64;
    let left = Duration::try_from_secs_f64(elapsed.as_secs_f64() * share);
    HumanDuration(left.unwrap_or(Duration::MAX))
}

impl Drop for Display {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_counts_the_steps_of_this_process() {
        let left = |seconds, begun, step, steps| {
            time_left(Duration::from_secs(seconds), begun, step, steps).to_string()
        };
        assert_eq!(left(60, 0, 10, 30), "2 minutes");
        assert_eq!(left(60, 1000, 1010, 1040), "3 minutes");
        assert_eq!(left(60, 0, 30, 30), "0 seconds");
        assert_eq!(left(1, 5, 5, 65), "60 seconds");
        left(u64::MAX, 0, 1, u64::MAX);
    }
}
