//! Whole `.pt` files: fairseq's own, variants with every option, damaged and hostile ones.

use super::super::config::{
    Activation, FORMAT, Norm, RpeInput, Task, ToeplitzConfig, ToeplitzKind, VERSION,
};
use super::super::testing::{small_checkpoint, small_config, small_fairseq_config};
use super::super::{TensorProblem, TensorProblems};
use super::writer::{PtFile, Py, entries, small_options};
use super::*;
use proptest::prelude::*;
use std::io::Cursor;
use std::sync::LazyLock;

const FIXTURE: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/fixtures/fairseq-small/checkpoint.pt"
));

fn open(bytes: &[u8]) -> Result<(Checkpoint, Origin), CheckpointError> {
    read(Cursor::new(bytes), Path::new("test.pt"))
}

fn refusal(bytes: &[u8]) -> FairseqError {
    match open(bytes).map(|(checkpoint, _)| checkpoint.config) {
        Err(CheckpointError::Fairseq { cause, .. }) => cause,
        other => panic!("{other:?}"),
    }
}

fn problems(bytes: &[u8]) -> Vec<TensorProblem> {
    match open(bytes) {
        Err(CheckpointError::Tensors {
            problems: TensorProblems(problems),
            ..
        }) => problems,
        other => panic!("{other:?}"),
    }
}

#[test]
fn file_of_fairseq_itself_loads() {
    let (checkpoint, origin) = open(FIXTURE).unwrap();
    let config = Config {
        format: FORMAT.to_owned(),
        version: VERSION,
        task: Task::CausalLm,
        vocab_size: 992,
        dim: 32,
        layers: 1,
        num_heads: 1,
        expand_ratio: 2.0,
        glu_dim: 48,
        causal: true,
        norm: Norm::SimpleRmsNorm,
        prenorm: true,
        norm_position: None,
        final_norm: Norm::LayerNorm,
        embed_scale: 32f64.sqrt(),
        tie_embeddings: true,
        gtu_act: Activation::Silu,
        glu_act: Activation::Silu,
        glu_final_act: Activation::None,
        gtu_norm: false,
        bias: true,
        classifier: None,
        toeplitz: ToeplitzConfig {
            kind: ToeplitzKind::Tno,
            rpe_dim: 16,
            rpe_layers: 1,
            rpe_act: Activation::Relu,
            rpe_norm: Norm::SimpleRmsNorm,
            rpe_input: RpeInput::Lag,
            bins: None,
            rank: None,
            taps: None,
            warp: None,
            image: None,
            decay: true,
            learned_decay: false,
            decay_floor: 0.0,
            act: Activation::None,
            residual: false,
            normalize: false,
        },
        train_len: 64,
    };
    assert_eq!(checkpoint.config, config);
    assert_eq!(checkpoint.parameters(), 44_304);
    let gamma = &checkpoint.tensors["layers.0.token_mixer.toep.gamma"];
    assert!(gamma.iter().all(|&g| g == 0.98));
    // First and last numbers, read from the file by a few lines of Python.
    for (name, first, last) in [
        ("embed.weight", 0.310_221_76, -0.132_152_57),
        (
            "layers.0.token_mixer.o.weight",
            0.039_098_516,
            -0.103_106_02,
        ),
        (
            "layers.0.token_mixer.toep.rpe.layers.0.2.bias",
            -0.002_110_309_2,
            0.087_138_36,
        ),
        (
            "layers.0.feature_mixer.l3.weight",
            0.063_751_87,
            0.065_391_96,
        ),
        ("final_norm.bias", -0.140_123_58, -0.108_918_846),
    ] {
        let tensor = &checkpoint.tensors[name];
        assert_eq!(
            (tensor.first(), tensor.last()),
            (Some(&first), Some(&last)),
            "{name}"
        );
    }
    let arch = "tnn_v2_decay_99_pre".to_owned();
    assert_eq!(origin.format, SourceFormat::Fairseq { arch });
    assert!(
        origin
            .stored_types
            .values()
            .all(|&stored| stored == StoredType::F32)
    );
    assert!(origin.stored_types.keys().eq(checkpoint.tensors.keys()));
}

