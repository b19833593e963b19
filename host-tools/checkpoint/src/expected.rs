//! Which tensors a network has.
//!
//! Names and shapes are those of the standalone TNN layers' state dict; linear maps are stored
//! `[out, in]`.

use super::config::{Config, Norm};

/// Names and shapes of all tensors of a network, in the order of its forward pass.
///
/// `config` must be valid ([`Config::validate`]): sizes are used as they are.
pub fn expected_tensors(config: &Config) -> Vec<(String, Vec<usize>)> {
    let mut list = List {
        tensors: Vec::new(),
        bias: config.bias,
    };
    match config.frame_dim() {
        Some(frame) => list.linear("frames", frame, config.dim),
        None => list.push("embed.weight", &[config.vocab_size, config.dim]),
    }
    for layer in 0..config.layers {
        let prefix = format!("layers.{layer}");
        list.norm(&format!("{prefix}.token_norm"), config.norm, config.dim);
        list.token_mixer(&format!("{prefix}.token_mixer"), config);
        list.norm(&format!("{prefix}.feature_norm"), config.norm, config.dim);
        list.feature_mixer(&format!("{prefix}.feature_mixer"), config);
    }
    list.norm("final_norm", config.final_norm, config.dim);
    if !config.tie_embeddings {
        list.push("head.weight", &[config.outputs(), config.dim]);
    }
    list.tensors
}

struct List {
    tensors: Vec<(String, Vec<usize>)>,
    bias: bool,
}

impl List {
    fn push(&mut self, name: impl Into<String>, shape: &[usize]) {
        self.tensors.push((name.into(), shape.to_vec()));
    }

    fn linear(&mut self, name: &str, inputs: usize, outputs: usize) {
        self.push(format!("{name}.weight"), &[outputs, inputs]);
        if self.bias {
            self.push(format!("{name}.bias"), &[outputs]);
        }
    }

    fn norm(&mut self, name: &str, norm: Norm, width: usize) {
        let parameters: &[(&str, usize)] = match norm {
            Norm::SimpleRmsNorm | Norm::None => &[],
            Norm::RmsNorm => &[("scale", width)],
            Norm::GatedRmsNorm => &[("scale", width), ("gate", width)],
            Norm::ScaleNorm => &[("scala", 1)],
            Norm::LayerNorm => &[("weight", width), ("bias", width)],
        };
        for &(parameter, len) in parameters {
            self.push(format!("{name}.{parameter}"), &[len]);
        }
    }

    /// GTU: two maps in, the Toeplitz operators, an optional norm, one map out.
    fn token_mixer(&mut self, name: &str, config: &Config) {
        let channels = config.channels();
        self.linear(&format!("{name}.u_proj"), config.dim, channels);
        self.linear(&format!("{name}.v_proj"), config.dim, channels);
        let toeplitz = &config.toeplitz;
        for operator in config.operators() {
            if toeplitz.decay || toeplitz.learned_decay {
                let heads = config.num_heads;
                let shape = [heads, 1, channels / heads];
                self.push(format!("{name}.{operator}.gamma"), &shape);
            }
            self.rpe(&format!("{name}.{operator}.rpe"), config);
        }
        if let Some(ski) = toeplitz.ski() {
            self.push(format!("{name}.toep.short"), &[channels, ski.taps]);
        }
        if config.gtu_norm {
            self.norm(&format!("{name}.norm"), config.norm, channels);
        }
        self.linear(&format!("{name}.o"), channels, config.dim);
    }

    /// RPE network: one number in, blocks of `[norm (0), activation (1), linear (2)]`.
    fn rpe(&mut self, name: &str, config: &Config) {
        let toeplitz = &config.toeplitz;
        let width = toeplitz.rpe_dim;
        self.linear(&format!("{name}.pos_proj"), 1, width);
        for layer in 0..toeplitz.rpe_layers {
            let block = format!("{name}.layers.{layer}");
            self.norm(&format!("{block}.0"), toeplitz.rpe_norm, width);
            self.linear(&format!("{block}.2"), width, width);
        }
        self.norm(&format!("{name}.out.0"), toeplitz.rpe_norm, width);
        self.linear(&format!("{name}.out.2"), width, config.rpe_outputs());
    }

