//! Cases of the official modules: parameters, an input, and the outputs that belong to them.
//!
//! A folder of cases is an `index.json` that names every case's module and constructor arguments,
//! and a safetensors file a case with `param.<state-dict name>`, `x`, `y`, and either `a` and `lags` or, of an
//! operator given by its response, `kernel` in circular order.

mod args;
mod check;

pub use args::Module;
pub use check::{Comparison, check};

use super::ReferenceError;
use args::ModuleArgs;
use ndarray::ArrayD;
use safetensors::{Dtype, SafeTensorError, SafeTensors, tensor::TensorView};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A module with its parameters, its input and its outputs.
#[derive(Clone, Debug)]
pub struct Case {
    /// The case's name in the index.
    pub name: String,
    module: ModuleArgs,
    tensors: BTreeMap<String, ArrayD<f32>>,
    /// Of `a`; empty where there is a `kernel` instead.
    lags: Vec<i64>,
}

/// Why a case could not be read or run.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// A file could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The index is not JSON of the expected form, or names an unknown module.
    #[error("{path} is not an index of cases: {source}")]
    Index {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// No case of the index has the file's name.
    #[error("{index} has no case with the file {file}")]
    NotInIndex {
        /// The index.
        index: PathBuf,
        /// The file's name.
        file: String,
    },
    /// A case's arguments are not those of its module, or have no meaning.
    #[error("case {case}: {message}")]
    Args {
        /// The case.
        case: String,
        /// What is wrong.
        message: String,
    },
    /// The case file is not a safetensors file.
    #[error("{path} is not a safetensors file: {source}")]
    Tensors {
        /// The file.
        path: PathBuf,
        /// Why.
        source: SafeTensorError,
    },
    /// A tensor has a type that cases do not use.
    #[error("tensor `{name}` is {found:?}: {needed} is needed")]
    Type {
        /// The tensor.
        name: String,
        /// Its type.
        found: Dtype,
        /// The type of such tensors.
        needed: &'static str,
    },
    /// A tensor's shape contradicts another's.
    #[error("tensor `{name}` has shape {found:?}: {needed} is needed")]
    Shape {
        /// The tensor.
        name: &'static str,
        /// What is needed.
        needed: String,
        /// Its shape.
        found: Vec<usize>,
    },
    /// The module could not be built or run.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
}

#[derive(Deserialize)]
struct Index {
    cases: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    file: String,
    module: Module,
    args: serde_json::Value,
}

impl Case {
    /// Reads the case whose file is `file`, with its arguments from `index`.
    ///
    /// # Errors
    /// A file cannot be read, the index does not name `file`, a tensor is missing or has an
    /// unknown type, or the arguments are not those of the module.
    pub fn open(file: &Path, index: &Path) -> Result<Self, CaseError> {
        let (name, entry) = find(file, index)?;
        let module = ModuleArgs::parse(entry.module, entry.args);
        let module = module.map_err(|message| CaseError::Args {
            case: name.clone(),
            message,
        })?;
        let (tensors, lags) = read_tensors(file)?;
        let lags = match &module {
            ModuleArgs::TnoFD(_) => Vec::new(),
            _ => lags.ok_or_else(|| missing("lags"))?,
        };
        Ok(Self {
            name,
            module,
            tensors,
            lags,
        })
    }

    /// The module that the case is of.
    pub fn module(&self) -> Module {
        self.module.module()
    }

    fn tensor(&self, name: &str) -> Result<&ArrayD<f32>, CaseError> {
        self.tensors.get(name).ok_or_else(|| missing(name))
    }
}

fn missing(name: &str) -> CaseError {
    let name = name.to_owned();
    ReferenceError::MissingTensor { name }.into()
}

fn read(path: &Path) -> Result<Vec<u8>, CaseError> {
    std::fs::read(path).map_err(|source| CaseError::Read {
        path: path.to_owned(),
        source,
    })
}

fn find(file: &Path, index: &Path) -> Result<(String, Entry), CaseError> {
    let parsed = serde_json::from_slice::<Index>(&read(index)?);
    let parsed = parsed.map_err(|source| CaseError::Index {
        path: index.to_owned(),
        source,
    })?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let mut cases = parsed.cases.into_iter();
    cases
        .find(|(_, entry)| entry.file == name)
        .ok_or_else(|| CaseError::NotInIndex {
            index: index.to_owned(),
            file: name.into_owned(),
        })
}

/// A file's f32 tensors, and its lags.
type Tensors = (BTreeMap<String, ArrayD<f32>>, Option<Vec<i64>>);

fn read_tensors(path: &Path) -> Result<Tensors, CaseError> {
    let bytes = read(path)?;
    let file = SafeTensors::deserialize(&bytes).map_err(|source| CaseError::Tensors {
        path: path.to_owned(),
        source,
    })?;
    let mut tensors = BTreeMap::new();
    let mut lags = None;
    for (name, view) in file.iter() {
        if name == "lags" {
            lags = Some(integers(&view)?);
        } else if name != "omega" {
            // The frequencies follow from the length, and the kernel from them.
            tensors.insert(name.to_owned(), floats(name, &view)?);
        }
    }
    Ok((tensors, lags))
}

fn integers(view: &TensorView) -> Result<Vec<i64>, CaseError> {
    match view.dtype() {
        Dtype::I32 => Ok(numbers(view.data(), |b| i32::from_le_bytes(b).into())),
        Dtype::I64 => Ok(numbers(view.data(), i64::from_le_bytes)),
        found => Err(CaseError::Type {
            name: "lags".into(),
            found,
            needed: "I32 or I64",
        }),
    }
}

fn floats(name: &str, view: &TensorView) -> Result<ArrayD<f32>, CaseError> {
    if view.dtype() != Dtype::F32 {
        return Err(CaseError::Type {
            name: name.to_owned(),
            found: view.dtype(),
            needed: "F32",
        });
    }
    let values = numbers(view.data(), f32::from_le_bytes);
    let array = ArrayD::from_shape_vec(view.shape().to_vec(), values);
    Ok(array.expect("safetensors checks that data and shape agree"))
}

fn numbers<N, const BYTES: usize>(data: &[u8], read: impl Fn([u8; BYTES]) -> N) -> Vec<N> {
    let (chunks, _) = data.as_chunks();
    chunks.iter().map(|&chunk| read(chunk)).collect()
}