/// A network with hardly an option at its default, and its file.
fn unusual() -> (Checkpoint, PtFile) {
    let config = small_fairseq_config();
    let checkpoint = small_checkpoint(config);
    let options = small_options(checkpoint.config.layers);
    let file = PtFile::new(&checkpoint, StoredType::F32, options);
    (checkpoint, file)
}

#[test]
fn every_option_is_translated() {
    let (checkpoint, file) = unusual();
    assert_eq!(open(&file.bytes()).unwrap().0, checkpoint);
}

#[test]
fn every_stored_type_loads() {
    let (checkpoint, file) = unusual();
    for (stored, error) in [
        (StoredType::F64, 0.0),
        (StoredType::F16, 2f32.powi(-13)),
        (StoredType::Bf16, 2f32.powi(-10)),
    ] {
        let file = PtFile::new(&checkpoint, stored, file.options.clone());
        let (got, origin) = open(&file.bytes()).unwrap();
        for (name, tensor) in &checkpoint.tensors {
            let off = (tensor - &got.tensors[name])
                .iter()
                .fold(0f32, |most, d| most.max(d.abs()));
            assert!(off <= error, "{name} as {stored}: {off}");
            assert_eq!(origin.stored_types[name], stored);
        }
    }
}

#[test]
fn parameters_slices_and_transposed_tensors_load() {
    let (checkpoint, mut file) = unusual();
    // l1 and l2 of layer 0 in one storage, l2 transposed, as parameters.
    let [l1, l2] = ["l1", "l2"].map(|l| format!("layers.0.feature_mixer.{l}.weight"));
    let first: Vec<f32> = checkpoint.tensors[&l1].iter().copied().collect();
    let second: Vec<f32> = checkpoint.tensors[&l2].t().iter().copied().collect();
    file.entries.push((
        "data/both".to_owned(),
        writer::encode(StoredType::F32, &[first, second].concat()),
    ));
    for (name, offset, strides) in [(&l1, 0, [6, 1]), (&l2, 48, [1, 8])] {
        let name = writer::fairseq_name(name);
        let tensor = file.tensor(&name);
        (tensor.key, tensor.count, tensor.offset) = ("both".to_owned(), 96, offset);
        tensor.strides = strides.to_vec();
        let tensor = tensor.clone();
        file.model.retain(|(n, _)| *n != name);
        file.model.push((name, Py::Parameter(tensor)));
    }
    file.entries
        .push(("byteorder".to_owned(), b"little".to_vec()));
    assert_eq!(open(&file.bytes()).unwrap().0, checkpoint);
}

#[test]
fn absent_options_take_the_defaults_of_the_layers() {
    let mut config = small_config();
    config.task = Task::CausalLm;
    (config.prenorm, config.norm_position) = (true, None);
    (config.causal, config.gtu_norm) = (true, false);
    (config.expand_ratio, config.num_heads, config.glu_dim) = (3.0, 1, 6);
    config.norm = Norm::LayerNorm;
    config.final_norm = Norm::LayerNorm;
    config.embed_scale = 6f64.sqrt();
    (config.gtu_act, config.glu_act) = (Activation::Silu, Activation::Silu);
    config.glu_final_act = Activation::None;
    config.toeplitz = ToeplitzConfig {
        kind: ToeplitzKind::Tno,
        rpe_dim: 64,
        rpe_layers: 6,
        rpe_act: Activation::Relu,
        rpe_norm: Norm::SimpleRmsNorm,
        rpe_input: RpeInput::Lag,
        bins: None,
        rank: None,
        taps: None,
        warp: None,
        image: None,
        decay: false,
        learned_decay: false,
        decay_floor: 0.0,
        act: Activation::None,
        residual: false,
        normalize: false,
    };
    config.train_len = 77;
    let checkpoint = small_checkpoint(config);
    let options = entries([
        ("_name", Py::Str("tnn_v2_no_decay")),
        ("decoder_embed_dim", Py::Int(6)),
        ("decoder_layers", Py::Int(2)),
        ("decoder_attention_heads", Py::Int(1)),
        ("decoder_normalize_before", Py::Bool(true)),
        ("no_token_positional_embeddings", Py::Bool(true)),
        ("tokens_per_sample", Py::Str("${task.tokens_per_sample}")),
    ]);
    let mut file = PtFile::new(&checkpoint, StoredType::F32, options);
    assert_eq!(open(&file.bytes()).unwrap().0, checkpoint);
    // Older files: the options in `args`; no task section.
    file.set("tokens_per_sample", Py::None);
    file.set("max_target_positions", Py::Int(77));
    let older = Py::Dict(entries([
        ("args", Py::Namespace(file.options.clone())),
        ("model", Py::Dict(file.model.clone())),
    ]));
    assert_eq!(open(&file.bytes_with(&older)).unwrap().0, checkpoint);
}

