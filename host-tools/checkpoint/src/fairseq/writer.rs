//! Writes `.pt` files as torch and fairseq do, and as they do not: for tests.

use super::pickle::opcode as op;
use crate::{Checkpoint, StoredType};
use half::{bf16, f16};
use std::io::{Cursor, Write};
use zip::write::{SimpleFileOptions, ZipWriter};

/// A Python value.
#[derive(Clone, Debug)]
pub enum Py {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(&'static str),
    Tuple(Vec<Py>),
    Dict(Vec<(String, Py)>),
    OrderedDict(Vec<(String, Py)>),
    Namespace(Vec<(String, Py)>),
    /// An object of `module`, `class` without arguments.
    Foreign(&'static str, &'static str),
    Tensor(PyTensor),
    Parameter(PyTensor),
}

/// A tensor's description.
#[derive(Clone, Debug)]
pub struct PyTensor {
    pub class: &'static str,
    pub key: String,
    pub count: usize,
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

/// Keys and values out of a list of pairs.
pub fn entries<const N: usize>(pairs: [(&str, Py); N]) -> Vec<(String, Py)> {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

impl Py {
    /// A pickle of protocol 2 without memo.
    pub fn pickle(&self) -> Vec<u8> {
        let mut out = vec![op::PROTO, 2];
        self.write(&mut out);
        out.push(op::STOP);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::None => out.push(op::NONE),
            Self::Bool(on) => out.push(if *on { op::NEWTRUE } else { op::NEWFALSE }),
            Self::Int(number) => {
                out.extend([op::LONG1, 8]);
                out.extend(number.to_le_bytes());
            }
            Self::Float(number) => {
                out.push(op::BINFLOAT);
                out.extend(number.to_be_bytes());
            }
            Self::Str(text) => text_to(out, text),
            Self::Tuple(items) => {
                out.push(op::MARK);
                items.iter().for_each(|item| item.write(out));
                out.push(op::TUPLE);
            }
            Self::Dict(entries) => {
                out.push(op::EMPTY_DICT);
                entries_to(out, entries);
            }
            Self::OrderedDict(entries) => {
                global_to(out, "collections", "OrderedDict");
                out.extend([op::EMPTY_TUPLE, op::REDUCE]);
                entries_to(out, entries);
            }
            Self::Namespace(entries) => {
                global_to(out, "argparse", "Namespace");
                out.extend([op::EMPTY_TUPLE, op::NEWOBJ, op::EMPTY_DICT]);
                entries_to(out, entries);
                out.push(op::BUILD);
            }
            Self::Foreign(module, class) => {
                global_to(out, module, class);
                out.extend([op::EMPTY_TUPLE, op::REDUCE]);
            }
            Self::Tensor(tensor) => tensor.write(out),
            Self::Parameter(tensor) => {
                global_to(out, "torch._utils", "_rebuild_parameter");
                out.push(op::MARK);
                tensor.write(out);
                out.push(op::NEWTRUE);
                Self::OrderedDict(Vec::new()).write(out);
                out.extend([op::TUPLE, op::REDUCE]);
            }
        }
    }
}

impl PyTensor {
    fn write(&self, out: &mut Vec<u8>) {
        let int = |&n: &usize| Py::Int(n as i64);
        global_to(out, "torch._utils", "_rebuild_tensor_v2");
        out.extend([op::MARK, op::MARK]);
        text_to(out, "storage");
        global_to(out, "torch", self.class);
        text_to(out, &self.key);
        text_to(out, "cpu");
        int(&self.count).write(out);
        out.extend([op::TUPLE, op::BINPERSID]);
        int(&self.offset).write(out);
        Py::Tuple(self.shape.iter().map(int).collect()).write(out);
        Py::Tuple(self.strides.iter().map(int).collect()).write(out);
        out.push(op::NEWFALSE);
        Py::OrderedDict(Vec::new()).write(out);
        out.extend([op::TUPLE, op::REDUCE]);
    }
}

fn text_to(out: &mut Vec<u8>, text: &str) {
    out.push(op::BINUNICODE);
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}

fn global_to(out: &mut Vec<u8>, module: &str, name: &str) {
    out.push(op::GLOBAL);
    out.extend(format!("{module}\n{name}\n").as_bytes());
}

fn entries_to(out: &mut Vec<u8>, entries: &[(String, Py)]) {
    out.push(op::MARK);
    for (key, value) in entries {
        text_to(out, key);
        value.write(out);
    }
    out.push(op::SETITEMS);
}

/// A `.pt` file in parts that tests change before it is written.
#[derive(Clone, Debug)]
pub struct PtFile {
    /// Options of the model.
    pub options: Vec<(String, Py)>,
    /// Its state dict.
    pub model: Vec<(String, Py)>,
    /// Entries besides the pickle, by their names below the prefix.
    pub entries: Vec<(String, Vec<u8>)>,
}

impl PtFile {
    /// The tensors of a native checkpoint under their fairseq names, each in a storage of its own.
    pub fn new(checkpoint: &Checkpoint, stored: StoredType, options: Vec<(String, Py)>) -> Self {
        let mut file = Self {
            options,
            model: Vec::new(),
            entries: Vec::new(),
        };
        for (name, tensor) in &checkpoint.tensors {
            let numbers: Vec<f32> = tensor.iter().copied().collect();
            file.push(&fairseq_name(name), stored, tensor.shape(), &numbers);
        }
        file
    }

