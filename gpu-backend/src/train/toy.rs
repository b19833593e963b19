//! A network small enough to train in a test: the next token from this one alone,
//! `softmax(head . embed[token])`, with Adam and dropout.

use super::{ModelError, ModelInfo, OptimiserState, StepReport, StepValues, Sums, Trainable};
use crate::config::RunConfig;
use crate::data::{Batch, Inputs, mix};
use crate::device::IGNORE;
use ndarray::{ArrayD, IxDyn};
use std::collections::BTreeMap;
use std::path::Path;
use toeplite_checkpoint::{Checkpoint, Config, expected_tensors};

const RUN: &str = r#"
    [model]
    preset = "shakespeare-32x2"
    dim = 4
    layers = 1
    [data]
    kind = "text-bytes"
    train = "train.txt"
    valid = "valid.txt"
    [train]
    steps = 40
    batch = 4
    micro_batches = 2
    length = 8
    dropout = 0.05
    log_every = 3
    [optimiser]
    rate = 0.05
    [schedule]
    warmup = 5
    [evaluation]
    every = 8
    [checkpoints]
    every = 5
"#;

/// A run that takes well below a second.
pub fn config() -> RunConfig {
    RunConfig::parse(Path::new("/toy/run.toml"), RUN, &[]).unwrap()
}

/// [`config`] on texts in `folder`, which are written.
pub fn config_in(folder: &Path) -> RunConfig {
    let text = "to be, or not to be, that is the question: ".repeat(30);
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("train.txt"), &text).unwrap();
    std::fs::write(folder.join("valid.txt"), &text[..200]).unwrap();
    RunConfig::parse(&folder.join("toy.toml"), RUN, &[]).unwrap()
}

/// The network.
pub struct Toy {
    config: Config,
    /// `embed` then `head`, each `[vocabulary, dim]`.
    parameters: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
    report: StepReport,
    /// What a test wants to happen before each step.
    pub before_step: Box<dyn FnMut(u64)>,
    /// What a test wants to happen before each evaluated batch.
    pub before_evaluation: Box<dyn FnMut()>,
}

impl Toy {
    /// With fresh parameters.
    pub fn new(config: &Config, seed: u64) -> Self {
        let len = 2 * config.vocab_size * config.dim;
        let random = |i| (mix(seed ^ mix(i)) >> 40) as f32 / (1 << 24) as f32 - 0.5;
        Self {
            config: config.clone(),
            parameters: (0..len as u64).map(random).collect(),
            first: vec![0.0; len],
            second: vec![0.0; len],
            report: StepReport::default(),
            before_step: Box::new(|_| ()),
            before_evaluation: Box::new(|| ()),
        }
    }

    fn logits(&self, token: u32, keep: impl Fn(usize) -> f32) -> (Vec<f32>, Vec<f32>) {
        let (vocabulary, dim) = (self.config.vocab_size, self.config.dim);
        let row = &self.parameters[token as usize * dim..][..dim];
        let x: Vec<f32> = row.iter().enumerate().map(|(i, v)| v * keep(i)).collect();
        let head = self.parameters[vocabulary * dim..].chunks(dim);
        let logits = head.map(|w| w.iter().zip(&x).map(|(a, b)| a * b).sum());
        (logits.collect(), x)
    }

    fn each(
        &self,
        batch: &Batch,
        keep: impl Fn(usize, usize) -> f32,
        mut target: impl FnMut(usize, u32, &[f32], &[f32], u32),
    ) -> Result<Sums, ModelError> {
        let Inputs::Tokens(tokens) = &batch.inputs else {
            return Err("the toy reads tokens".into());
        };
        let mut sums = Sums::default();
        for (at, (&token, &wanted)) in tokens.iter().zip(&batch.targets).enumerate() {
            if wanted == IGNORE {
                continue;
            }
            let (logits, x) = self.logits(token, |i| keep(at, i));
            let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let exps: Vec<f32> = logits.iter().map(|l| (l - most).exp()).collect();
            let total: f32 = exps.iter().sum();
            let p: Vec<f32> = exps.iter().map(|e| e / total).collect();
            sums.loss -= f64::from(p[wanted as usize].ln());
            sums.targets += 1;
            sums.correct += u64::from(logits[wanted as usize] >= most);
            target(at, token, &p, &x, wanted);
        }
        Ok(sums)
    }
}

impl Trainable for Toy {
    fn info(&self) -> ModelInfo {
        ModelInfo {
            device: "toy".to_owned(),
            parameters: self.parameters.len(),
            ..ModelInfo::default()
        }
    }

