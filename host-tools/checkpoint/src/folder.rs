//! The native format, and telling formats apart.

use super::dtype::StoredType;
use super::error::CheckpointError;
use super::expected::expected_tensors;
use super::tensors::{self, Listed};
use super::{Checkpoint, Config, Origin, SourceFormat, fairseq};
use ndarray::{ArrayD, IxDyn};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::Path;

/// The configuration's file name.
pub const CONFIG: &str = "config.json";
/// The parameters' file name.
pub const MODEL: &str = "model.safetensors";

/// Nobody writes a configuration this long; something else was given that name.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// Reads what stands at `path`.
pub(super) fn open(path: &Path) -> Result<(Checkpoint, Origin), CheckpointError> {
    let metadata = fs::metadata(path).map_err(io("read", path))?;
    if metadata.is_dir() {
        require(path, CONFIG)?;
        require(path, MODEL)?;
        return open_pair(&path.join(CONFIG), &path.join(MODEL));
    }
    let mut file = File::open(path).map_err(io("read", path))?;
    let mut head = Vec::new();
    let start = file.by_ref().take(16).read_to_end(&mut head);
    start.map_err(io("read", path))?;
    match Kind::of(&head) {
        Kind::Zip => fairseq::read(BufReader::new(file), path),
        Kind::Safetensors => {
            let folder = path.parent().unwrap_or(Path::new(""));
            require(folder, CONFIG)?;
            open_pair(&folder.join(CONFIG), path)
        }
        Kind::BarePickle => Err(CheckpointError::Fairseq {
            path: path.to_owned(),
            cause: fairseq::FairseqError::OldFormat,
        }),
        Kind::Other(found) => Err(CheckpointError::NotACheckpoint {
            path: path.to_owned(),
            found,
        }),
    }
}

/// What the first bytes of a file say it is.
enum Kind {
    Zip,
    Safetensors,
    BarePickle,
    Other(&'static str),
}

impl Kind {
    fn of(head: &[u8]) -> Self {
        match head {
            [] => Self::Other("is empty"),
            [b'P', b'K', 3 | 5, 4 | 6, ..] => Self::Zip,
            // PROTO with a version, then LONG1 (torch's magic number) or a container.
            [0x80, 2..=5, ..] => Self::BarePickle,
            // Eight bytes of header length, then the header's brace.
            [_, _, _, _, _, _, _, _, b'{', ..] => Self::Safetensors,
            [b'{', ..] => Self::Other("looks like JSON; the folder it is in may be one"),
            _ => Self::Other("is neither a zip archive nor a safetensors file"),
        }
    }
}

fn require(folder: &Path, file: &'static str) -> Result<(), CheckpointError> {
    if folder.join(file).is_file() {
        Ok(())
    } else {
        Err(CheckpointError::MissingFile {
            folder: folder.to_owned(),
            file,
        })
    }
}

fn open_pair(config: &Path, model: &Path) -> Result<(Checkpoint, Origin), CheckpointError> {
    let bytes = fs::metadata(config).map_err(io("read", config))?.len();
    if bytes > MAX_CONFIG_BYTES {
        return Err(CheckpointError::TooLarge {
            path: config.to_owned(),
            bytes,
            limit: MAX_CONFIG_BYTES,
        });
    }
    let text = fs::read(config).map_err(io("read", config))?;
    let parsed = parse_config(config, &text)?;
    let data = fs::read(model).map_err(io("read", model))?;
    assemble(parsed, model, &data)
}

/// Reads a configuration; `path` is for errors.
pub(super) fn parse_config(path: &Path, text: &[u8]) -> Result<Config, CheckpointError> {
    Config::from_json(text).map_err(|cause| CheckpointError::Config {
        path: path.to_owned(),
        cause,
    })
}

/// Reads the parameters that `config` asks for; `path` is for errors.
pub(super) fn assemble(
    config: Config,
    path: &Path,
    data: &[u8],
) -> Result<(Checkpoint, Origin), CheckpointError> {
    let file = SafeTensors::deserialize(data).map_err(|cause| CheckpointError::Safetensors {
        path: path.to_owned(),
        cause,
    })?;
    let listed: BTreeMap<String, Listed> = file
        .iter()
        .map(|(name, view)| (name.to_owned(), list(&view)))
        .collect();
    tensors::compare(&expected_tensors(&config), &listed).map_err(|problems| {
        CheckpointError::Tensors {
            path: path.to_owned(),
            problems,
        }
    })?;
    let mut stored_types = BTreeMap::new();
    let mut values = BTreeMap::new();
    for (name, view) in file.iter() {
        let Ok(stored) = stored_type(view.dtype()) else {
            continue; // refused by `compare`
        };
        let numbers = stored.decode(view.data());
        let array = ArrayD::from_shape_vec(IxDyn(view.shape()), numbers)
            .expect("safetensors has checked that the bytes fill the shape");
        stored_types.insert(name.to_owned(), stored);
        values.insert(name.to_owned(), array);
    }
    tensors::check_values(path, &config, &values)?;
    let checkpoint = Checkpoint {
        config,
        tensors: values,
    };
    let origin = Origin {
        format: SourceFormat::Native,
        stored_types,
    };
    Ok((checkpoint, origin))
}

fn list(view: &TensorView) -> Listed {
    Listed {
        shape: view.shape().to_vec(),
        stored: stored_type(view.dtype()),
    }
}

fn stored_type(dtype: Dtype) -> Result<StoredType, String> {
    match dtype {
        Dtype::F32 => Ok(StoredType::F32),
        Dtype::F16 => Ok(StoredType::F16),
        Dtype::BF16 => Ok(StoredType::Bf16),
        Dtype::F64 => Ok(StoredType::F64),
        other => Err(format!("{other:?}")),
    }
}

/// Names the action and the file in an operating system error.
pub(super) fn io(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(std::io::Error) -> CheckpointError {
    let path = path.to_owned();
    move |cause| CheckpointError::Io {
        action,
        path,
        cause,
    }
}
