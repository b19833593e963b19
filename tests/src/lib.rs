//! End-to-end tests live in `tests/`: checkpoints are converted by the `toeplite` command, firmware
//! is built and run in QEMU. `cargo xtask setup` installs what they need.
//!
//! This library makes small networks and recurrences for them, every number different.

use ndarray::{Array2, ArrayD, IxDyn};
use num_complex::Complex64;
use std::path::Path;
use toeplite_tools::blob::{Blob, Storage, WeightType, nearest, write, write_fixed, write_window};
use toeplite_tools::checkpoint::config::{
    Activation, ClassifierConfig, FORMAT, Norm, NormPosition, Pooling, RpeInput, Task,
    ToeplitzConfig, ToeplitzKind, VERSION,
};
use toeplite_tools::checkpoint::{Checkpoint, Config, FrontEnd, expected_tensors};
use toeplite_tools::convert::Modal;

/// Numbers in -1..1, the same for the same seed.
#[derive(Clone, Debug)]
pub struct Noise(u64);

impl Noise {
    /// The numbers of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number: Knuth's MMIX generator.
    pub fn draw(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

/// Writes a blob and the constants that firmware includes to `folder`, as `toeplite convert --meta` does.
///
/// # Errors
/// A file cannot be written.
pub fn write_model(folder: &Path, blob: &Blob, front_end: Option<&FrontEnd>) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    blob.write(&folder.join("model.toep"))?;
    let model = blob.any()?;
    let constant = |name, number| format!("#[allow(dead_code)]\npub const {name} = {number};\n");
    let mut meta = constant("MEMORY_BYTES: usize", model.memory_needed());
    meta += &constant("IDENTITY: u32", model.identity() as usize);
    if let Some(bytes) = model.scratch_bytes() {
        meta += &constant("SCRATCH_BYTES: usize", bytes);
        let module = if model.is_fixed() { "fixed::" } else { "" };
        meta += &format!(
            "#[allow(dead_code)]\npub type Model<'a> = toeplite::{module}classifier::Model<'a>;\n"
        );
    }
    let front_end = front_end.map(|made| made.clone().in_integers(model.is_fixed()));
    meta.extend(front_end.as_ref().map(FrontEnd::rust));
    std::fs::write(folder.join("model_meta.rs"), meta)?;
    Ok(())
}

/// A byte-level language model of two layers.
pub fn bytes_config(dim: usize) -> Config {
    Config {
        vocab_size: 256,
        dim,
        glu_dim: dim + 4,
        ..small_config()
    }
}

/// Recurrences for each layer of `config`, all of one shape.
pub fn layers_of(config: &Config, seed: u64) -> Vec<Modal> {
    let layer = |i| modal(config.channels(), [3, 1, 1], false, seed + i as u64);
    (0..config.layers).map(layer).collect()
}

/// A causal language model of two layers with the usual options: 11 tokens, width 6, two heads of
/// 5 channels.
pub fn small_config() -> Config {
    Config {
        format: FORMAT.into(),
        version: VERSION,
        task: Task::CausalLm,
        vocab_size: 11,
        dim: 6,
        layers: 2,
        num_heads: 2,
        expand_ratio: 1.7,
        glu_dim: 9,
        causal: true,
        norm: Norm::SimpleRmsNorm,
        prenorm: true,
        norm_position: Some(NormPosition::Pre),
        final_norm: Norm::LayerNorm,
        embed_scale: 1.5,
        tie_embeddings: false,
        gtu_act: Activation::Silu,
        glu_act: Activation::Silu,
        glu_final_act: Activation::None,
        gtu_norm: false,
        bias: true,
        classifier: None,
        toeplitz: ToeplitzConfig {
            kind: ToeplitzKind::Tno,
            rpe_dim: 4,
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
        train_len: 16,
    }
}

/// The same network, bidirectional: a masked language model.
pub fn small_masked_config() -> Config {
    Config {
        task: Task::MaskedLm,
        causal: false,
        ..small_config()
    }
}

/// The same network as a classifier of [`CLASSES`] classes, of frames of so many numbers or of tokens.
pub fn small_classifier_config(frame_dim: Option<usize>, pooling: Pooling) -> Config {
    let classifier = ClassifierConfig {
        classes: CLASSES,
        pooling,
        frame_dim,
    };
    Config {
        task: Task::Classifier,
        classifier: Some(classifier),
        ..small_config()
    }
}

/// Classes of [`small_classifier_config`].
pub const CLASSES: usize = 5;

/// A checkpoint of `config` with parameters of ordinary size.
pub fn checkpoint(config: Config, seed: u64) -> Checkpoint {
    let mut noise = Noise::new(seed);
    let tensor = |(name, shape): (String, Vec<usize>)| {
        let decay = name.ends_with("gamma");
        let values = || {
            if decay {
                0.9
            } else {
                0.7 * noise.draw() as f32
            }
        };
        (name, ArrayD::from_shape_simple_fn(IxDyn(&shape), values))
    };
    let tensors = expected_tensors(&config).into_iter().map(tensor).collect();
    Checkpoint { config, tensors }
}

/// A classifier of [`CLASSES`] classes with the layers of `checkpoint`; its map of frames, where it takes any, and its
/// head are new.
pub fn classifier_of(
    mut checkpoint: Checkpoint,
    frame_dim: Option<usize>,
    pooling: Pooling,
) -> Checkpoint {
    let config = &mut checkpoint.config;
    (config.task, config.tie_embeddings) = (Task::Classifier, false);
    config.classifier = Some(ClassifierConfig {
        classes: CLASSES,
        pooling,
        frame_dim,
    });
    let mut noise = Noise::new(1);
    checkpoint.tensors.remove("head.weight");
    let mut tensors = |(name, shape): (String, Vec<usize>)| {
        let drawn = || ArrayD::from_shape_simple_fn(shape, || noise.draw() as f32 / 3.0);
        let tensor = checkpoint.tensors.remove(&name).unwrap_or_else(drawn);
        (name, tensor)
    };
    let expected = expected_tensors(config).into_iter();
    checkpoint.tensors = expected.map(&mut tensors).collect();
    checkpoint
}

/// A stable recurrence of `channels` with so many taps, real and complex modes.
pub fn modal(channels: usize, [taps, real, complex]: [usize; 3], decay: bool, seed: u64) -> Modal {
    let mut noise = Noise::new(seed);
    let mut poles: Vec<Complex64> = (0..real)
        .map(|_| Complex64::new(0.95 * noise.draw(), 0.0))
        .collect();
    poles.extend((0..complex).map(|_| Complex64::from_polar(0.95, 0.1 + noise.draw().abs())));
    let residues = Array2::from_shape_fn((real + complex, channels), |(k, _)| {
        let im = if k < real { 0.0 } else { noise.draw() };
        Complex64::new(noise.draw(), im)
    });
    Modal {
        taps: Array2::from_shape_simple_fn((taps, channels), || noise.draw()),
        poles,
        residues,
        channel_decay: decay.then(|| {
            (0..channels)
                .map(|_| 0.8 + 0.2 * noise.draw().abs())
                .collect()
        }),
    }
}

/// A blob of the [`small_config`] network: one layer with a bit of everything, one of taps alone.
pub fn small_blob(storage: impl Into<Storage>) -> Blob {
    streaming_blob(small_config(), storage)
}

/// A blob of the [`small_classifier_config`] network, its layers as those of [`small_blob`].
pub fn small_classifier_blob(
    frame_dim: Option<usize>,
    pooling: Pooling,
    storage: impl Into<Storage>,
) -> Blob {
    streaming_blob(small_classifier_config(frame_dim, pooling), storage)
}

fn streaming_blob(config: Config, storage: impl Into<Storage>) -> Blob {
    let checkpoint = checkpoint(config, 1);
    write(&checkpoint, &small_layers(), storage).expect("a network that can stream")
}

/// Recurrences of a network of ten channels: one with a bit of everything, one of taps alone.
pub fn small_layers() -> [Modal; 2] {
    [
        modal(10, [3, 1, 2], true, 2),
        modal(10, [2, 0, 0], false, 3),
    ]
}

/// A blob of the [`small_masked_config`] network for windows of [`WINDOW`] tokens.
pub fn small_window_blob(storage: impl Into<Storage>) -> Blob {
    let checkpoint = checkpoint(small_masked_config(), 1);
    let [forward, backward] = small_window_layers();
    window_blob(&checkpoint, [&forward, &backward], WINDOW, storage)
}

/// A blob of the bidirectional [`small_classifier_config`] network for windows of [`WINDOW`] tokens or frames.
pub fn small_window_classifier_blob(
    frame_dim: Option<usize>,
    pooling: Pooling,
    storage: impl Into<Storage>,
) -> Blob {
    let config = Config {
        causal: false,
        ..small_classifier_config(frame_dim, pooling)
    };
    let [forward, backward] = small_window_layers();
    window_blob(
        &checkpoint(config, 1),
        [&forward, &backward],
        WINDOW,
        storage,
    )
}

/// Recurrences of a bidirectional network of ten channels, forward and backward ones.
pub fn small_window_layers() -> [[Modal; 2]; 2] {
    let backward = [
        modal(10, [0, 2, 1], false, 4),
        modal(10, [4, 0, 1], true, 5),
    ];
    [small_layers(), backward]
}

/// Tokens of a window of [`small_window_blob`].
pub const WINDOW: usize = 20;

/// A blob of a bidirectional checkpoint, its weights rounded to nearest.
pub fn window_blob(
    checkpoint: &Checkpoint,
    recurrences: [&[Modal]; 2],
    window: usize,
    storage: impl Into<Storage>,
) -> Blob {
    let storage = storage.into();
    let weights = nearest(checkpoint, |_| storage.weights).expect("a whole checkpoint");
    write_window(checkpoint, recurrences, window, &weights, storage.target)
        .expect("a bidirectional network")
}

/// The same of the contract `fixed`, which has no decays of channels' own.
pub fn small_fixed_blob(weights: WeightType) -> Blob {
    fixed_blob(small_config(), weights)
}

/// [`small_classifier_blob`] of the contract `fixed`.
pub fn small_fixed_classifier_blob(
    frame_dim: Option<usize>,
    pooling: Pooling,
    weights: WeightType,
) -> Blob {
    fixed_blob(small_classifier_config(frame_dim, pooling), weights)
}

fn fixed_blob(config: Config, weights: WeightType) -> Blob {
    let checkpoint = checkpoint(config, 1);
    let channels = checkpoint.config.channels();
    let layers = [
        modal(channels, [3, 1, 2], false, 2),
        modal(channels, [2, 0, 0], false, 3),
    ];
    write_fixed(&checkpoint, &layers, |_| weights).expect("a network that the contract has all of")
}
