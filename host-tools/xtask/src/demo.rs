//! `cargo xtask demo`: from a trained checkpoint to text out of an emulated device.

use anyhow::{Context, Result, ensure};
use clap::Parser;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use xtask::boards::{Board, NAMES};
use xtask::command::{complete, shown};
use xtask::model::{Model, Storage, convert, toeplite};
use xtask::report::Report;
use xtask::{firmware, host, paths, qemu, setup};

/// Bytes of the text that the conversion is compared on: enough to see that it works.
const COMPARED_BYTES: usize = 4 * 512;
/// Of one run of the firmware.
const LIMIT: Duration = Duration::from_secs(240);

/// Converts a checkpoint, builds the firmware, and streams text from an emulated device.
#[derive(Parser)]
pub struct Demo {
    /// The board.
    #[arg(long, default_value = NAMES[0], value_parser = NAMES)]
    board: String,
    /// Checkpoint of a byte-level model; default: the largest bundled one that the board holds.
    #[arg(long)]
    checkpoint: Option<PathBuf>,
    /// Text to compare the conversion on; default: val.txt beside the checkpoint.
    #[arg(long)]
    text: Option<PathBuf>,
    /// What the text starts with.
    #[arg(long, default_value = "PROSPERO.  My ")]
    prompt: String,
    /// Tokens to generate.
    #[arg(long, default_value_t = 200)]
    tokens: usize,
    /// 0 always takes the likeliest token.
    #[arg(long, default_value_t = 0.8)]
    temperature: f32,
    /// Of the draws.
    #[arg(long, default_value_t = 42)]
    seed: u64,
}

/// What the device must print.
struct Expected {
    prompt: Vec<u8>,
    logits_hash: String,
    memory_bytes: u64,
}

impl Demo {
    /// Runs all steps; an error if any fails, if no text comes, or if the device's logits are not
    /// the host's.
    pub fn run(&self) -> Result<()> {
        let start = Instant::now();
        println!("The first run compiles everything: about 5 to 10 minutes on two cores.");
        let board = Board::named(&self.board)?;
        heading("Set-up");
        setup::everything()?;
        heading("The toeplite command");
        let toeplite = toeplite()?;
        println!("{}", toeplite.display());
        let model = self.convert(&toeplite, &board)?;
        firmware::check_fit(&board, &model)?;
        self.compare(&toeplite, &model)?;
        heading(&format!("Firmware for {}", self.board));
        let firmware = firmware::text(&board, &model, &[])?;
        println!("{}", firmware.elf.display());
        heading("Text from the device");
        let output = qemu::run(&firmware, &self.arguments(), LIMIT, |piece| {
            // Text is to be seen as it comes; a closed terminal does not matter.
            let _ = std::io::stdout()
                .write_all(piece)
                .and_then(|()| std::io::stdout().flush());
        })?;
        let report = Report::parse(&output.success()?.stdout);
        heading("Check");
        check(
            &report,
            &Expected {
                prompt: self.prompt.clone().into_bytes(),
                logits_hash: host::logits_hash(&model.files.blob)?,
                memory_bytes: model.memory_bytes()?,
            },
        )?;
        println!("done in {:.0} s", start.elapsed().as_secs_f64());
        Ok(())
    }

    fn checkpoint(&self) -> PathBuf {
        // Flash and RAM of the others are too small for the larger model.
        let large =
            ["mps2-an386", "mps2-an500", "mps3-an547", "virt-rv32"].contains(&self.board.as_str());
        let name = if large {
            "shakespeare-64x9"
        } else {
            "shakespeare-32x2"
        };
        self.checkpoint
            .clone()
            .unwrap_or_else(|| paths::checkpoint(name))
    }

    fn convert(&self, toeplite: &Path, board: &Board) -> Result<Model> {
        let checkpoint = self.checkpoint();
        let contract = board.contract();
        heading(&format!(
            "Convert {} (contract {contract})",
            checkpoint.display()
        ));
        let into = paths::firmware().join("text/model");
        let storage = Storage::int8(contract, board.core);
        let model = convert(toeplite, &checkpoint, storage, &into)?;
        let number = |key: &str| model.json[key].to_string();
        println!(
            "{} ({} bytes)",
            model.files.blob.display(),
            number("blob_bytes")
        );
        println!(
            "session memory: {} bytes; {} s",
            number("memory_bytes"),
            number("seconds")
        );
        Ok(model)
    }

