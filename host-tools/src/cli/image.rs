//! `toeplite image`: a model for the flash partition of a board.

use super::files::{self, Output};
use super::output::{self, bytes};
use crate::blob::{Blob, write_atomically};
use crate::checkpoint::{AnyFrontEnd, FRONT_END, FrontEnd};
use crate::image::{BOARDS, Beside, Board, Format, Image, Partition, board, features};
use anyhow::{Context, Result, bail, ensure};
use clap::{ArgGroup, Args};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use thiserror::Error;

/// Make the file that is flashed to a board's model partition: a new model without a new firmware.
#[derive(Args)]
#[command(group = ArgGroup::new("place").required(true), after_help = "\
Examples:
  toeplite image model.toep --board nrf52840-dk                     model.hex, and the command that flashes it
  toeplite image model.toep --board pico --front-end my-checkpoint  a keyword model: model.uf2
  toeplite image model.toep --board pico --format bin --json
  toeplite image model.toep --address 0x08100000 --size 512K -o model.hex   a board of your own

Firmware that finds no good image says why and runs the model that it was built with.")]
pub struct Cmd {
    /// A model (.toep).
    model: PathBuf,
    /// The board, a folder of firmware-examples: it says where the partition is, and what its firmware can run.
    #[arg(long, value_name = "NAME", group = "place")]
    board: Option<String>,
    /// Where the partition of another board begins, such as 0x08100000.
    #[arg(long, value_name = "ADDRESS", group = "place", value_parser = number, requires = "size")]
    address: Option<u32>,
    /// Bytes of that partition; K and M are 1024 and 1024 * 1024.
    #[arg(long, value_name = "BYTES", value_parser = number, requires = "address", conflicts_with = "board")]
    size: Option<u32>,
    /// The audio front end of a classifier of sounds: its checkpoint, or the front_end.json in it.
    #[arg(long, value_name = "PATH", conflicts_with = "classes")]
    front_end: Option<PathBuf>,
    /// Names of the classes of a classifier of other things than sounds, by number.
    #[arg(long, value_delimiter = ',', value_name = "A,B,...")]
    classes: Option<Vec<String>>,
    /// Kind of file [default: what the name of --output ends with, or what is easiest to flash to the board].
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The file to write [default: the model's name with the ending of the format].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// No such board.
#[derive(Debug, Error)]
#[error(
    "there is no board `{name}`; boards: {}. For another one give --address and --size",
    names()
)]
struct UnknownBoard {
    name: String,
}

fn names() -> String {
    BOARDS.map(|board| board.name).join(", ")
}

