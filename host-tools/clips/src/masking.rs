//! Masked language modelling: which tokens are hidden, and behind what (Devlin et al. 2019).

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
    /// Hides tokens of `inputs` and gives the targets: the hidden tokens, and `None` elsewhere.
    /// Of those to predict 80% become the mask, 10% another token below `vocabulary`, 10% stay.
    ///
    /// # Panics
    /// `vocabulary` is 0.
    pub fn hide(&self, inputs: &mut [u32], vocabulary: usize, noise: u64) -> Vec<Option<u32>> {
        let hide = |(i, input): (usize, &mut u32)| {
            let x = self.draw(noise, i)?;
            let target = *input;
            match x % 10 {
                0 => {}
                1 => *input = (mix(x) % vocabulary as u64) as u32,
                _ => *input = self.token,
            }
            Some(target)
        };
        inputs.iter_mut().enumerate().map(hide).collect()
    }

    /// How many of the first `length` tokens [`Masking::hide`] gives as targets.
    pub fn count(&self, length: usize, noise: u64) -> usize {
        (0..length)
            .filter(|i| self.draw(noise, *i).is_some())
            .count()
    }

    /// The noise of an evaluation's window that begins at token `start` of its text.
    pub fn evaluation_noise(&self, start: usize) -> u64 {
        mix(self.seed ^ mix(start as u64))
    }

    /// Random bits of a token that is to be predicted.
    fn draw(&self, noise: u64, i: usize) -> Option<u64> {
        let x = mix(noise ^ mix(i as u64));
        // 24 bits decide whether, the others what.
        let hidden = ((x >> 40) as f64) < self.probability * f64::from(1 << 24);
        hidden.then_some(x)
    }
}

/// A well-mixed function of a number (splitmix64's finaliser, Steele et al. 2014).
pub fn mix(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASKING: Masking = Masking {
        probability: 0.15,
        token: 256,
        seed: 0,
    };

    #[test]
    fn shares_are_as_published() {
        let text: Vec<u32> = (0..100_000).map(|i| i % 256).collect();
        let mut inputs = text.clone();
        let targets = MASKING.hide(&mut inputs, 257, 7);
        let share = |n: usize| n as f64 / text.len() as f64;
        let predicted: Vec<usize> = (0..text.len()).filter(|&i| targets[i].is_some()).collect();
        assert!((share(predicted.len()) - 0.15).abs() < 0.01);
        assert_eq!(MASKING.count(text.len(), 7), predicted.len());
        let masks = inputs.iter().filter(|t| **t == 256).count();
        assert!((masks as f64 / predicted.len() as f64 - 0.8).abs() < 0.02);
        for i in 0..text.len() {
            match targets[i] {
                None => assert_eq!(inputs[i], text[i]),
                Some(target) => assert_eq!(target, text[i]),
            }
        }
        let mut again = text.clone();
        assert_eq!(MASKING.hide(&mut again, 257, 7), targets);
        assert_eq!(again, inputs);
    }

    /// Figures of evaluations must stay comparable, also after an update of the program.
    #[test]
    fn known_tokens_are_hidden() {
        assert_eq!(mix(0), 0xE220_A839_7B1D_CDAF);
        let mut inputs = [65; 32];
        let noise = Masking { seed: 1, ..MASKING }.evaluation_noise(512);
        let targets = MASKING.hide(&mut inputs, 257, noise);
        let hidden: Vec<usize> = (0..32).filter(|i| targets[*i].is_some()).collect();
        assert_eq!(hidden, [0, 2, 11, 14]);
        assert_eq!(
            hidden.iter().map(|i| inputs[*i]).collect::<Vec<_>>(),
            [3, 114, 256, 256]
        );
    }
}
