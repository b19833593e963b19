//! Whole runs of a toy network: they learn, and go on bit for bit whatever interrupts them.

mod ended;

use super::metrics::{Line, METRICS};
use super::report::REPORT;
use super::toy::{Toy, config_in};
use super::{BEST, Outcome, Run, TRAINING, TrainError};
use crate::data::Sources;
use crate::train::stop::Stop;
use std::fs;
use std::path::{Path, PathBuf};
use toeplite_checkpoint::Checkpoint;

fn toy(run: &Run) -> Toy {
    Toy::new(&run.config.model, run.config.train.seed)
}

fn go(run: &Run, model: &mut Toy, stop: &Stop) -> Result<Outcome, TrainError> {
    let sources = Sources::open(&run.config).unwrap();
    run.train(model, &sources, stop, true)
}

fn create(folder: &Path) -> Run {
    Run::create(&folder.join("run"), config_in(folder)).unwrap()
}

/// Everything in a checkpoint but the time that it took.
fn contents(run: &Path, step: u64) -> (Vec<u8>, Vec<u8>, Checkpoint) {
    let folder = run.join(format!("checkpoint-{step}"));
    let training = fs::read(folder.join(TRAINING)).unwrap();
    let header = u64::from_le_bytes(training[..8].try_into().unwrap()) as usize;
    let model = fs::read(folder.join("model.safetensors")).unwrap();
    (
        model,
        training[8 + header..].to_vec(),
        Checkpoint::open(&folder).unwrap(),
    )
}

/// Lines of the metrics without times.
fn metrics(run: &Path) -> Vec<String> {
    let text = fs::read_to_string(run.join(METRICS)).unwrap();
    let line = |l: &str| {
        let mut line: serde_json::Value = serde_json::from_str(l).unwrap();
        let map = line.as_object_mut().unwrap();
        map.remove("seconds");
        map.remove("tokens_per_second");
        line.to_string()
    };
    text.lines().map(line).collect()
}

fn uninterrupted() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let run = create(dir.path());
    let outcome = go(&run, &mut toy(&run), &Stop::default()).unwrap();
    assert!(outcome.finished && outcome.step == 40, "{outcome:?}");
    (dir, run.folder.clone())
}

#[test]
fn loss_falls_and_the_run_folder_holds_everything() {
    let (_dir, run) = uninterrupted();
    let text = fs::read_to_string(run.join(METRICS)).unwrap();
    let lines: Vec<Line> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let losses: Vec<f64> = lines
        .iter()
        .filter_map(|l| match l {
            Line::Evaluation {
                loss,
                bits_per_byte,
                tokens,
                ..
            } => {
                assert!((bits_per_byte.unwrap() - loss / std::f64::consts::LN_2).abs() < 1e-12);
                assert_eq!(*tokens, 199);
                Some(*loss)
            }
            Line::Step { .. } => None,
        })
        .collect();
    assert_eq!(losses.len(), 5);
    assert!(losses[4] < 0.7 * losses[0], "{losses:?}");
    // Every third step and the last one.
    assert_eq!(lines.len() - losses.len(), 14);
    // The last two of 5, 10, ..., 40; the best is the last.
    let steps = super::Store::new(&run, 9).steps().unwrap();
    assert_eq!(steps, [35, 40]);
    assert_eq!(
        Checkpoint::open(&run.join(BEST)).unwrap(),
        contents(&run, 40).2
    );
    assert!(
        fs::read_to_string(run.join(REPORT))
            .unwrap()
            .contains("<svg")
    );
    let frozen = crate::config::RunConfig::load(&run.join("run.toml"), &[]).unwrap();
    assert_eq!(frozen, config_in(run.parent().unwrap()));
}

#[test]
fn run_goes_on_with_the_same_bits_from_any_step() {
    let (_whole, expected) = uninterrupted();
    for interrupt in [1, 5, 7, 8, 12, 39, 40] {
        let dir = tempfile::tempdir().unwrap();
        let run = create(dir.path());
        let stop = Stop::default();
        let mut model = toy(&run);
        let ask = stop.clone();
        model.before_step = Box::new(move |step| {
            if step == interrupt {
                ask.ask();
            }
        });
        let outcome = go(&run, &mut model, &stop).unwrap();
        assert_eq!(
            (outcome.step, outcome.finished),
            (interrupt, interrupt == 40)
        );
        let folder = run.folder.clone();
        drop(run);
        let run = Run::resume(&folder, &[]).unwrap();
        let mut fresh = Toy::new(&run.config.model, 999); // all of it comes from the checkpoint
        assert!(go(&run, &mut fresh, &Stop::default()).unwrap().finished);
        assert_eq!(
            contents(&folder, 40),
            contents(&expected, 40),
            "at {interrupt}"
        );
        assert_eq!(metrics(&folder), metrics(&expected), "at {interrupt}");
    }
}

#[test]
fn interrupted_evaluation_is_done_by_whoever_goes_on() {
    let (_whole, expected) = uninterrupted();
    let dir = tempfile::tempdir().unwrap();
    let run = create(dir.path());
    let stop = Stop::default();
    let mut model = toy(&run);
    let ask = stop.clone();
    model.before_evaluation = Box::new(move || {
        ask.ask();
    });
    assert_eq!(go(&run, &mut model, &stop).unwrap().step, 8);
    let folder = run.folder.clone();
    drop(run);
    let run = Run::resume(&folder, &[]).unwrap();
    assert!(go(&run, &mut toy(&run), &Stop::default()).unwrap().finished);
    assert_eq!(contents(&folder, 40), contents(&expected, 40));
    assert_eq!(metrics(&folder), metrics(&expected));
}