impl Cmd {
    /// Runs the subcommand.
    pub fn run(self) -> Result<ExitCode> {
        let board = self.board.as_deref().map(known).transpose()?;
        let partition = self.partition(board);
        let format = self.format(board);
        let path = self.output(format);
        let inputs: Vec<_> = [Some(&self.model), self.front_end.as_ref()]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        let option = "--output";
        files::check(
            &[Output {
                option,
                path: &path,
            }],
            &inputs,
        )?;

        let blob = Blob::read(&self.model)?;
        let model = blob.any()?;
        board.map_or(Ok(()), |board| board.check(&model))?;
        let tested = model.self_test();
        tested.with_context(|| self.model.display().to_string())?;
        let beside = self.beside()?;
        ensure!(
            board.is_none() || !model.is_classifier() || !matches!(beside, Beside::Classes(_)),
            "supplied firmware with a partition runs text and keywords, which take no --classes: give --front-end CHECKPOINT for a network that \
             hears sounds; build others into firmware (firmware-examples/sensor), or give --address and --size for firmware of your own"
        );
        let image = Image::new(&blob, &model, &beside)?;
        let family = board.and_then(Board::family);
        write_atomically(&path, &image.file(format, partition, family)?)?;

        let name = path.display().to_string();
        let command = board.map(|board| board.command(format, &name));
        let Partition { address, size } = partition;
        let used = image.bytes().len();
        let needed = features(&model);
        if self.json {
            output::json(&json!({
                "file": name,
                "format": format.name(),
                "board": self.board,
                "address": address,
                "partition_bytes": size,
                "image_bytes": used,
                "blob_bytes": model.blob_bytes(),
                "memory_bytes": model.memory_needed(),
                "identity": format!("{:08x}", model.identity()),
                "features": needed,
                "command": command,
            }))?;
            return Ok(ExitCode::SUCCESS);
        }
        output::line(format!(
            "{name}: {} of the partition's {} bytes at {address:#010x}; session memory {} bytes",
            bytes(used),
            bytes(size as usize),
            bytes(model.memory_needed()),
        ))?;
        if !needed.is_empty() {
            output::line(format!(
                "firmware runs it only if it is built with --features {}, which supplied firmware is not: it refuses the image and runs \
                 its own model",
                needed.join(",")
            ))?;
        }
        if let Some(command) = command {
            output::line(format!("flash it by\n    {command}"))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The board's, or the one asked for.
    fn partition(&self, board: Option<&Board>) -> Partition {
        // clap asks for one of both
        let asked = Partition {
            address: self.address.unwrap_or_default(),
            size: self.size.unwrap_or_default(),
        };
        board.map_or(asked, |board| board.partition)
    }

    fn format(&self, board: Option<&Board>) -> Format {
        let named = || self.output.as_deref().and_then(Format::of_name);
        let easiest = || board.map_or(Format::Hex, Board::format);
        self.format.or_else(named).unwrap_or_else(easiest)
    }

    fn output(&self, format: Format) -> PathBuf {
        let beside = || self.model.with_extension(format.name());
        self.output.clone().unwrap_or_else(beside)
    }

    fn beside(&self) -> Result<Beside> {
        if let Some(classes) = &self.classes {
            return Ok(Beside::Classes(classes.clone()));
        }
        let Some(path) = &self.front_end else {
            return Ok(Beside::Nothing);
        };
        Ok(Beside::FrontEnd(front_end(path)?))
    }
}

fn known(name: &str) -> Result<&'static Board, UnknownBoard> {
    board(name).ok_or_else(|| UnknownBoard { name: name.into() })
}

/// The front end of sounds in a file, or in a checkpoint's folder.
fn front_end(path: &Path) -> Result<FrontEnd> {
    let found = match path.is_file() {
        true => Some(AnyFrontEnd::read(path)?),
        false => AnyFrontEnd::of_checkpoint(path)?,
    };
    match found {
        Some(AnyFrontEnd::Sound(front_end)) => Ok(front_end),
        Some(AnyFrontEnd::Sensor(_)) => bail!(
            "{} is of a sensor's samples, and images hold front ends of sounds: supplied firmware with a partition runs text and \
             keywords. Build the sensor's model into its firmware (firmware-examples/sensor); for firmware of your own, give --classes and \
             --address",
            path.display()
        ),
        None => bail!(
            "{} has no {FRONT_END}: `toeplite-train data features` makes it with the training data",
            path.display()
        ),
    }
}

/// Decimal or hexadecimal, in bytes, K or M.
fn number(text: &str) -> Result<u32, String> {
    let parsed = || {
        if let Some(digits) = text.strip_prefix("0x") {
            return u32::from_str_radix(digits, 16).ok();
        }
        let (digits, unit) = match text.as_bytes().last()? {
            b'K' | b'k' => (&text[..text.len() - 1], 1 << 10),
            b'M' | b'm' => (&text[..text.len() - 1], 1 << 20),
            _ => (text, 1),
        };
        digits.parse::<u32>().ok()?.checked_mul(unit)
    };
    parsed().ok_or_else(|| "expected a number such as 0x08100000, 524288, 512K or 1M".into())
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_have_units() {
        let parsed = ["0x10", "12", "3K", "1M", "5000M", "K", "", "0xg", "-1"];
        let parsed = parsed.map(|text| number(text).ok());
        let expected = [Some(16), Some(12), Some(3072), Some(1 << 20)];
        assert_eq!(parsed[..4], expected);
        assert_eq!(parsed[4..], [None; 5]);
    }
}
