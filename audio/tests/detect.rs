//! Events of posteriors, against what the definition says in f64.
#![allow(missing_docs)]

use proptest::prelude::*;
use toeplite_audio::detect::{Detector, Event, Settings};

/// A decision by its definition: the smoothed posteriors, the smoothed share of decisions for a word, and what is heard.
struct Exact {
    posteriors: [f64; 3],
    level: f64,
    event: Option<usize>,
    /// Whether a number is too near a limit to tell in f32.
    close: bool,
}

fn by_definition(settings: Settings, all: &[[f32; 3]]) -> Vec<Exact> {
    let [smoothing, sure, threshold, share] = [
        settings.smoothing,
        settings.sure,
        settings.threshold,
        settings.share,
    ]
    .map(f64::from);
    let is_word = |class: &usize| settings.words >> class & 1 == 1;
    let (mut posteriors, mut level, mut held, mut quiet_until) = ([0.0; 3], 0.0, false, 0);
    let mut out = Vec::new();
    for (now, logits) in all.iter().enumerate() {
        let largest = logits.iter().copied().fold(f32::MIN, f32::max);
        let e = logits.map(|x| f64::from(x - largest).exp());
        let p = e.map(|x| x / e.iter().sum::<f64>());
        for (smoothed, p) in posteriors.iter_mut().zip(p) {
            *smoothed += smoothing * (p - *smoothed);
        }
        let together: f64 = (0..3).filter(is_word).map(|class| p[class]).sum();
        level += smoothing * (f64::from(u8::from(together >= sure)) - level);
        held &= level >= threshold / 2.0;
        let words: Vec<usize> = (0..3).filter(is_word).collect();
        let total: f64 = words.iter().map(|class| posteriors[*class]).sum();
        let best = words
            .iter()
            .copied()
            .reduce(|a, b| if posteriors[b] > posteriors[a] { b } else { a });
        let of = |class: usize| posteriors[class];
        let event = best.filter(|class| {
            level >= threshold && !held && now >= quiet_until && of(*class) >= share * total
        });
        if event.is_some() {
            (held, quiet_until) = (true, now + 1 + settings.rest as usize);
        }
        let near = |a: f64, b: f64| (a - b).abs() < 1e-5;
        let close = near(together, sure)
            || near(level, threshold)
            || near(level, threshold / 2.0)
            || words.iter().any(|class| near(of(*class), share * total))
            || words
                .iter()
                .any(|a| words.iter().any(|b| a < b && near(of(*a), of(*b))));
        out.push(Exact {
            posteriors,
            level,
            event,
            close,
        });
    }
    out
}

proptest! {
    /// Smoothed posteriors and events are those of the definition, as long as no number is too near a limit to tell.
    #[test]
    fn events_are_those_of_the_definition(
        runs in proptest::collection::vec((proptest::array::uniform3(-20f32..20.0), 1usize..12), 1..12),
        (smoothing, sure, threshold, share) in (0.05f32..1.0, 0.3f32..0.99, 0.3f32..0.95, 0.2f32..0.9),
        rest in 0u32..8,
        words in 0u64..8,
    ) {
        let settings = Settings { words, smoothing, sure, threshold, share, rest };
        let run = |(logits, length): &([f32; 3], usize)| vec![*logits; *length];
        let all: Vec<[f32; 3]> = runs.iter().flat_map(run).collect();
        let mut memory = [7.0; 3];
        let mut detector = Detector::new(settings, &mut memory);
        let mut tells = true;
        for (logits, exact) in all.iter().zip(by_definition(settings, &all)) {
            let heard: Option<Event> = detector.push(logits.iter().copied());
            for (found, exact) in detector.posteriors().iter().zip(exact.posteriors) {
                prop_assert!((f64::from(*found) - exact).abs() < 5e-6);
            }
            tells &= !exact.close;
            if tells {
                prop_assert_eq!(heard.map(|event| event.class), exact.event);
                if let Some(event) = heard {
                    prop_assert!((f64::from(event.confidence) - exact.level).abs() < 5e-6);
                }
            }
        }
    }
}
