//! `toeplite run`: text from a model, as a device streams it.

use super::input;
use crate::blob::{AnyModel, SessionMemory};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use toeplite::sample::Sampler;
use toeplite::{Token, fixed};

/// Stream text from a byte-level model through the runtime that devices run.
#[derive(Args)]
#[command(after_help = "\
Example:
  toeplite run model.toep --prompt 'To be' --tokens 200 --temperature 0.8 --seed 42

The same seed gives the same text here and on every device.")]
pub struct Cmd {
    /// The model (.toep).
    model: PathBuf,
    /// Text to begin with.
    #[arg(long, default_value = "\n")]
    prompt: String,
    /// Bytes to generate.
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = input::count, allow_negative_numbers = true)]
    tokens: usize,
    /// Divides the logits; 0 takes the likeliest byte every time. Models of contract fixed round it to thousandths.
    #[arg(long, default_value_t = 0.8, value_name = "T", value_parser = temperature, allow_negative_numbers = true)]
    temperature: f32,
    /// Draw from the K likeliest bytes only; 0 draws from all.
    #[arg(long, default_value_t = 0, value_name = "K", value_parser = input::count, allow_negative_numbers = true)]
    top_k: usize,
    /// Seed of the draws.
    #[arg(long, default_value_t = 42, value_parser = seed, allow_negative_numbers = true)]
    seed: u64,
}

impl Cmd {
    /// Runs the subcommand.
    pub fn run(self) -> Result<ExitCode> {
        ensure!(
            !self.prompt.is_empty(),
            "the prompt is empty: give at least one character"
        );
        let blob = input::model(&self.model)?;
        let model = blob.any()?;
        let prompt = || {
            let prompt = input::byte_tokens(self.prompt.as_bytes(), model.vocab_size());
            prompt.context("run streams text")
        };
        let mut memory = SessionMemory::of_bytes(model.memory_needed());
        let mut out = io::stdout().lock();
        let mut write = |bytes: &[u8]| out.write_all(bytes).and_then(|()| out.flush());
        match model {
            AnyModel::Window(_) => bail!(
                "{} is a bidirectional model, which sees a window of tokens at once and writes no text: toeplite eval gives its logits",
                self.model.display()
            ),
            AnyModel::Classifier(_)
            | AnyModel::WindowClassifier(_)
            | AnyModel::FixedClassifier(_) => bail!(
                "{} is a classifier, which tells the class of a sequence and writes no text: toeplite eval --clips asks it for classes",
                self.model.display()
            ),
            AnyModel::F32(model) => {
                let prompt = prompt()?;
                let mut session = model.session(memory.as_mut_slice())?;
                session.self_test()?;
                let mut sampler = Sampler::new(self.seed)
                    .with_temperature(self.temperature)
                    .with_top_k(self.top_k);
                write(self.prompt.as_bytes())?;
                let mut token = sampler.sample(session.prefill(prompt)?);
                for i in 0..self.tokens {
                    write(byte(token).as_slice())?;
                    if i + 1 < self.tokens {
                        token = sampler.sample(session.step(token)?);
                    }
                }
            }
            AnyModel::Fixed(model) => {
                let prompt = prompt()?;
                let mut session = model.session(memory.as_mut_slice())?;
                session.self_test()?;
                let mut sampler = fixed::sample::Sampler::new(self.seed)
                    .with_temperature(thousandths(self.temperature))
                    .with_top_k(self.top_k);
                write(self.prompt.as_bytes())?;
                let mut token = sampler.sample(session.prefill(prompt)?);
                for i in 0..self.tokens {
                    write(byte(token).as_slice())?;
                    if i + 1 < self.tokens {
                        token = sampler.sample(session.step(token)?);
                    }
                }
            }
        }
        out.write_all(b"\n")?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The byte that a token stands for, if it stands for one.
fn byte(token: Token) -> Option<u8> {
    u8::try_from(token.0).ok()
}

/// The temperature as the contract `fixed` takes it.
fn thousandths(temperature: f32) -> u32 {
    (f64::from(temperature) * 1000.0).round() as u32
}

fn seed(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| format!("a whole number from 0 to {} is expected", u64::MAX))
}

fn temperature(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(temperature) if temperature.is_finite() && temperature >= 0.0 => Ok(temperature),
        _ => Err("a number of 0 or more is expected".into()),
    }
}
