//! Initial parameters: what PyTorch gives the public layers.

use super::layout::Layout;
use rand::distr::{Distribution, Uniform};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use toeplite_checkpoint::Config;

/// Deviation of the embedding's entries, before `embed_scale`.
const EMBEDDING: f32 = 0.02;

/// Parameters of a new network, laid out as `layout` says; the same for the same `seed` everywhere.
///
/// Linear maps are uniform in +-1/sqrt(inputs), biases too (PyTorch's `nn.Linear`); norms start as
/// the identity; decay rates are `gamma`.
pub fn parameters(config: &Config, layout: &Layout, gamma: f32, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut values = vec![0.0; layout.len()];
    for (name, tensor) in layout.tensors() {
        let at = &mut values[tensor.range()];
        if name.ends_with(".gamma") {
            at.fill(gamma);
        } else if name == "embed.weight" {
            at.fill_with(|| EMBEDDING * normal(&mut rng));
        } else if is_norm(name) {
            at.fill(if name.ends_with(".weight") { 1.0 } else { 0.0 });
        } else {
            let bound = 1.0 / (inputs(config, layout, name) as f32).sqrt();
            let uniform = Uniform::new(-bound, bound).expect("a bound above zero");
            at.fill_with(|| uniform.sample(&mut rng));
        }
    }
    values
}

/// A number from the standard normal distribution (Box and Muller 1958).
fn normal(rng: &mut impl Rng) -> f32 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    (radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()) as f32
}

/// The RPE's norms are numbered 0 in their blocks, maps 2.
fn is_norm(name: &str) -> bool {
    name.contains("norm.") || name.ends_with(".0.weight") || name.ends_with(".0.bias")
}

/// Inputs of the linear map that a weight or bias belongs to.
fn inputs(config: &Config, layout: &Layout, name: &str) -> usize {
    let weight = match name.strip_suffix(".bias") {
        Some(map) => format!("{map}.weight"),
        None => name.to_owned(),
    };
    layout
        .tensors()
        .get(&weight)
        .and_then(|tensor| tensor.shape.last().copied())
        .unwrap_or(config.dim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::testing::config;

    #[test]
    fn the_same_seed_gives_the_same_parameters() {
        let config = config();
        let layout = Layout::new(&config);
        let of = |seed| parameters(&config, &layout, 0.99, seed);
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn maps_are_bounded_by_their_inputs_and_norms_are_the_identity() {
        let config = config();
        let layout = Layout::new(&config);
        let values = parameters(&config, &layout, 0.99, 1);
        let of = |name: &str| &values[layout.tensors()[name].range()];
        assert!(of("final_norm.weight").iter().all(|&x| x == 1.0));
        assert!(of("final_norm.bias").iter().all(|&x| x == 0.0));
        let bound = 1.0 / 8f32.sqrt();
        let weights = of("layers.0.token_mixer.u_proj.weight");
        assert!(weights.iter().all(|x| x.abs() <= bound));
        assert!(weights.iter().any(|x| x.abs() > 0.8 * bound));
        assert!(
            of("layers.1.token_mixer.toep.gamma")
                .iter()
                .all(|&x| x == 0.99)
        );
    }
}