#[test]
fn tied_embeddings_are_stored_once_and_must_agree() {
    let (mut checkpoint, mut file) = unusual();
    checkpoint.config.tie_embeddings = true;
    let head = checkpoint.tensors.remove("head.weight").unwrap();
    // The switch says tied, the file holds two different matrices.
    file.set("share_decoder_input_output_embed", Py::Bool(true));
    assert_ne!(head, checkpoint.tensors["embed.weight"]);
    assert!(matches!(refusal(&file.bytes()), FairseqError::HeadDiffers));
    // The same matrix twice, then once, then shared without the switch.
    let embed: Vec<f32> = checkpoint.tensors["embed.weight"].iter().copied().collect();
    let output = "decoder.output_projection.weight";
    file.model.retain(|(name, _)| name != output);
    assert_eq!(open(&file.bytes()).unwrap().0, checkpoint);
    file.push(output, StoredType::F32, &[7, 6], &embed);
    assert_eq!(open(&file.bytes()).unwrap().0, checkpoint);
    *file.tensor(output) = file.tensor("decoder.embed_tokens.weight").clone();
    file.set("share_decoder_input_output_embed", Py::Bool(false));
    assert_eq!(open(&file.bytes()).unwrap().0, checkpoint);
}

#[test]
fn options_that_cannot_be_represented_are_named_with_their_value() {
    for (option, value, shown) in [
        ("gtu_type", Py::Int(3), "3"),
        ("glu_type", Py::Int(2), "2"),
        ("adaptive_input", Py::Bool(true), "True"),
        (
            "adaptive_softmax_cutoff",
            Py::Str("20000,60000"),
            "\"20000,60000\"",
        ),
        ("no_token_positional_embeddings", Py::Bool(false), "False"),
        ("resi_param", Py::Bool(true), "True"),
        ("layernorm_embedding", Py::Bool(true), "True"),
        ("decoder_input_dim", Py::Int(128), "128"),
        ("decoder_layers_to_keep", Py::Str("0"), "\"0\""),
        ("bias", Py::Bool(false), "False"),
        ("act_fun", Py::Str("exp"), "\"exp\""),
        ("act_type", Py::Str("sine"), "\"sine\""),
        ("norm_type", Py::Str("batchnorm"), "\"batchnorm\""),
        ("par_type", Py::Int(4), "4"),
        ("quant_noise_pq", Py::Float(0.1), "0.1"),
        ("base_layers", Py::Int(1), "1"),
    ] {
        let mut file = unusual().1;
        file.set(option, value);
        let text = refusal(&file.bytes()).to_string();
        assert!(
            text.starts_with(&format!("option {option} = {shown} is not supported: ")),
            "{text}"
        );
    }
    let mut file = unusual().1;
    file.set("decoder_layers", Py::Str("many"));
    let text = refusal(&file.bytes()).to_string();
    assert_eq!(
        text,
        "option decoder_layers is \"many\", expected a whole number, not negative"
    );
    for required in ["decoder_embed_dim", "decoder_normalize_before", "arch"] {
        let mut file = unusual().1;
        file.options.retain(|(name, _)| name != required);
        let error = refusal(&file.bytes());
        assert!(
            matches!(&error, FairseqError::MissingOption { option } if option == required),
            "{error}"
        );
    }
}

