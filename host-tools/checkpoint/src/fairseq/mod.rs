//! Checkpoints of the public TNN fork of fairseq: one `.pt` file written by `torch.save`.
//!
//! Read without executing anything ([`pickle`]); optimizer state and training bookkeeping are left
//! alone, so their classes need not be known. The options decide what the network is ([`Config`]),
//! then names and shapes are compared, and only then numbers are read.

mod archive;
mod error;
mod names;
mod namespace;
mod options;
pub mod pickle;
mod tensor;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) mod writer;

pub use error::{FairseqError, TensorError};

use super::tensors::{self, Listed};
use super::{
    Checkpoint, CheckpointError, Config, Origin, SourceFormat, StoredType, expected_tensors,
};
use archive::Archive;
use names::Meaning;
use namespace::{Options, as_mapping};
use ndarray::{ArrayD, IxDyn};
use options::Embeddings;
use pickle::Mapping;
use std::collections::BTreeMap;
use std::io::{Read, Seek};
use std::path::Path;
use tensor::Tensor;

const EMBED: &str = "embed.weight";
const HEAD: &str = "head.weight";

/// Reads a fairseq checkpoint; `path` is for errors.
///
/// # Errors
/// [`CheckpointError::Fairseq`] if the file cannot be read or the network not represented, and the
/// same errors as for a native checkpoint if its tensors do not fit. Tensors of the network are
/// called by their native names in errors, unknown ones as in the file.
pub fn read<R: Read + Seek>(
    reader: R,
    path: &Path,
) -> Result<(Checkpoint, Origin), CheckpointError> {
    let fairseq = |cause| CheckpointError::Fairseq {
        path: path.to_owned(),
        cause,
    };
    let mut archive = Archive::open(reader).map_err(fairseq)?;
    let bytes = archive.pickle().map_err(fairseq)?;
    let pickle = pickle::parse(&bytes)
        .map_err(FairseqError::Pickle)
        .map_err(fairseq)?;
    let network = Network::describe(&pickle).map_err(fairseq)?;
    network.compare(path)?;
    let tensors = network.load(&mut archive).map_err(fairseq)?;
    tensors::check_values(path, &network.config, &tensors)?;
    Ok(network.finish(tensors))
}

/// What the pickle says, before any number is read.
struct Network {
    arch: String,
    config: Config,
    /// Parameters by native name.
    parameters: BTreeMap<String, Tensor>,
    /// Output embedding stored as a second matrix although it is tied: must be equal.
    second_head: Option<Tensor>,
    /// Names that mean nothing to a TNN.
    unknown: BTreeMap<String, Listed>,
}

impl Network {
    fn describe(pickle: &pickle::Pickle) -> Result<Self, FairseqError> {
        let checkpoint = as_mapping("the file's contents", Some(pickle.root()))?;
        let options = Options::find(checkpoint)?;
        let arch = options::arch(options)?;
        let model = as_mapping("model", checkpoint.get("model"))?;
        let (mut parameters, unknown) = collect(model)?;
        let embeddings = embeddings(&parameters)?;
        let config = options::config(options, &embeddings)?;
        let mut second_head = None;
        if config.tie_embeddings {
            second_head = parameters.remove(HEAD).filter(|_| !embeddings.share_data);
        }
        Ok(Self {
            arch,
            config,
            parameters,
            second_head,
            unknown,
        })
    }

    /// Compares with what the options ask for.
    fn compare(&self, path: &Path) -> Result<(), CheckpointError> {
        let config_error = |cause| CheckpointError::Config {
            path: path.to_owned(),
            cause,
        };
        // First: sizes out of range must not become lists of tensors.
        self.config.validate().map_err(config_error)?;
        let mut found = self.unknown.clone();
        found.extend(
            self.parameters
                .iter()
                .map(|(name, t)| (name.clone(), t.listed())),
        );
        tensors::compare(&expected_tensors(&self.config), &found).map_err(|problems| {
            CheckpointError::Tensors {
                path: path.to_owned(),
                problems,
            }
        })
    }

