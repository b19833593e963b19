//! Comparing the tensors found with the tensors expected, and their values with sense.

use super::config::Config;
use super::dtype::StoredType;
use super::error::CheckpointError;
use ndarray::ArrayD;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

/// How the names of decay tensors end.
const DECAY: &str = ".toep.gamma";

/// Everything that does not fit, in the order of the expected tensors, unknown ones last. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorProblems(pub Vec<TensorProblem>);

/// One tensor that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TensorProblem {
    /// Expected and not there.
    Missing {
        /// Name in the checkpoint.
        name: String,
        /// Shape expected.
        expected: Vec<usize>,
    },
    /// There, but no part of the network that the configuration describes.
    Extra {
        /// Name as found.
        name: String,
        /// Shape found.
        found: Vec<usize>,
    },
    /// There with another shape.
    Shape {
        /// Name in the checkpoint.
        name: String,
        /// Shape expected.
        expected: Vec<usize>,
        /// Shape found.
        found: Vec<usize>,
    },
    /// There with numbers that are not floats of a known format.
    Type {
        /// Name in the checkpoint.
        name: String,
        /// Name of the number format.
        found: String,
    },
}

impl fmt::Display for TensorProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { name, expected } => {
                write!(f, "missing {name}: expected shape {expected:?}")
            }
            Self::Extra { name, found } => {
                write!(
                    f,
                    "unknown {}: shape {found:?}, no such tensor in this configuration",
                    name.escape_debug() // not a name of ours: it may hold anything
                )
            }
            Self::Shape {
                name,
                expected,
                found,
            } => write!(
                f,
                "misshapen {name}: expected {expected:?}, found {found:?}"
            ),
            Self::Type { name, found } => {
                write!(
                    f,
                    "{name} is stored as {found}: expected f32, f16, bf16 or f64"
                )
            }
        }
    }
}

impl fmt::Display for TensorProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            let end = if i + 1 < self.0.len() { "\n" } else { "" };
            write!(f, "  {problem}{end}")?;
        }
        Ok(())
    }
}

/// What a file says of a tensor, before its numbers are read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Listed {
    /// Dimensions.
    pub shape: Vec<usize>,
    /// Number format, or the name of one that does not convert.
    pub stored: Result<StoredType, String>,
}

/// Compares what a file lists with what the configuration asks for.
pub(super) fn compare(
    expected: &[(String, Vec<usize>)],
    found: &BTreeMap<String, Listed>,
) -> Result<(), TensorProblems> {
    let mut problems: Vec<TensorProblem> = expected
        .iter()
        .filter_map(|(name, shape)| fit(name, shape, found.get(name)))
        .collect();
    let known: BTreeSet<&str> = expected.iter().map(|(name, _)| name.as_str()).collect();
    let unknown = found
        .iter()
        .filter(|(name, _)| !known.contains(name.as_str()));
    problems.extend(unknown.map(|(name, listed)| TensorProblem::Extra {
        name: name.clone(),
        found: listed.shape.clone(),
    }));
    if problems.is_empty() {
        Ok(())
    } else {
        Err(TensorProblems(problems))
    }
}

fn fit(name: &str, expected: &[usize], found: Option<&Listed>) -> Option<TensorProblem> {
    let (name, expected) = (name.to_owned(), expected.to_vec());
    let Some(found) = found else {
        return Some(TensorProblem::Missing { name, expected });
    };
    if found.shape != expected {
        let found = found.shape.clone();
        return Some(TensorProblem::Shape {
            name,
            expected,
            found,
        });
    }
    let found = found.stored.as_ref().err()?.clone();
    Some(TensorProblem::Type { name, found })
}

/// Refuses numbers that no network has: NaN, infinities, and fixed decays outside 0 to 1.
pub(super) fn check_values(
    path: &Path,
    config: &Config,
    tensors: &BTreeMap<String, ArrayD<f32>>,
) -> Result<(), CheckpointError> {
    check_finite(path, tensors)?;
    // A learned decay is stored before its sigmoid: any number is right there.
    if config.toeplitz.decay {
        check_decays(path, tensors)?;
    }
    Ok(())
}

/// Refuses decays outside 0 to 1, naming the first one: with them a kernel would grow with the lag,
/// or change its sign at every step.
fn check_decays(
    path: &Path,
    tensors: &BTreeMap<String, ArrayD<f32>>,
) -> Result<(), CheckpointError> {
    let decays = tensors.iter().filter(|(name, _)| name.ends_with(DECAY));
    for (name, tensor) in decays {
        let bad = |gamma: &f32| !(0.0..=1.0).contains(gamma);
        if let Some((index, &value)) = tensor.indexed_iter().find(|(_, gamma)| bad(gamma)) {
            return Err(CheckpointError::Decay {
                path: path.to_owned(),
                tensor: name.clone(),
                index: ndarray::Dimension::slice(&index).to_vec(),
                value,
                count: tensor.iter().filter(|gamma| bad(gamma)).count(),
            });
        }
    }
    Ok(())
}

/// Refuses NaN and infinities, naming the first one.
fn check_finite(
    path: &Path,
    tensors: &BTreeMap<String, ArrayD<f32>>,
) -> Result<(), CheckpointError> {
    for (name, tensor) in tensors {
        let count = tensor.iter().filter(|v| !v.is_finite()).count();
        let first = tensor.indexed_iter().find(|(_, v)| !v.is_finite());
        if let Some((index, &value)) = first {
            return Err(CheckpointError::NonFinite {
                path: path.to_owned(),
                tensor: name.clone(),
                index: ndarray::Dimension::slice(&index).to_vec(),
                value,
                count,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(shape: &[usize], stored: Result<StoredType, &str>) -> Listed {
        Listed {
            shape: shape.to_vec(),
            stored: stored.map_err(str::to_owned),
        }
    }

    #[test]
    fn every_problem_is_in_the_one_error() {
        let expected = ["a", "b", "c", "d"].map(|n| (n.to_owned(), vec![2, 3]));
        let found = BTreeMap::from([
            ("b".to_owned(), listed(&[3, 2], Ok(StoredType::F32))),
            ("c".to_owned(), listed(&[2, 3], Err("I64"))),
            ("d".to_owned(), listed(&[2, 3], Ok(StoredType::F16))),
            ("z".to_owned(), listed(&[1], Ok(StoredType::F32))),
        ]);
        let text = compare(&expected, &found).unwrap_err().to_string();
        let want = "  missing a: expected shape [2, 3]\n  misshapen b: expected [2, 3], found [3, 2]\n  \
                    c is stored as I64: expected f32, f16, bf16 or f64\n  \
                    unknown z: shape [1], no such tensor in this configuration";
        assert_eq!(text, want);
    }
}