    /// Adds a contiguous tensor.
    pub fn push(&mut self, name: &str, stored: StoredType, shape: &[usize], numbers: &[f32]) {
        let key = self.entries.len().to_string();
        self.entries
            .push((format!("data/{key}"), encode(stored, numbers)));
        let mut strides = vec![1; shape.len()];
        for axis in (1..shape.len()).rev() {
            strides[axis - 1] = strides[axis] * shape[axis];
        }
        let tensor = PyTensor {
            class: class(stored),
            key,
            count: numbers.len(),
            offset: 0,
            shape: shape.to_vec(),
            strides,
        };
        self.model.push((name.to_owned(), Py::Tensor(tensor)));
    }

    pub fn set(&mut self, option: &str, value: Py) {
        self.options.retain(|(name, _)| name != option);
        self.options.push((option.to_owned(), value));
    }

    pub fn tensor(&mut self, name: &str) -> &mut PyTensor {
        let found = self.model.iter_mut().find(|(n, _)| n == name);
        match found {
            Some((_, Py::Tensor(tensor) | Py::Parameter(tensor))) => tensor,
            other => panic!("{name}: {other:?}"),
        }
    }

    /// The top-level dict as fairseq writes it.
    pub fn contents(&self) -> Py {
        let cfg = entries([
            ("_name", Py::None),
            ("model", Py::Namespace(self.options.clone())),
            (
                "task",
                Py::Dict(entries([("tokens_per_sample", Py::Int(77))])),
            ),
        ]);
        Py::Dict(entries([
            ("args", Py::None),
            ("cfg", Py::Dict(cfg)),
            ("model", Py::OrderedDict(self.model.clone())),
            (
                "extra_state",
                Py::Foreign("fairseq.meters", "StopwatchMeter"),
            ),
        ]))
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        self.bytes_with(&self.contents())
    }

    /// The file with other pickled contents.
    pub fn bytes_with(&self, contents: &Py) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let stored =
            SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        let pickle = ("data.pkl".to_owned(), contents.pickle());
        for (name, bytes) in std::iter::once(&pickle).chain(&self.entries) {
            zip.start_file(format!("checkpoint_best/{name}"), stored)
                .unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }
}

fn class(stored: StoredType) -> &'static str {
    match stored {
        StoredType::F32 => "FloatStorage",
        StoredType::F16 => "HalfStorage",
        StoredType::Bf16 => "BFloat16Storage",
        StoredType::F64 => "DoubleStorage",
    }
}

/// Numbers as they are stored.
pub fn encode(stored: StoredType, numbers: &[f32]) -> Vec<u8> {
    let numbers = numbers.iter();
    match stored {
        StoredType::F32 => numbers.flat_map(|v| v.to_le_bytes()).collect(),
        StoredType::F16 => numbers
            .flat_map(|&v| f16::from_f32(v).to_le_bytes())
            .collect(),
        StoredType::Bf16 => numbers
            .flat_map(|&v| bf16::from_f32(v).to_le_bytes())
            .collect(),
        StoredType::F64 => numbers.flat_map(|&v| f64::from(v).to_le_bytes()).collect(),
    }
}

/// fairseq's name of a native tensor.
pub fn fairseq_name(native: &str) -> String {
    let renamed = native
        .replace("token_mixer.", "self_attn.gtu.")
        .replace("feature_mixer.", "glu.")
        .replace("token_norm.", "self_attn_layer_norm.")
        .replace("feature_norm.", "final_layer_norm.")
        .replace("final_norm.", "layer_norm.")
        .replace("embed.", "embed_tokens.")
        .replace("head.", "output_projection.");
    format!("decoder.{renamed}")
}

/// The options that fairseq would write for `small_fairseq_config`.
pub fn small_options(layers: usize) -> Vec<(String, Py)> {
    entries([
        ("arch", Py::Str("tnn_v2_decay_99_post")),
        ("decoder_embed_dim", Py::Int(6)),
        ("decoder_layers", Py::Int(layers as i64)),
        ("decoder_attention_heads", Py::Int(5)),
        ("decoder_normalize_before", Py::Bool(false)),
        ("no_token_positional_embeddings", Py::Bool(true)),
        ("causal", Py::Bool(false)),
        ("expand_ratio", Py::Float(2.7)),
        ("glu_dim", Py::Int(8)),
        ("norm_type", Py::Str("layernorm")),
        ("act_fun", Py::Str("gelu")),
        ("glu_act", Py::Str("1+elu")),
        ("fina_act", Py::Str("leak")),
        ("use_norm", Py::Bool(true)),
        ("rpe_embedding", Py::Int(4)),
        ("rpe_layers", Py::Int(1)),
        ("rpe_act", Py::Str("silu")),
        ("par_type", Py::Int(2)),
        ("use_multi_decay", Py::Bool(true)),
        ("gamma", Py::Float(0.9)),
        ("act_type", Py::Str("elu")),
        ("residual", Py::Bool(true)),
        ("normalize", Py::Bool(true)),
        ("tokens_per_sample", Py::Int(33)),
        ("max_target_positions", Py::Int(1024)),
    ])
}