    /// Reads the numbers, each storage once.
    fn load<R: Read + Seek>(
        &self,
        archive: &mut Archive<R>,
    ) -> Result<BTreeMap<String, ArrayD<f32>>, FairseqError> {
        let second_head = self.second_head.iter().map(|tensor| (HEAD, tensor));
        let parameters = self
            .parameters
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor));
        let mut wanted: Vec<(&str, &Tensor)> = parameters.chain(second_head).collect();
        check_total(&wanted, archive.len)?;
        wanted.sort_by_key(|(_, tensor)| &tensor.key);
        let mut arrays = BTreeMap::new();
        let mut storage = Storage::default();
        for (name, tensor) in wanted {
            let numbers = tensor.gather(storage.read(name, tensor, archive)?);
            let array = ArrayD::from_shape_vec(IxDyn(&tensor.shape), numbers)
                .expect("gather gives one number for each element of the shape");
            arrays.insert(name.to_owned(), array);
        }
        match arrays.remove(HEAD) {
            Some(head) if !self.config.tie_embeddings => drop(arrays.insert(HEAD.to_owned(), head)),
            Some(head) if arrays.get(EMBED) != Some(&head) => {
                return Err(FairseqError::HeadDiffers);
            }
            _ => (),
        }
        Ok(arrays)
    }

    fn finish(self, tensors: BTreeMap<String, ArrayD<f32>>) -> (Checkpoint, Origin) {
        let stored = |(name, tensor): (String, Tensor)| Some((name, tensor.stored.ok()?));
        let origin = Origin {
            format: SourceFormat::Fairseq { arch: self.arch },
            stored_types: self.parameters.into_iter().filter_map(stored).collect(),
        };
        let config = self.config;
        (Checkpoint { config, tensors }, origin)
    }
}

/// Parameters by native name, and what is none.
type Collected = (BTreeMap<String, Tensor>, BTreeMap<String, Listed>);

fn collect(model: Mapping) -> Result<Collected, FairseqError> {
    let (mut parameters, mut unknown) = (BTreeMap::new(), BTreeMap::new());
    for (name, node) in model.iter() {
        let tensor = || {
            Tensor::from_node(node).map_err(|cause| FairseqError::Tensor {
                name: name.to_owned(),
                cause,
            })
        };
        match names::meaning(name) {
            Meaning::Bookkeeping => (),
            Meaning::Unknown => drop(unknown.insert(name.to_owned(), tensor()?.listed())),
            Meaning::Parameter(native) => {
                // Python would keep the last of two equal keys; torch never writes two.
                if parameters.insert(native.clone(), tensor()?).is_some() {
                    return Err(FairseqError::SameName { name: native });
                }
            }
        }
    }
    Ok((parameters, unknown))
}

fn embeddings(parameters: &BTreeMap<String, Tensor>) -> Result<Embeddings, FairseqError> {
    let embed = parameters
        .get(EMBED)
        .ok_or_else(|| FairseqError::Structure {
            place: "model.decoder.embed_tokens.weight".to_owned(),
            found: "missing".to_owned(),
            expected: "the token embedding of a decoder-only language model",
        })?;
    Ok(Embeddings {
        vocab_size: embed.shape.first().copied().unwrap_or(0),
        share_data: parameters.get(HEAD) == Some(embed),
    })
}

/// Tensors that are parts of one storage are fine, tensors that repeat it are not: they would make a
/// small file fill the memory.
fn check_total(wanted: &[(&str, &Tensor)], file: u64) -> Result<(), FairseqError> {
    let bytes = |tensor: &Tensor| {
        let stored = tensor.stored.as_ref().map_or(0, |stored| stored.bytes());
        (tensor.len() as u64).saturating_mul(stored as u64)
    };
    let bytes = wanted
        .iter()
        .fold(0u64, |sum, (_, tensor)| sum.saturating_add(bytes(tensor)));
    if bytes > file {
        return Err(FairseqError::SharedData { bytes, file });
    }
    Ok(())
}

/// The storage read last: tensors are visited storage by storage.
#[derive(Default)]
struct Storage {
    of: Option<(String, StoredType, usize)>,
    numbers: Vec<f32>,
}

impl Storage {
    fn read<R: Read + Seek>(
        &mut self,
        name: &str,
        tensor: &Tensor,
        archive: &mut Archive<R>,
    ) -> Result<&[f32], FairseqError> {
        let damaged = |found: String| FairseqError::Tensor {
            name: name.to_owned(),
            cause: TensorError::Part {
                part: "storage",
                found,
            },
        };
        let stored = tensor.stored.clone().map_err(damaged)?;
        let bytes = tensor.storage_bytes();
        let bytes = bytes.ok_or_else(|| damaged(format!("{} numbers long", tensor.count)))?;
        let of = Some((tensor.key.clone(), stored, tensor.count));
        if self.of != of {
            self.numbers = stored.decode(&archive.storage(&tensor.key, bytes)?);
            self.of = of;
        }
        Ok(&self.numbers)
    }
}