    fn step(&mut self, micro_batches: &[Batch], values: &StepValues) -> Result<(), ModelError> {
        (self.before_step)(values.step);
        let (vocabulary, dim) = (self.config.vocab_size, self.config.dim);
        let mut gradients = vec![0.0f32; self.parameters.len()];
        let count = values.targets;
        for (micro, batch) in micro_batches.iter().enumerate() {
            let keep = |at: usize, i: usize| {
                let noise = mix(values.seed ^ mix((micro << 40 | at << 8 | i) as u64)) >> 40;
                let dropped = (noise as f32) < values.dropout * (1 << 24) as f32;
                if dropped {
                    0.0
                } else {
                    1.0 / (1.0 - values.dropout)
                }
            };
            let sums = self.each(batch, keep, |at, token, p, x, wanted| {
                for (class, p) in p.iter().enumerate() {
                    let d = (p - f32::from(u8::from(class == wanted as usize))) / count as f32;
                    for i in 0..dim {
                        let head = (vocabulary + class) * dim + i;
                        gradients[head] += d * x[i];
                        gradients[token as usize * dim + i] +=
                            d * self.parameters[head] * keep(at, i);
                    }
                }
            })?;
            self.report.sums += sums;
        }
        self.report.gradient_norm = gradients.iter().map(|g| g * g).sum::<f32>().sqrt();
        let [beta1, beta2] = values.betas;
        for (i, g) in gradients.iter().enumerate() {
            self.first[i] = beta1 * self.first[i] + (1.0 - beta1) * g;
            self.second[i] = beta2 * self.second[i] + (1.0 - beta2) * g * g;
            let m = self.first[i] / (1.0 - beta1.powi(values.step as i32));
            let v = self.second[i] / (1.0 - beta2.powi(values.step as i32));
            self.parameters[i] -= values.rate * m / (v.sqrt() + values.epsilon);
        }
        Ok(())
    }

    fn report(&mut self) -> Result<StepReport, ModelError> {
        Ok(std::mem::take(&mut self.report))
    }

    fn evaluate(&mut self, batch: &Batch) -> Result<Sums, ModelError> {
        (self.before_evaluation)();
        self.each(batch, |_, _| 1.0, |_, _, _, _, _| ())
    }

    fn classify(&mut self, _: &Batch) -> Result<(Sums, Vec<f32>), ModelError> {
        Err("the toy is no classifier".into())
    }

    fn position_logits(&mut self, _: &Batch) -> Result<Vec<f32>, ModelError> {
        Err("the toy is no classifier".into())
    }

    fn next_logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>, ModelError> {
        let last = tokens.last().ok_or("no token")?;
        Ok(self.logits(*last, |_| 1.0).0)
    }

    fn export(&self) -> Result<Checkpoint, ModelError> {
        let half = self.parameters.len() / 2;
        let tensor = |(name, shape): (String, Vec<usize>)| {
            let tensor = match name.as_str() {
                "embed.weight" => {
                    ArrayD::from_shape_vec(IxDyn(&shape), self.parameters[..half].to_vec())
                }
                "head.weight" => {
                    ArrayD::from_shape_vec(IxDyn(&shape), self.parameters[half..].to_vec())
                }
                _ => Ok(ArrayD::zeros(IxDyn(&shape))),
            };
            (name, tensor.expect("the shape is the toy's"))
        };
        Ok(Checkpoint {
            config: self.config.clone(),
            tensors: expected_tensors(&self.config)
                .into_iter()
                .map(tensor)
                .collect(),
        })
    }

    fn optimiser_state(&self) -> Result<OptimiserState, ModelError> {
        let tensors = BTreeMap::from([
            ("first".to_owned(), self.first.clone()),
            ("second".to_owned(), self.second.clone()),
        ]);
        Ok(OptimiserState { tensors })
    }

    fn restore(
        &mut self,
        _: u64,
        parameters: &Checkpoint,
        state: &OptimiserState,
    ) -> Result<(), ModelError> {
        let numbers = ["embed.weight", "head.weight"].map(|n| parameters.tensors[n].iter());
        self.parameters = numbers.into_iter().flatten().copied().collect();
        let moments = |name| {
            state
                .tensors
                .get(name)
                .cloned()
                .ok_or("a moment is missing")
        };
        self.first = moments("first")?;
        self.second = moments("second")?;
        Ok(())
    }
}