    fn compare(&self, toeplite: &Path, model: &Model) -> Result<()> {
        let checkpoint = self.checkpoint();
        let text = self
            .text
            .clone()
            .unwrap_or_else(|| checkpoint.join("val.txt"));
        heading(&format!(
            "Compare on the first {COMPARED_BYTES} bytes of {}",
            text.display()
        ));
        println!("Only these, to be quick: `toeplite compare` takes texts of any length.");
        let prefix = prefix(&text)?;
        let mut compare = Command::new(toeplite);
        compare
            .arg("compare")
            .arg(checkpoint)
            .arg(&model.files.blob)
            .arg("--text")
            .arg(&prefix);
        complete(compare.args(["--length", "512"]))
            .with_context(|| format!("comparing by {}", shown(&compare)))
    }

    fn arguments(&self) -> String {
        let Self {
            tokens,
            temperature,
            seed,
            ..
        } = self;
        let prompt = firmware::prompt(self.prompt.as_bytes());
        format!("generate tokens={tokens} temperature={temperature} seed={seed} {prompt}")
    }
}

/// Whether text came that begins with the prompt, with the host's logits, in the memory predicted.
fn check(report: &Report, expected: &Expected) -> Result<()> {
    let fresh = report.text.len().saturating_sub(expected.prompt.len());
    ensure!(fresh > 0, "no text came out of the device");
    ensure!(
        report.text.starts_with(&expected.prompt),
        "the device's text does not begin with the prompt"
    );
    println!("text: {fresh} bytes");
    let (device, host) = (report.get("logits_hash")?, &expected.logits_hash);
    println!("logits of 256 steps: {device} on the device, {host} on the host");
    ensure!(device == host, "the device's logits are not the host's");
    let (device, predicted) = (
        report.number("session_memory_bytes")?,
        expected.memory_bytes,
    );
    println!("session memory: {device} bytes on the device, {predicted} predicted");
    ensure!(
        device == predicted,
        "the device needs another amount of memory than predicted"
    );
    Ok(())
}

fn prefix(text: &Path) -> Result<PathBuf> {
    let mut bytes = fs::read(text)
        .with_context(|| format!("reading {} (--text names another file)", text.display()))?;
    bytes.truncate(COMPARED_BYTES);
    let prefix = paths::output().join("compared.txt");
    fs::create_dir_all(paths::output())?;
    fs::write(&prefix, bytes).with_context(|| format!("writing {}", prefix.display()))?;
    Ok(prefix)
}

fn heading(text: &str) {
    println!("\n== {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "To be, or\n---\nlogits_hash: 00000000000000ab\nsession_memory_bytes: 9216\n";

    fn refusal(output: &str) -> Option<String> {
        let expected = Expected {
            prompt: b"To be".to_vec(),
            logits_hash: "00000000000000ab".into(),
            memory_bytes: 9216,
        };
        let refused = check(&Report::parse(output.as_bytes()), &expected);
        refused.err().map(|error| error.to_string())
    }

    #[test]
    fn each_check_fails_where_it_should() {
        assert_eq!(refusal(GOOD), None);
        for (from, to, says) in [
            ("To be, or", "To be", "no text"),
            ("To be, or\n---\n", "", "no text"),
            ("To be, or", "Or not to be", "begin with the prompt"),
            ("00ab", "00ac", "logits are not the host's"),
            (
                "logits_hash: 00000000000000ab\n",
                "",
                "no line `logits_hash",
            ),
            ("9216", "9217", "amount of memory"),
            ("9216", "much", "not a number"),
            (
                "session_memory_bytes: 9216\n",
                "",
                "no line `session_memory_bytes",
            ),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let refusal = refusal(&GOOD.replace(from, to)).unwrap_or_default();
            assert!(refusal.contains(says), "{from} -> {to}: {refusal}");
        }
    }

    /// `toeplite run` and the text example say so of themselves.
    #[test]
    fn draws_are_those_of_the_toeplite_command() {
        let demo = Demo::parse_from(["demo"]);
        assert_eq!((demo.temperature, demo.seed, demo.tokens), (0.8, 42, 200));
        let arguments = demo.arguments();
        assert!(
            arguments.contains("temperature=0.8 seed=42 "),
            "{arguments}"
        );
    }
}
