//! Processes that end at any place, as by `kill -9`, lose at most the steps since their checkpoint.

use super::*;
use crate::train::faults::ends_at;

/// Few steps, in which checkpoints are evaluated, saved, replaced by better ones and removed; where
/// not `learns`, the first one that is evaluated stays the best.
fn begun(folder: &Path, learns: bool) -> PathBuf {
    let mut config = config_in(folder);
    if !learns {
        fs::write(folder.join("valid.txt"), "ZQX".repeat(60)).unwrap();
    }
    config.train.steps = 7;
    config.checkpoints.every = 2;
    config.checkpoints.keep_last = 1;
    config.evaluation.every = 3;
    Run::create(&folder.join("run"), config).unwrap().folder
}

/// What one process does.
fn process(folder: &Path) {
    let run = Run::resume(folder, &[]).unwrap();
    go(&run, &mut toy(&run), &Stop::default()).unwrap();
}

/// The last checkpoint; all are whole.
fn last_whole(folder: &Path) -> u64 {
    let store = crate::train::Store::new(folder, 1);
    let steps = store.steps().unwrap();
    for step in &steps {
        store.load(*step).unwrap();
    }
    steps.last().copied().unwrap_or(0)
}

/// What a finished run has, but for times.
type Finished = (Vec<u64>, Option<u64>, Vec<String>, Vec<String>);

fn finished(folder: &Path) -> Finished {
    let store = crate::train::Store::new(folder, 1);
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let steps = store.steps().unwrap();
    (steps, store.best(), names, metrics(folder))
}

fn ended_at_each_place(learns: bool, best: u64) {
    let dir = tempfile::tempdir().unwrap();
    let whole = begun(dir.path(), learns);
    process(&whole);
    let expected = finished(&whole);
    assert_eq!(expected.1, Some(best));
    let mut reached = 0;
    for place in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let folder = begun(dir.path(), learns);
        if !ends_at(place, || process(&folder)) {
            // The process has come to its end: there was no such place.
            assert!(place > 60 && reached == 7, "{place} places");
            break;
        }
        let last = last_whole(&folder);
        assert!(last >= reached, "{last} after {reached} at {place}");
        reached = last;
        // The next process too ends, soon or late.
        ends_at(place * 7 % 41, || process(&folder));
        assert!(last_whole(&folder) >= reached);
        process(&folder);
        assert_eq!(finished(&folder), expected, "at {place}");
        for step in &expected.0 {
            assert_eq!(
                contents(&folder, *step),
                contents(&whole, *step),
                "at {place}"
            );
        }
    }
}

#[test]
fn anywhere_in_a_run_that_improves() {
    // The last step has the rate 0: it is no better than the one before.
    ended_at_each_place(true, 6);
}

#[test]
fn anywhere_in_a_run_whose_best_is_an_old_one() {
    ended_at_each_place(false, 3);
}
