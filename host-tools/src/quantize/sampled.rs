//! Text that a model writes itself: a calibration text where there is no other.

use super::calibrate::Sample;
use rayon::prelude::*;
use toeplite::sample::Sampler;
use toeplite::{Model, Token};

use crate::blob::SessionMemory;

/// Tokens of a sequence that are thrown away: its first one is arbitrary.
const WARM_UP: usize = 32;

/// At most `count` tokens in windows of `window`, drawn at temperature 1 from `model`, which is streamed
/// for that. The same model gives the same text.
pub fn sampled(model: &Model<'_>, window: usize, count: usize) -> Sample {
    let windows = (count / window).max(1);
    let write = |i: usize| {
        let mut memory = SessionMemory::for_model(model);
        let mut session = model.session(memory.as_mut_slice()).expect(ENOUGH);
        let mut sampler = Sampler::new(i as u64);
        let first = Token((i * model.vocab_size() / windows) as u32);
        let next = move |token: &Token| {
            let logits = session.step(*token).expect("logits are of the vocabulary");
            Some(sampler.sample(logits))
        };
        let tokens = std::iter::successors(Some(first), next);
        tokens.skip(WARM_UP).take(window).map(|t| t.0).collect()
    };
    let texts: Vec<Vec<u32>> = (0..windows).into_par_iter().map(write).collect();
    Sample::of_windows(texts.concat(), window)
}

const ENOUGH: &str = "the memory is the size that the model asks for";
