//! Cross entropy of next-token predictions over windows of a text.

use ndarray::{Array2, ArrayView1, ArrayView2};
use rayon::prelude::*;
use std::f64::consts::LN_2;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What an evaluation measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Mean cross entropy over all targets, in bits a token.
    pub bits_per_token: f64,
    /// Targets predicted: one less than there are tokens.
    pub targets: usize,
    /// The likeliest next token after every input position, the lowest id among equals.
    pub argmax: Vec<u32>,
}

/// Looks on while windows are scored, from several threads and in any order.
pub trait Observer: Sync {
    /// A window's logits `[positions, vocab]`; `start` is the window's first token in the text.
    fn window(&self, start: usize, logits: ArrayView2<f32>) {
        let _ = (start, logits);
    }

    /// So many targets have been predicted in all.
    fn progress(&self, tokens_done: usize) {
        let _ = tokens_done;
    }
}

/// Looks away.
impl Observer for () {}

/// Reports progress alone.
impl<F: Fn(usize) + Sync> Observer for F {
    fn progress(&self, tokens_done: usize) {
        self(tokens_done);
    }
}

/// Why an evaluation gave no figure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluateError<E> {
    /// Fewer than two tokens: nothing to predict.
    #[error("the text has {tokens} tokens: at least two are needed to predict one from another")]
    TooShort {
        /// Tokens of the text.
        tokens: usize,
    },
    /// Windows of no length.
    #[error("the window length is zero: give at least 1")]
    ZeroWindow,
    /// The scorer failed.
    #[error("scoring the window at token {start} failed: {source}")]
    Score {
        /// First token of the window.
        start: usize,
        /// The scorer's error.
        source: E,
    },
    /// The scorer returned logits for another number of positions, or for no tokens.
    #[error("the window at token {start} needs logits for {expected} positions, found {found:?}")]
    Shape {
        /// First token of the window.
        start: usize,
        /// Positions of the window.
        expected: usize,
        /// Shape of the logits.
        found: [usize; 2],
    },
    /// A target is not in the vocabulary.
    #[error("token {token} at position {position} is outside the vocabulary of {vocab}")]
    Target {
        /// The token.
        token: u32,
        /// Where it stands in the text.
        position: usize,
        /// Tokens that the scorer gives logits for.
        vocab: usize,
    },
}

/// Scores `tokens` in windows of `window` inputs that start at 0, `window`, `2 * window`, ... and
/// know nothing of each other. The window at `o` reads `tokens[o..min(o + window, len - 1)]` and
/// predicts the same positions shifted by one, so that every token but the first is predicted
/// once. `score` gives the logits `[positions, vocab]` of a window; windows run in parallel, the
/// loss is summed in f64 and in order, so the figure does not depend on the threads.
///
/// # Errors
/// There is nothing to predict, `score` fails or returns another shape, or a token is not in its
/// vocabulary; of several errors any one is returned.
pub fn evaluate<E: Send>(
    tokens: &[u32],
    window: usize,
    score: impl Fn(&[u32]) -> Result<Array2<f32>, E> + Sync,
    observer: &impl Observer,
) -> Result<Evaluation, EvaluateError<E>> {
    if tokens.len() < 2 {
        let tokens = tokens.len();
        return Err(EvaluateError::TooShort { tokens });
    }
    if window == 0 {
        return Err(EvaluateError::ZeroWindow);
    }
    let targets = tokens.len() - 1;
    let done = AtomicUsize::new(0);
    let starts: Vec<usize> = (0..targets).step_by(window).collect();
    let run = |&start: &usize| {
        let end = start.saturating_add(window).min(targets);
        let scored = score_window(tokens, start..end, &score, observer)?;
        let before = done.fetch_add(end - start, Ordering::Relaxed);
        observer.progress(before + end - start);
        Ok(scored)
    };
    // One window a job: rayon's default would hand out halves, and a long text's are uneven.
    let windows: Vec<Scored> = starts
        .par_iter()
        .with_max_len(1)
        .map(run)
        .collect::<Result<_, _>>()?;
    let nats: f64 = windows.iter().map(|scored| scored.nats).sum();
    Ok(Evaluation {
        bits_per_token: nats / targets as f64 / LN_2,
        targets,
        argmax: windows
            .into_iter()
            .flat_map(|scored| scored.argmax)
            .collect(),
    })
}