#[test]
fn other_architectures_are_refused_though_their_tensors_fit() {
    for arch in ["tnn_decay_99", "transformer_lm"] {
        let mut file = unusual().1;
        file.set("arch", Py::Str(arch));
        let text = refusal(&file.bytes()).to_string();
        assert!(text.contains(arch) && text.contains("tnn_v2_*"), "{text}");
    }
}

#[test]
fn values_out_of_range_are_refused_before_tensors_are_listed() {
    let mut file = unusual().1;
    file.set("decoder_layers", Py::Int(1 << 40));
    file.set("rpe_layers", Py::Int(1 << 40));
    let error = open(&file.bytes()).unwrap_err();
    assert!(matches!(error, CheckpointError::Config { .. }));
    let text = error.to_string();
    assert!(
        text.contains("`layers` is 1099511627776") && text.contains("`toeplitz.rpe_layers`"),
        "{text}"
    );
}

#[test]
fn tensors_that_do_not_fit_are_all_named() {
    let (_, mut file) = unusual();
    file.model
        .retain(|(name, _)| name != "decoder.layers.1.glu.l2.bias");
    let misshapen = file.tensor("decoder.layers.0.self_attn.gtu.o.weight");
    (misshapen.shape, misshapen.strides) = (vec![15, 6], vec![6, 1]);
    file.tensor("decoder.layers.0.self_attn.gtu.o.bias").class = "LongStorage";
    file.push(
        "decoder.layers.0.encoder_attn.weight",
        StoredType::F32,
        &[2],
        &[0.0; 2],
    );
    file.push("decoder.version", StoredType::F32, &[1], &[3.0]);
    let name = |name: &str| name.to_owned();
    let want = [
        TensorProblem::Shape {
            name: name("layers.0.token_mixer.o.weight"),
            expected: vec![6, 15],
            found: vec![15, 6],
        },
        TensorProblem::Type {
            name: name("layers.0.token_mixer.o.bias"),
            found: name("torch.LongStorage"),
        },
        TensorProblem::Missing {
            name: name("layers.1.feature_mixer.l2.bias"),
            expected: vec![8],
        },
        TensorProblem::Extra {
            name: name("decoder.layers.0.encoder_attn.weight"),
            found: vec![2],
        },
    ];
    assert_eq!(problems(&file.bytes()), want);
}

#[test]
fn structures_of_other_programs_are_named() {
    let (_, file) = unusual();
    let state_dict = Py::OrderedDict(file.model.clone());
    let text = refusal(&file.bytes_with(&state_dict)).to_string();
    assert!(text.contains("`cfg` is missing"), "{text}");
    let whole_model = Py::Foreign("fairseq.models", "TnnV2");
    let text = refusal(&file.bytes_with(&whole_model)).to_string();
    assert!(text.contains("an object of fairseq.models.TnnV2"), "{text}");
    let cfg = Py::Dict(entries([(
        "model",
        Py::Foreign("omegaconf.dictconfig", "DictConfig"),
    )]));
    let opaque = Py::Dict(entries([("cfg", cfg), ("model", state_dict)]));
    let text = refusal(&file.bytes_with(&opaque)).to_string();
    assert!(
        text.contains("`cfg.model` is an object of omegaconf.dictconfig.DictConfig"),
        "{text}"
    );
    let mut file = file;
    file.model
        .retain(|(name, _)| name != "decoder.layers.0.glu.l1.weight");
    file.model.push((
        "decoder.layers.0.glu.l1.weight".to_owned(),
        Py::Foreign("apex", "Thing"),
    ));
    let text = refusal(&file.bytes()).to_string();
    assert_eq!(
        text,
        "tensor decoder.layers.0.glu.l1.weight: is an object of apex.Thing, expected a tensor"
    );
}

