//! Learning rate over the steps.

use crate::config::{RunConfig, ScheduleKind};
use std::f64::consts::PI;

/// Learning rate of `step`, the first of which is 1.
///
/// It rises linearly over the warmup, to the configured rate at the warmup's last step; then it stays,
/// falls along half a cosine to its final share at the last step, or falls like one over the root of
/// the step.
pub fn rate(config: &RunConfig, step: u64) -> f64 {
    let (schedule, steps) = (&config.schedule, config.train.steps);
    let warmup = schedule.warmup;
    if step <= warmup {
        return config.optimiser.rate * step as f64 / warmup as f64;
    }
    let share = match schedule.kind {
        ScheduleKind::Constant => 1.0,
        ScheduleKind::Cosine => {
            let passed = (step - warmup) as f64 / steps.saturating_sub(warmup).max(1) as f64;
            let cosine = 0.5 * (1.0 + (PI * passed.min(1.0)).cos());
            schedule.final_share + (1.0 - schedule.final_share) * cosine
        }
        ScheduleKind::InverseSqrt => (warmup.max(1) as f64 / step as f64).sqrt(),
    };
    config.optimiser.rate * share
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::toy;

    fn rates(kind: ScheduleKind, warmup: u64, final_share: f64, steps: &[u64]) -> Vec<f64> {
        let mut config = toy::config();
        config.train.steps = 110;
        config.optimiser.rate = 2.0;
        config.schedule.kind = kind;
        config.schedule.warmup = warmup;
        config.schedule.final_share = final_share;
        steps.iter().map(|s| rate(&config, *s)).collect()
    }

    fn close(found: &[f64], expected: &[f64]) {
        let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-12;
        assert!(
            found.iter().zip(expected).all(near),
            "{found:?} {expected:?}"
        );
    }

    #[test]
    fn curves_have_their_values() {
        let steps = [1, 5, 10, 60, 110];
        close(
            &rates(ScheduleKind::Constant, 10, 0.0, &steps),
            &[0.2, 1.0, 2.0, 2.0, 2.0],
        );
        close(
            &rates(ScheduleKind::Cosine, 10, 0.0, &steps),
            &[0.2, 1.0, 2.0, 1.0, 0.0],
        );
        close(
            &rates(ScheduleKind::Cosine, 10, 0.1, &steps),
            &[0.2, 1.0, 2.0, 1.1, 0.2],
        );
        close(
            &rates(ScheduleKind::InverseSqrt, 10, 0.0, &[10, 40, 90]),
            &[2.0, 1.0, 2.0 / 3.0],
        );
        close(
            &rates(ScheduleKind::InverseSqrt, 0, 0.0, &[1, 4]),
            &[2.0, 1.0],
        );
        // Runs shorter than their warmup, and steps past the end.
        close(&rates(ScheduleKind::Cosine, 200, 0.0, &[110]), &[1.1]);
        close(&rates(ScheduleKind::Cosine, 10, 0.5, &[999]), &[1.0]);
    }
}
