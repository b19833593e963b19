//! Masked language modelling: which tokens are hidden, and behind what (Devlin et al. 2019).

use super::order::mix;
use crate::config::RunConfig;
use crate::device::IGNORE;
use toeplite_checkpoint::config::Task;

/// How tokens are hidden from a masked language model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Masking {
    /// Share of tokens to predict.
    pub probability: f64,
    /// The token that stands for a hidden one.
    pub token: u32,
    /// Decides which tokens an evaluation hides: the same ones each time.
    pub seed: u64,
}

impl Masking {
    /// That of a run; `None` unless it trains a masked language model.
    pub fn of(run: &RunConfig) -> Option<Self> {
        let masked = run.model.task == Task::MaskedLm;
        run.data.mask_token.filter(|_| masked).map(|token| Self {
            probability: run.data.mask_probability,
            token,
            seed: run.train.seed,
        })
    }

    /// Hides tokens of `inputs` and gives the targets: the hidden tokens, and [`IGNORE`] elsewhere.
    /// Of those to predict 80% become the mask, 10% another token below `vocabulary`, 10% stay.
    pub fn hide(&self, inputs: &mut [u32], vocabulary: usize, noise: u64) -> Vec<u32> {
        let hide = |(i, input): (usize, &mut u32)| {
            let Some(x) = self.draw(noise, i) else {
                return IGNORE;
            };
            let target = *input;
            match x % 10 {
                0 => {}
                1 => *input = (mix(x) % vocabulary as u64) as u32,
                _ => *input = self.token,
            }
            target
        };
        inputs.iter_mut().enumerate().map(hide).collect()
    }

    /// How many of the first `length` tokens [`Masking::hide`] gives as targets.
    pub fn count(&self, length: usize, noise: u64) -> usize {
        (0..length)
            .filter(|i| self.draw(noise, *i).is_some())
            .count()
    }

    /// Random bits of a token that is to be predicted.
    fn draw(&self, noise: u64, i: usize) -> Option<u64> {
        let x = mix(noise ^ mix(i as u64));
        // 24 bits decide whether, the others what.
        let hidden = ((x >> 40) as f64) < self.probability * f64::from(1 << 24);
        hidden.then_some(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_as_published() {
        let masking = Masking {
            probability: 0.15,
            token: 256,
            seed: 0,
        };
        let text: Vec<u32> = (0..100_000).map(|i| i % 256).collect();
        let mut inputs = text.clone();
        let targets = masking.hide(&mut inputs, 257, 7);
        let share = |n: usize| n as f64 / text.len() as f64;
        let predicted: Vec<usize> = (0..text.len()).filter(|&i| targets[i] != IGNORE).collect();
        assert!((share(predicted.len()) - 0.15).abs() < 0.01);
        assert_eq!(masking.count(text.len(), 7), predicted.len());
        let masks = inputs.iter().filter(|t| **t == 256).count();
        assert!((masks as f64 / predicted.len() as f64 - 0.8).abs() < 0.02);
        for i in 0..text.len() {
            if targets[i] == IGNORE {
                assert_eq!(inputs[i], text[i]);
            } else {
                assert_eq!(targets[i], text[i]);
            }
        }
        let mut again = text.clone();
        assert_eq!(masking.hide(&mut again, 257, 7), targets);
        assert_eq!(again, inputs);
    }
}