#[test]
fn tensors_that_repeat_data_cannot_fill_the_memory() {
    let (mut checkpoint, file) = unusual();
    checkpoint.config.glu_dim = 4000;
    let checkpoint = small_checkpoint(checkpoint.config);
    let mut file = PtFile::new(&checkpoint, StoredType::F32, file.options);
    file.set("glu_dim", Py::Int(4000));
    assert_eq!(open(&file.bytes()).unwrap().0, checkpoint);
    // The same network, all maps of its GLUs in one storage.
    let key = file.tensor("decoder.layers.0.glu.l1.weight").key.clone();
    for (name, value) in &mut file.model {
        let Py::Tensor(tensor) = value else { panic!() };
        if name.contains(".glu.") && name.ends_with("weight") && tensor.key != key {
            file.entries
                .retain(|(entry, _)| *entry != format!("data/{}", tensor.key));
            tensor.key.clone_from(&key);
        }
    }
    let bytes = file.bytes();
    match refusal(&bytes) {
        FairseqError::SharedData {
            bytes: needed,
            file,
        } => {
            assert_eq!(needed, 4 * checkpoint.parameters() as u64);
            assert_eq!(file, bytes.len() as u64);
        }
        other => panic!("{other}"),
    }
}

#[test]
fn damaged_archives_are_named() {
    let (_, mut file) = unusual();
    let good = file.bytes();
    assert!(matches!(
        refusal(&good[..good.len() - 30]),
        FairseqError::Zip(_)
    ));
    assert!(matches!(
        refusal(b"PK\x03\x04 and no more"),
        FairseqError::Zip(_)
    ));
    // One flipped bit in a tensor's data.
    let data = good
        .windows(4)
        .position(|w| w == &file.entries[0].1[..4])
        .unwrap();
    let mut flipped = good.clone();
    flipped[data] ^= 1;
    assert!(matches!(refusal(&flipped), FairseqError::Entry { .. }));
    // Compressed: method 8 instead of 0 in the pickle's local and central header.
    let mut packed = good.clone();
    packed[8] = 8;
    let central = good.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    packed[central + 10] = 8;
    let error = refusal(&packed);
    assert!(
        matches!(&error, FairseqError::Packed { entry, .. } if entry == "checkpoint_best/data.pkl"),
        "{error}"
    );

    let last = file.entries.pop().unwrap();
    let error = refusal(&file.bytes());
    assert!(
        matches!(&error, FairseqError::MissingEntry { entry } if entry.ends_with(&last.0)),
        "{error}"
    );
    file.entries.push((last.0, vec![0; 3]));
    assert!(matches!(
        refusal(&file.bytes()),
        FairseqError::EntrySize { bytes: 3, .. }
    ));
    file.entries.push(("byteorder".to_owned(), b"big".to_vec()));
    assert!(matches!(refusal(&file.bytes()), FairseqError::ByteOrder(order) if order == "big"));
}

/// Pickle of the fixture, and its archive with that pickle replaced.
static FIXTURE_PICKLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    Archive::open(Cursor::new(FIXTURE))
        .unwrap()
        .pickle()
        .unwrap()
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn mutated_files_give_errors_or_checkpoints(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        in_pickle in any::<bool>(),
        cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
    ) {
        // Where the pickle is, or anywhere. (A wrong CRC of the pickle itself is tested by the latter.)
        let mut bytes = FIXTURE.to_vec();
        let start = bytes.windows(64).position(|w| w == &FIXTURE_PICKLE[..64]).unwrap();
        let range = if in_pickle { start..start + FIXTURE_PICKLE.len() } else { 0..bytes.len() };
        for (at, byte) in edits {
            bytes[range.start + at.index(range.len())] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok((checkpoint, _)) = open(&bytes) {
            prop_assert!(checkpoint.check(Path::new("mutated")).is_ok());
        }
    }

    /// Past the checksum: the network that a mutated pickle describes.
    #[test]
    fn mutated_descriptions_give_errors_or_networks(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let mut bytes = FIXTURE_PICKLE.clone();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(pickle) = pickle::parse(&bytes)
            && let Ok(network) = Network::describe(&pickle)
            && network.compare(Path::new("mutated")).is_ok()
        {
            let mut archive = Archive::open(Cursor::new(FIXTURE)).unwrap();
            if let Ok(tensors) = network.load(&mut archive) {
                prop_assert!(tensors.keys().eq(network.parameters.keys()));
            }
        }
    }
}