/// One window's figures.
struct Scored {
    /// Summed cross entropy.
    nats: f64,
    argmax: Vec<u32>,
}

fn score_window<E>(
    tokens: &[u32],
    range: std::ops::Range<usize>,
    score: &impl Fn(&[u32]) -> Result<Array2<f32>, E>,
    observer: &impl Observer,
) -> Result<Scored, EvaluateError<E>> {
    let start = range.start;
    let logits =
        score(&tokens[range.clone()]).map_err(|source| EvaluateError::Score { start, source })?;
    let (positions, vocab) = logits.dim();
    if positions != range.len() || vocab == 0 {
        return Err(EvaluateError::Shape {
            start,
            expected: range.len(),
            found: [positions, vocab],
        });
    }
    observer.window(start, logits.view());
    let mut scored = Scored {
        nats: 0.0,
        argmax: Vec::with_capacity(positions),
    };
    for (row, position) in logits.rows().into_iter().zip(start + 1..) {
        let token = tokens[position];
        let target = row.get(token as usize).ok_or(EvaluateError::Target {
            token,
            position,
            vocab,
        })?;
        scored.nats += nats(row, *target);
        scored.argmax.push(argmax(row));
    }
    Ok(scored)
}

/// Cross entropy in nats of the softmax of `logits` and the token whose logit is `target`:
/// `ln sum exp` in f64, shifted by the largest logit so that nothing overflows.
pub fn nats(logits: ArrayView1<f32>, target: f32) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let largest = f64::from(largest);
    let sum: f64 = logits.iter().map(|&x| (f64::from(x) - largest).exp()).sum();
    largest + sum.ln() - f64::from(target)
}

/// Kullback-Leibler divergence, in nats, of the softmax of `logits` from that of `expected`: the mean
/// of what each token costs more, by `expected`.
pub fn divergence(expected: ArrayView1<f32>, logits: ArrayView1<f32>) -> f64 {
    // of a logit of zero: the logarithms of the sums
    let (expected_sum, sum) = (nats(expected, 0.0), nats(logits, 0.0));
    let costs = expected.iter().zip(logits).map(|(&expected, &logit)| {
        let log = f64::from(expected) - expected_sum;
        log.exp() * (log - (f64::from(logit) - sum))
    });
    costs.sum()
}

/// Entropy, in nats, of the softmax of `logits`.
pub fn entropy(logits: ArrayView1<f32>) -> f64 {
    // of a logit of zero: the logarithm of the sum
    let sum = nats(logits, 0.0);
    let terms = logits.iter().map(|&logit| {
        let log = f64::from(logit) - sum;
        -log.exp() * log
    });
    terms.sum()
}

/// The index of the largest logit, the first among equals.
pub fn argmax(logits: ArrayView1<f32>) -> u32 {
    let mut best = 0;
    for (index, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = index;
        }
    }
    best as u32
}

#[cfg(test)]
mod tests {
    use super::super::{Network, testing};
    use super::*;
    use std::collections::BTreeMap;
    use std::convert::Infallible;
    use std::sync::Mutex;

    /// Figures of the official layers in f32, from `metrics.json`.
    #[test]
    fn bits_per_byte_of_a_whole_text_are_the_official_ones() {
        let name = "shakespeare-32x2";
        let text = std::fs::read(testing::checkpoint_folder(name).join("val.txt")).unwrap();
        let tokens: Vec<u32> = text.into_iter().map(u32::from).collect();
        let network = Network::<f32>::from_checkpoint(&testing::checkpoint(name)).unwrap();
        let mix = network.trained_mix();
        let got = evaluate(&tokens, 512, network.scorer(&mix), &()).unwrap();
        assert!(
            (got.bits_per_token - 2.578_224_592_654_629_4).abs() < 2e-6,
            "{got:?}"
        );
        assert_eq!((got.targets, got.argmax.len()), (65_535, 65_535));
    }

