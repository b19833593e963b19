//! Classifiers on the host: the reference against the trainer, and the `toeplite` command on clips.
#![allow(missing_docs)]

mod answers;
mod heard;
mod made;
mod reference;
mod told;
mod worth;

use toeplite_tests::{Noise, small_config};
use toeplite_tools::checkpoint::config::{
    Activation, ClassifierConfig, Config, Pooling, RpeInput, Task, ToeplitzKind,
};

const CLASSES: usize = 5;
const FRAME: usize = 3;
const LENGTH: usize = 14;

/// Tokens of clips before their padding.
const OWN: [usize; 3] = [LENGTH, 4, 9];

fn classifier(pooling: Pooling, frame_dim: Option<usize>) -> Config {
    Config {
        task: Task::Classifier,
        classifier: Some(ClassifierConfig {
            classes: CLASSES,
            pooling,
            frame_dim,
        }),
        ..small_config()
    }
}

/// Every kind of operator, one- and two-sided; kernels that are the same at every length, and others.
fn operators(config: Config) -> Vec<(&'static str, Config)> {
    let with = |causal, kind, rpe_input| {
        let mut config = config.clone();
        config.causal = causal;
        let toeplitz = &mut config.toeplitz;
        (toeplitz.kind, toeplitz.rpe_input) = (kind, rpe_input);
        toeplitz.decay = kind != ToeplitzKind::Fd;
        // smooth, so that rounding cannot take a lag to the other side of a kink
        toeplitz.rpe_act = Activation::Silu;
        config
    };
    let (tno, fd) = (ToeplitzKind::Tno, ToeplitzKind::Fd);
    let mut binned = with(false, fd, RpeInput::Cosine);
    binned.toeplitz.bins = Some(8);
    let mut ski = with(false, ToeplitzKind::Ski, RpeInput::Warp);
    let options = &mut ski.toeplitz;
    (options.rank, options.taps, options.warp) = (Some(4), Some(3), Some(0.8));
    vec![
        ("causal", with(true, tno, RpeInput::Lag)),
        ("bidirectional", with(false, tno, RpeInput::Lag)),
        ("scaled", with(false, tno, RpeInput::Scaled)),
        ("causal response", with(true, fd, RpeInput::Omega)),
        ("response", with(false, fd, RpeInput::Omega)),
        ("binned response", binned),
        ("interpolation", ski),
    ]
}

/// Clips of different lengths, as tokens.
fn tokens(seed: u64) -> Vec<Vec<u32>> {
    let mut noise = Noise::new(seed);
    let mut token = || (noise.draw().abs() * 11.0) as u32;
    OWN.iter()
        .map(|own| (0..*own).map(|_| token()).collect())
        .collect()
}
