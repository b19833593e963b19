//! Events of posteriors, against what the definition says in f64.
#![allow(missing_docs)]

use proptest::prelude::*;
use toeplite_audio::detect::{Detector, Event, Settings};

/// The events of logits by their definition, and the smoothed posteriors after each decision.
fn by_definition(settings: Settings, all: &[[f32; 3]]) -> (Vec<Option<usize>>, Vec<[f64; 3]>) {
    let (threshold, mut smoothed) = (f64::from(settings.threshold), [0.0; 3]);
    let (mut quiet_until, mut held) = (0, None);
    let (mut events, mut posteriors) = (Vec::new(), Vec::new());
    for (now, logits) in all.iter().enumerate() {
        let e =
            logits.map(|x| (f64::from(x - logits.iter().copied().fold(f32::MIN, f32::max))).exp());
        for (s, e_i) in smoothed.iter_mut().zip(e) {
            *s += f64::from(settings.smoothing) * (e_i / e.iter().sum::<f64>() - *s);
        }
        if held.is_some_and(|class: usize| smoothed[class] < threshold / 2.0) {
            held = None;
        }
        let words = (0..3).filter(|class| settings.words >> class & 1 == 1);
        let best = words.reduce(|a, b| if smoothed[b] > smoothed[a] { b } else { a });
        let heard = best.filter(|class| {
            smoothed[*class] >= threshold && held != Some(*class) && now >= quiet_until
        });
        if heard.is_some() {
            held = heard;
            quiet_until = now + 1 + settings.rest as usize;
        }
        events.push(heard);
        posteriors.push(smoothed);
    }
    (events, posteriors)
}

proptest! {
    /// Smoothed posteriors and events are those of the definition, as long as no posterior is too near a threshold to tell.
    #[test]
    fn events_are_those_of_the_definition(
        runs in proptest::collection::vec((proptest::array::uniform3(-20f32..20.0), 1usize..12), 1..12),
        smoothing in 0.05f32..1.0,
        threshold in 0.3f32..0.95,
        rest in 0u32..8,
        words in 0u64..8,
    ) {
        let settings = Settings { words, smoothing, threshold, rest };
        let run = |(logits, length): &([f32; 3], usize)| vec![*logits; *length];
        let all: Vec<[f32; 3]> = runs.iter().flat_map(run).collect();
        let (events, posteriors) = by_definition(settings, &all);
        let near = |p: &f64| {
            let limits = [1.0, 0.5].map(|share| share * f64::from(threshold));
            limits.iter().any(|limit| (p - limit).abs() < 1e-5)
        };
        let close = |s: &[f64; 3]| s.iter().any(near) || (s[0] - s[1]).abs() < 1e-5
            || (s[0] - s[2]).abs() < 1e-5 || (s[1] - s[2]).abs() < 1e-5;
        let mut memory = [7.0; 3];
        let mut detector = Detector::new(settings, &mut memory);
        let mut tells = true;
        for ((logits, expected), exact) in all.iter().zip(events).zip(&posteriors) {
            let heard: Option<Event> = detector.push(logits.iter().copied());
            for (found, exact) in detector.posteriors().iter().zip(exact) {
                prop_assert!((f64::from(*found) - exact).abs() < 5e-6);
            }
            tells &= !close(exact);
            if tells {
                prop_assert_eq!(heard.map(|event| event.class), expected);
            }
        }
    }
}