#[test]
fn longer_run_goes_on_where_the_shorter_ended() {
    let (_dir, folder) = uninterrupted();
    let run = Run::resume(&folder, &["train.steps=44".to_owned()]).unwrap();
    let outcome = go(&run, &mut toy(&run), &Stop::default()).unwrap();
    assert_eq!(outcome.step, 44);
    assert_eq!(run.store().steps().unwrap(), [40, 44]);
}

#[test]
fn lost_link_to_the_best_is_mended_before_the_best_is_pruned() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config_in(dir.path());
    // What is learnt from one text makes the other less likely: the first evaluation is the best.
    fs::write(dir.path().join("valid.txt"), "ZQX".repeat(60)).unwrap();
    config.checkpoints.keep_last = 1;
    config.evaluation.every = 3;
    config.train.steps = 7;
    let run = Run::create(&dir.path().join("run"), config).unwrap();
    go(&run, &mut toy(&run), &Stop::default()).unwrap();
    let folder = run.folder.clone();
    assert_eq!(run.store().best(), Some(3));
    drop(run);
    let link = folder.join(BEST);
    for (lose, steps) in [(true, 8), (false, 9)] {
        fs::remove_file(&link).unwrap();
        if !lose {
            // As if the process had ended before the link was moved on from an older one.
            std::os::unix::fs::symlink("checkpoint-8", &link).unwrap();
        }
        let run = Run::resume(&folder, &[format!("train.steps={steps}")]).unwrap();
        go(&run, &mut toy(&run), &Stop::default()).unwrap();
        assert_eq!(run.store().steps().unwrap(), [3, steps]);
        assert_eq!(run.store().best(), Some(3));
    }
}

#[test]
fn state_of_another_seed_is_refused() {
    let (_dir, folder) = uninterrupted();
    let mut run = Run::resume(&folder, &["train.steps=41".to_owned()]).unwrap();
    run.config.train.seed = 5;
    let error = go(&run, &mut toy(&run), &Stop::default()).unwrap_err();
    assert!(
        error.to_string().contains("train.seed = 0, not 5"),
        "{error}"
    );
}

#[test]
fn report_without_validation_is_written_with_each_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config_in(dir.path());
    config.data.valid = None;
    let run = Run::create(&dir.path().join("run"), config).unwrap();
    let mut model = toy(&run);
    let report = run.folder.join(REPORT);
    model.before_step = Box::new(move |step| {
        assert_eq!(report.exists(), step > 5, "before step {step}");
    });
    go(&run, &mut model, &Stop::default()).unwrap();
}

#[test]
fn folder_belongs_to_one_run_and_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let run = create(dir.path());
    let folder = run.folder.clone();
    assert!(matches!(
        Run::resume(&folder, &[]),
        Err(TrainError::Busy(_))
    ));
    drop(run);
    let again = Run::create(&folder, config_in(dir.path()));
    assert!(matches!(again, Err(TrainError::RunExists(_))));
    assert!(matches!(
        Run::resume(dir.path(), &[]),
        Err(TrainError::NotARun(_))
    ));
    let file = dir.path().join("train.txt");
    let error = Run::create(&file, config_in(dir.path())).unwrap_err();
    assert!(error.to_string().contains("train.txt"), "{error}");
}

#[test]
fn divergence_stops_the_run_and_keeps_its_checkpoints() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config_in(dir.path());
    config.optimiser.rate = 1e38;
    config.optimiser.epsilon = 1e-30;
    let run = Run::create(&dir.path().join("run"), config).unwrap();
    let error = go(&run, &mut toy(&run), &Stop::default()).unwrap_err();
    assert!(matches!(error, TrainError::Diverged { .. }), "{error}");
    assert!(error.to_string().contains("optimiser.rate"));
}

#[test]
fn last_update_that_diverged_is_no_success_and_is_not_saved() {
    // With a validation its loss tells; without one the parameters do.
    for (valid, rate, what) in [(true, 1e30, "validation loss"), (false, 1e39, "parameter")] {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config_in(dir.path());
        config.train.steps = 5;
        config.checkpoints.keep_last = 1;
        let run = Run::create(&dir.path().join("run"), config).unwrap();
        go(&run, &mut toy(&run), &Stop::default()).unwrap();
        let folder = run.folder.clone();
        let good = contents(&folder, 5);
        drop(run);
        let mut run = Run::resume(&folder, &["train.steps=6".to_owned()]).unwrap();
        run.config.optimiser.rate = rate;
        run.config.schedule.kind = crate::config::ScheduleKind::Constant;
        run.config.data.valid = run.config.data.valid.filter(|_| valid);
        let error = go(&run, &mut toy(&run), &Stop::default()).unwrap_err();
        assert!(matches!(error, TrainError::Diverged { step: 6, .. }));
        assert!(error.to_string().contains(what), "{error}");
        assert_eq!(run.store().steps().unwrap(), [5]);
        assert_eq!(run.store().best(), Some(5));
        assert_eq!(contents(&folder, 5), good);
    }
}

#[test]
fn damaged_checkpoint_is_named_with_what_to_do() {
    let (_dir, folder) = uninterrupted();
    let path = folder.join("checkpoint-40").join(TRAINING);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let run = Run::resume(&folder, &[]).unwrap();
    let error = go(&run, &mut toy(&run), &Stop::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("checkpoint-40") && error.contains("remove its folder"),
        "{error}"
    );
}
