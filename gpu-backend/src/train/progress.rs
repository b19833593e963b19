//! The bar on the error stream; lines instead where that is no terminal.

use super::metrics::Line;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

/// Shows how far a run is.
pub(super) struct Display {
    bar: ProgressBar,
    quiet: bool,
}

impl Display {
    /// Of a run of `steps` that stands at `step`.
    pub fn new(step: u64, steps: u64, quiet: bool) -> Self {
        if quiet {
            let bar = ProgressBar::hidden();
            return Self { bar, quiet };
        }
        let template = "[{bar:24}] {human_pos}/{human_len} {msg}, {eta} left";
        let style = ProgressStyle::with_template(template).expect("a valid template");
        let bar = ProgressBar::new(steps)
            .with_style(style.progress_chars("=> "))
            .with_position(step);
        // The time left must not count steps of an earlier process as done just now.
        bar.reset_eta();
        Self { bar, quiet }
    }

    pub fn step(&self, step: u64) {
        self.bar.set_position(step);
    }

    pub fn line(&self, line: &Line) {
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
                let mut text = format!("loss {loss:.4}, {tokens_per_second:.0} tokens/s");
                if let Some(bytes) = peak_bytes {
                    text.push_str(&format!(", {}", HumanBytes(*bytes as u64)));
                }
                if let Some(share) = utilisation {
                    text.push_str(&format!(", {:.0}% of peak", share * 100.0));
                }
                if self.bar.is_hidden() {
                    eprintln!("step {step}: {text}");
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
            eprintln!("{text}");
        } else {
            self.bar.println(text);
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
