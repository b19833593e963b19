//! The command line over the toy network.

use super::bench::{NetworkBench, OperatorBench};
use super::gradcheck::{Checked, GradientCheck};
use super::{App, Backend, Placement};
use crate::bench::{NetworkResult, OperatorResult, Spread};
use crate::config::RunConfig;
use crate::group::{Meeting, Member};
use crate::train::toy::{Toy, config_in};
use crate::train::{ModelError, OptimiserState, Trainable};
use clap::{CommandFactory, Parser};
use std::collections::BTreeMap;
use std::fs;
use std::process::ExitCode;
use toeplite_checkpoint::Checkpoint;

struct Toys;

impl Backend for Toys {
    fn meet(&self, _: Placement, _: usize) -> Result<Meeting, ModelError> {
        Err("toys train alone".into())
    }

    fn create(
        &self,
        config: &RunConfig,
        _: Option<Member>,
    ) -> Result<Box<dyn Trainable>, ModelError> {
        Ok(Box::new(Toy::new(&config.model, config.train.seed)))
    }

    fn load(
        &self,
        checkpoint: &Checkpoint,
        _: Placement,
    ) -> Result<Box<dyn Trainable>, ModelError> {
        let mut toy = Toy::new(&checkpoint.config, 0);
        let moments = ["first", "second"].map(|n| (n.to_owned(), vec![]));
        let tensors = BTreeMap::from(moments);
        toy.restore(0, checkpoint, &OptimiserState { tensors })?;
        Ok(Box::new(toy))
    }

    fn bench_network(
        &self,
        bench: &NetworkBench,
        _: Option<Member>,
    ) -> Result<NetworkResult, ModelError> {
        assert_eq!((bench.length, bench.sequences), (512, 64));
        Ok(NetworkResult {
            device: "toy".to_owned(),
            tokens_per_second: 1.0,
            step_ms: Spread::of(vec![1.0]).unwrap(),
            length: bench.length,
            tokens: bench.sequences * bench.length,
            processes: 1,
            parameters: 1,
            peak_bytes: 1,
            startup_ms: 1.0,
            model_tflops: 1.0,
            stages: BTreeMap::new(),
        })
    }

    fn bench_operator(&self, bench: &OperatorBench) -> Result<OperatorResult, ModelError> {
        assert_eq!((bench.channels, bench.sequences), (1536, 4));
        Err("no operator here".into())
    }

    fn check_gradients(
        &self,
        _: &GradientCheck,
        report: &mut dyn FnMut(Checked),
    ) -> Result<(), ModelError> {
        let checked = |error| Checked {
            name: "toy".to_owned(),
            error,
            tolerance: 1e-3,
        };
        report(checked(1e-4));
        report(checked(f64::NAN));
        Ok(())
    }
}

fn run(arguments: &[&str]) -> anyhow::Result<ExitCode> {
    let arguments = ["toeplite-train"].iter().chain(arguments);
    App::try_parse_from(arguments)?.run(&Toys)
}

#[test]
fn arguments_are_consistent() {
    App::command().debug_assert();
}

#[test]
fn a_run_is_trained_evaluated_and_sampled_from() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("toy.toml");
    fs::write(&file, config_in(dir.path()).to_toml()).unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (config, valid, best) = (path("toy.toml"), path("valid.txt"), path("toy/best"));
    run(&[
        "train",
        "--config",
        &config,
        "--set",
        "train.steps=10",
        "--json",
    ])
    .unwrap();
    run(&[
        "eval", &best, "--data", &valid, "--length", "8,1000", "--json",
    ])
    .unwrap();
    run(&["eval", &best, "--data", &valid]).unwrap();
    run(&["sample", &best, "--prompt", "to be", "--tokens", "5"]).unwrap();
    let error = run(&["sample", &best, "--prompt", "", "--tokens", "5"]).unwrap_err();
    assert!(error.to_string().contains("--prompt"));
    let error = run(&["eval", &best, "--data", &path("none.txt")]).unwrap_err();
    assert!(error.to_string().contains("none.txt"));
}

#[test]
fn bench_and_gradcheck_hand_on_their_arguments() {
    run(&[
        "bench",
        "--preset",
        "wikitext103",
        "--length",
        "512",
        "--tokens",
        "32768",
        "--json",
    ])
    .unwrap();
    let operator = [
        "bench",
        "--operator",
        "tno",
        "--channels",
        "1536",
        "--length",
        "8192",
    ];
    let error = run(&operator).unwrap_err();
    assert!(error.to_string().contains("no operator here"));
    let code = run(&["bench", "--preset", "wikitext103", "--length", "500"]).unwrap();
    assert_eq!(code, ExitCode::from(2));
    assert_eq!(
        run(&["gradcheck", "--device", "cpu"]).unwrap(),
        ExitCode::FAILURE
    );
}

#[test]
fn wrong_arguments_are_refused() {
    for arguments in [
        &["train"][..],
        &["bench"],
        &["train", "--config", "a", "--resume", "b"],
        &["eval", "x", "--data", "y", "--length", "0"],
        &["eval", "x", "--data", "y", "--device", "tpu"],
        &["sample", "x", "--prompt", "y", "--temperature", "-1"],
    ] {
        let error = run(arguments).unwrap_err();
        assert!(
            error
                .downcast_ref::<clap::Error>()
                .is_some_and(|e| e.exit_code() == 2),
            "{error}"
        );
    }
}

/// The guide's example is a configuration.
#[test]
fn example_of_the_guide_is_read() {
    let guide = include_str!("../../README.md");
    let (_, rest) = guide.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    RunConfig::parse(std::path::Path::new("run.toml"), example, &[]).unwrap();
}