    /// Remembers what it is shown.
    #[derive(Default)]
    struct Witness {
        windows: Mutex<BTreeMap<usize, usize>>,
        most: AtomicUsize,
    }

    impl Observer for Witness {
        fn window(&self, start: usize, logits: ArrayView2<f32>) {
            self.windows.lock().unwrap().insert(start, logits.nrows());
        }

        fn progress(&self, tokens_done: usize) {
            self.most.fetch_max(tokens_done, Ordering::Relaxed);
        }
    }

    /// Knows that every token is followed by the next number, and says so with `certainty`.
    fn counter(certainty: f32) -> impl Fn(&[u32]) -> Result<Array2<f32>, Infallible> {
        move |window| {
            let next = |i: usize| (window[i] as usize + 1) % 8;
            Ok(Array2::from_shape_fn((window.len(), 8), |(i, c)| {
                if next(i) == c { certainty } else { 0.0 }
            }))
        }
    }

    #[test]
    fn every_target_is_the_token_after_its_input() {
        let tokens: Vec<u32> = (0..23).map(|i| i % 8).collect();
        let witness = Witness::default();
        let knows = evaluate(&tokens, 10, counter(3.0), &witness).unwrap();
        assert_eq!(knows.argmax, tokens[1..]);
        let want = (1.0 + 7.0 * (-3f64).exp()).log2();
        assert!((knows.bits_per_token - want).abs() < 1e-12);
        let seen = witness.windows.into_inner().unwrap();
        assert_eq!(seen, BTreeMap::from([(0, 10), (10, 10), (20, 2)]));
        assert_eq!(witness.most.into_inner(), 22);
        let ignorant = evaluate(&tokens, usize::MAX, counter(0.0), &()).unwrap();
        assert!((ignorant.bits_per_token - 3.0).abs() < 1e-12);
        assert_eq!(ignorant.argmax, [0; 22], "the first among equals");
    }

    #[test]
    fn huge_logits_do_not_overflow() {
        let got = evaluate(&[0, 1, 2], 2, counter(1e30), &()).unwrap();
        assert_eq!(got.bits_per_token, 0.0);
    }

    #[test]
    fn what_cannot_be_evaluated_is_named() {
        let score = counter(1.0);
        let run = |tokens: &[u32], window| evaluate(tokens, window, &score, &()).unwrap_err();
        assert_eq!(run(&[1], 4), EvaluateError::TooShort { tokens: 1 });
        assert_eq!(run(&[1, 2], 0), EvaluateError::ZeroWindow);
        let outside = EvaluateError::Target {
            token: 8,
            position: 3,
            vocab: 8,
        };
        assert_eq!(run(&[1, 2, 3, 8], 2), outside);
        let short = |_: &[u32]| Ok::<_, Infallible>(Array2::zeros((1, 8)));
        let error = evaluate(&[1, 2, 3], 2, short, &()).unwrap_err();
        assert!(matches!(
            error,
            EvaluateError::Shape {
                start: 0,
                expected: 2,
                ..
            }
        ));
    }

    #[test]
    fn divergence_is_that_of_the_distributions() {
        let logits = |odds: [f32; 2]| ndarray::Array1::from_iter(odds.map(|x| x.ln() + 7.0));
        let [even, skewed] = [logits([1.0, 1.0]), logits([3.0, 1.0])];
        let found = divergence(even.view(), skewed.view());
        // half of ln(.5 / .75), half of ln(.5 / .25)
        let expected = 0.5 * (2.0f64 / 3.0).ln() + 0.5 * 2f64.ln();
        assert!((found - expected).abs() < 1e-6, "{found}");
        assert!(divergence(skewed.view(), (&skewed + 2.0).view()).abs() < 1e-6);
    }
}