    fn feature_mixer(&mut self, name: &str, config: &Config) {
        self.linear(&format!("{name}.l1"), config.dim, config.glu_dim);
        self.linear(&format!("{name}.l2"), config.dim, config.glu_dim);
        self.linear(&format!("{name}.l3"), config.glu_dim, config.dim);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::small_config;
    use super::*;
    use std::collections::BTreeMap;

    /// The same list read off the official modules by hand: 5 heads of 3 channels, LayerNorm
    /// everywhere but in the RPE (GatedRMSNorm), GTU norm, learned decay, untied head.
    #[test]
    fn every_option_adds_its_tensors() {
        let mut config = small_config();
        config.layers = 1;
        let got: BTreeMap<String, Vec<usize>> = expected_tensors(&config).into_iter().collect();
        let mixer = |name: &str| format!("layers.0.token_mixer.{name}");
        let mut want = BTreeMap::from([
            ("embed.weight".to_owned(), vec![7, 6]),
            ("head.weight".to_owned(), vec![7, 6]),
            ("final_norm.weight".to_owned(), vec![6]),
            ("final_norm.bias".to_owned(), vec![6]),
            (mixer("u_proj.weight"), vec![15, 6]),
            (mixer("u_proj.bias"), vec![15]),
            (mixer("v_proj.weight"), vec![15, 6]),
            (mixer("v_proj.bias"), vec![15]),
            (mixer("o.weight"), vec![6, 15]),
            (mixer("o.bias"), vec![6]),
            (mixer("norm.weight"), vec![15]),
            (mixer("norm.bias"), vec![15]),
            (mixer("toep.gamma"), vec![5, 1, 3]),
            (mixer("toep.rpe.pos_proj.weight"), vec![4, 1]),
            (mixer("toep.rpe.pos_proj.bias"), vec![4]),
            (mixer("toep.rpe.layers.0.0.scale"), vec![4]),
            (mixer("toep.rpe.layers.0.0.gate"), vec![4]),
            (mixer("toep.rpe.layers.0.2.weight"), vec![4, 4]),
            (mixer("toep.rpe.layers.0.2.bias"), vec![4]),
            (mixer("toep.rpe.out.0.scale"), vec![4]),
            (mixer("toep.rpe.out.0.gate"), vec![4]),
            (mixer("toep.rpe.out.2.weight"), vec![15, 4]),
            (mixer("toep.rpe.out.2.bias"), vec![15]),
        ]);
        for norm in ["token_norm", "feature_norm"] {
            want.insert(format!("layers.0.{norm}.weight"), vec![6]);
            want.insert(format!("layers.0.{norm}.bias"), vec![6]);
        }
        for (map, shape) in [("l1", [8, 6]), ("l2", [8, 6]), ("l3", [6, 8])] {
            want.insert(
                format!("layers.0.feature_mixer.{map}.weight"),
                shape.to_vec(),
            );
            want.insert(format!("layers.0.feature_mixer.{map}.bias"), vec![shape[0]]);
        }
        assert_eq!(got, want);
    }

    #[test]
    fn images_have_an_operator_along_each_side() {
        let mut config = small_config();
        let count = |config: &Config| expected_tensors(config).len();
        let one = count(&config);
        let own = |config: &Config, operator: &str| {
            let tensors = expected_tensors(config).into_iter();
            let name = format!(".{operator}.");
            let own = tensors.filter(|(tensor, _)| tensor.contains(&name));
            own.map(|(tensor, shape)| (tensor.replace(&name, "."), shape))
                .collect::<Vec<_>>()
        };
        let sequences = own(&config, "toep");
        config.toeplitz.image = Some([3, 4]);
        assert_eq!(own(&config, "toep1"), sequences);
        assert_eq!(own(&config, "toep2"), sequences);
        assert_eq!(count(&config), one + sequences.len());
    }

    #[test]
    fn options_switched_off_remove_theirs() {
        let mut config = small_config();
        config.bias = false;
        config.tie_embeddings = true;
        config.gtu_norm = false;
        config.toeplitz.learned_decay = false;
        config.norm = Norm::ScaleNorm;
        config.final_norm = Norm::RmsNorm;
        config.toeplitz.rpe_norm = Norm::SimpleRmsNorm;
        let names: Vec<String> = expected_tensors(&config).into_iter().map(|t| t.0).collect();
        assert!(
            !names
                .iter()
                .any(|n| n.ends_with("bias") || n.contains("gamma")),
            "{names:?}"
        );
        assert!(
            !names
                .iter()
                .any(|n| n.contains("token_mixer.norm") || n == "head.weight")
        );
        let norms: Vec<&str> = names
            .iter()
            .filter(|n| n.contains("_norm"))
            .map(|n| &**n)
            .collect();
        let mut want: Vec<String> = (0..config.layers)
            .flat_map(|i| {
                [
                    format!("layers.{i}.token_norm.scala"),
                    format!("layers.{i}.feature_norm.scala"),
                ]
            })
            .collect();
        want.push("final_norm.scale".to_owned());
        assert_eq!(norms, want);
    }
}
