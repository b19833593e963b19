//! The run loop.

use super::evaluate::{Windows, evaluate};
use super::metrics::{Line, Metrics};
use super::model::{StepReport, StepValues, Trainable};
use super::portions::Portions;
use super::progress::Display;
use super::report::{REPORT, page};
use super::schedule;
use super::state::{Progress, TRAINING};
use super::stop::Stop;
use super::store::{Store, replace, write_synced};
use super::{ModelError, TrainError};
use crate::config::RunConfig;
use crate::data::{Sources, mix};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Name of the frozen configuration in the run folder.
const FROZEN: &str = "run.toml";
/// Name of the tokenizer's copy beside it.
const TOKENIZER: &str = "tokenizer.json";
/// Name of the file that a process locks as long as it works on the run.
const LOCK: &str = ".lock";

/// A run folder that this process works on.
#[derive(Debug)]
pub struct Run {
    /// The folder.
    pub folder: PathBuf,
    /// What is trained, on what, how.
    pub config: RunConfig,
    /// Text that the frozen configuration gets once the run goes on.
    unfrozen: Option<String>,
    store: Store,
    /// Held as long as the run is open.
    _lock: File,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Updates done.
    pub step: u64,
    /// Whether those are all; otherwise it was asked to stop.
    pub finished: bool,
    /// Smallest validation loss.
    pub best: Option<f64>,
}

impl Run {
    /// Makes a run folder with the frozen configuration in it.
    ///
    /// # Errors
    /// It holds a run already, or cannot be written.
    pub fn create(folder: &Path, mut config: RunConfig) -> Result<Self, TrainError> {
        fs::create_dir_all(folder).map_err(TrainError::io("create", folder))?;
        let lock = lock(folder)?;
        let frozen = folder.join(FROZEN);
        if frozen.exists() {
            return Err(TrainError::RunExists(folder.to_owned()));
        }
        if let Some(tokenizer) = &mut config.data.tokenizer {
            // The run folder must be all that `eval` and `sample` need, and going on must not depend on
            // a file that may change: another tokenizer's tokens would mean nothing to the network.
            let copy = folder.join(TOKENIZER);
            let text = fs::read(&*tokenizer).map_err(TrainError::io("read", tokenizer))?;
            write_synced(&copy, &text)?;
            *tokenizer = std::path::absolute(&copy).map_err(TrainError::io("find", &copy))?;
        }
        replace(&frozen, config.to_toml().as_bytes())?;
        Ok(Self::opened(folder, config, lock))
    }

    /// Takes [`Run::create`] back, for a run that could not begin. Whatever else is in the folder stays.
    pub fn discard(self) {
        // What cannot be removed is only in the way of the next run, which says so.
        for name in [FROZEN, TOKENIZER, LOCK] {
            let _ = fs::remove_file(self.folder.join(name));
        }
        let _ = fs::remove_dir(&self.folder);
    }

    /// Opens a run folder to go on with it; what an interrupted process left half-written is removed.
    /// Overrides are frozen when [`Run::train`] begins, which takes data and a device that could be
    /// opened: those that do not work are not there the next time.
    ///
    /// # Errors
    /// It is none, another process works on it, or an override would make it another run.
    pub fn resume(folder: &Path, overrides: &[String]) -> Result<Self, TrainError> {
        let frozen = folder.join(FROZEN);
        if !frozen.is_file() {
            return Err(TrainError::NotARun(folder.to_owned()));
        }
        let lock = lock(folder)?;
        let config = RunConfig::resume(&frozen, overrides)?;
        let mut run = Self::opened(folder, config, lock);
        run.unfrozen = (!overrides.is_empty()).then(|| run.config.to_toml());
        run.store.clean()?;
        Ok(run)
    }

    fn opened(folder: &Path, config: RunConfig, lock: File) -> Self {
        Self {
            folder: folder.to_owned(),
            store: Store::new(folder, config.checkpoints.keep_last),
            config,
            unfrozen: None,
            _lock: lock,
        }
    }

    /// The run's checkpoints.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Trains `model` from the last checkpoint on, or from its fresh parameters where there is none,
    /// until all steps are done or `stop` asks to end. A run with the same configuration on the same
    /// device gives the same bits however often it was interrupted.
    ///
    /// # Errors
    /// [`TrainError`]; checkpoints written before stay.
    pub fn train(
        &self,
        model: &mut dyn Trainable,
        sources: &Sources,
        stop: &Stop,
        quiet: bool,
    ) -> Result<Outcome, TrainError> {
        let progress = match self.store.steps()?.last() {
            None => Progress {
                seed: self.config.train.seed,
                ..Progress::default()
            },
            Some(step) => self.restore(*step, model)?,
        };
        let (done, steps) = (progress.step, self.config.train.steps);
        if done > steps {
            return Err(TrainError::Passed { done, steps });
        }
        if let Some(text) = &self.unfrozen {
            replace(&self.folder.join(FROZEN), text.as_bytes())?;
        }
        let step = progress.step;
        let evaluated = progress.evaluated == Some(step);
        let session = Session {
            run: self,
            model,
            sources,
            stop,
            metrics: Metrics::open(&self.folder, step, evaluated)?,
            display: Display::new(step, self.config.train.steps, quiet),
            saved: (step > 0).then_some(step),
            timed: (Instant::now(), step),
            progress,
        };
        session.train()
    }

    /// Takes a model to where the checkpoint of `step` was written.
    fn restore(&self, step: u64, model: &mut dyn Trainable) -> Result<Progress, TrainError> {
        let (parameters, mut progress, optimiser) = self.store.load(step)?;
        let (found, seed) = (progress.seed, self.config.train.seed);
        if found != seed {
            return Err(TrainError::State {
                path: self.store.path(step).join(TRAINING),
                problem: format!("it was trained with train.seed = {found}, not {seed}"),
            });
        }
        let restored = model.restore(step, &parameters, &optimiser);
        restored.map_err(TrainError::Model)?;
        progress.best_step = self.store.mend_best(progress.best_step)?;
        self.store.prune()?;
        if progress.best_step.is_none() {
            // Somebody has removed the best checkpoint: the next one that is evaluated takes its place.
            progress.best = None;
        }
        Ok(progress)
    }
}

/// One process's work on a run.
struct Session<'a> {
    run: &'a Run,
    model: &'a mut dyn Trainable,
    sources: &'a Sources,
    stop: &'a Stop,
    metrics: Metrics,
    display: Display,
    progress: Progress,
    /// Step of the last checkpoint written or read.
    saved: Option<u64>,
    /// When the step of that number was done, evaluations and checkpoints aside.
    timed: (Instant, u64),
}

impl Session<'_> {
    fn train(mut self) -> Result<Outcome, TrainError> {
        let config = &self.run.config;
        let steps = config.train.steps;
        self.display.say(&self.sources.train.describe());
        loop {
            let step = self.progress.step;
            let end = step >= steps;
            let mut best = false;
            if due(step, config.evaluation.every, end) && self.progress.evaluated != Some(step) {
                best = self.evaluate()?;
            }
            let stopping = self.stop.asked();
            let due = due(step, config.checkpoints.every, end) || best || (stopping && step > 0);
            if due && (best || self.saved != Some(step)) {
                self.save()?;
            }
            if end || stopping {
                self.write_report()?;
                return Ok(Outcome {
                    step,
                    finished: end,
                    best: self.progress.best,
                });
            }
            self.step()?;
        }
    }

    fn step(&mut self) -> Result<(), TrainError> {
        let config = &self.run.config;
        let (train, optimiser) = (&config.train, &config.optimiser);
        let step = self.progress.step + 1;
        let portions = Portions::of(config, &*self.sources.train);
        let batches = portions.batches(step, self.model.shard())?;
        let values = StepValues {
            step,
            rate: schedule::rate(config, step) as f32,
            betas: optimiser.betas.map(|b| b as f32),
            epsilon: optimiser.epsilon as f32,
            weight_decay: optimiser.weight_decay as f32,
            clip: optimiser.clip as f32,
            dropout: train.dropout as f32,
            seed: mix(mix(!train.seed) ^ step),
            targets: portions.targets(step)?,
        };
        let done = self.model.step(&batches, &values);
        done.map_err(TrainError::Model)?;
        self.progress.step = step;
        self.display.step(step);
        if step.is_multiple_of(train.log_every) || step == train.steps {
            self.log()?;
        }
        Ok(())
    }

    /// Waits for the steps so far; adds what they measured and the time that they took.
    fn settle(&mut self) -> Result<(), TrainError> {
        let report = self.model.report().map_err(TrainError::Model)?;
        self.progress.seconds += self.timed.0.elapsed().as_secs_f64();
        let mut pending = self.progress.pending();
        pending.sums += report.sums;
        if self.progress.step > self.timed.1 {
            pending.gradient_norm = report.gradient_norm;
        }
        self.progress.set_pending(pending);
        self.timed = (Instant::now(), self.progress.step);
        self.is_number("training loss", pending.sums.loss)?;
        // The update is done already: of a norm that is no number it made parameters that are none.
        self.is_number("norm of the gradients", pending.gradient_norm.into())
    }

    fn is_number(&self, what: &str, value: f64) -> Result<(), TrainError> {
        if value.is_finite() {
            return Ok(());
        }
        Err(TrainError::Diverged {
            step: self.progress.step,
            what: what.to_owned(),
            value,
        })
    }

    /// A checkpoint that cannot be gone on with must not take the place of one that can.
    fn are_numbers<'a>(
        &self,
        name: &str,
        values: impl IntoIterator<Item = &'a f32>,
    ) -> Result<(), TrainError> {
        let mut values = values.into_iter();
        match values.find(|v| !v.is_finite()) {
            Some(value) => self.is_number(name, f64::from(*value)),
            None => Ok(()),
        }
    }

    fn log(&mut self) -> Result<(), TrainError> {
        let before = self.logged();
        self.settle()?;
        let StepReport {
            sums,
            gradient_norm,
        } = self.progress.pending();
        let config = &self.run.config;
        let step = self.progress.step;
        let positions =
            (step - before.0) as f64 * (config.train.batch * config.train.length) as f64;
        let speed = positions / (self.progress.seconds - before.1).max(1e-9);
        let info = self.model.info();
        let peak = info.flops_per_token.zip(info.peak_flops);
        let line = Line::Step {
            step,
            loss: sums.mean_loss(),
            accuracy: sums.accuracy(),
            rate: schedule::rate(config, step),
            gradient_norm,
            tokens_per_second: speed,
            peak_bytes: info.memory.map(|m| m.1),
            utilisation: peak.map(|(flops, peak)| speed * flops / peak),
            seconds: self.progress.seconds,
        };
        self.progress.set_pending(StepReport::default());
        self.display.line(&line, self.epochs());
        self.metrics.add(line)
    }

    fn epochs(&self) -> f64 {
        let portions = Portions::of(&self.run.config, &*self.sources.train);
        portions.epochs(self.progress.step)
    }

    /// Step and seconds of the last step line.
    fn logged(&self) -> (u64, f64) {
        let lines = self.metrics.lines().iter().rev();
        let mut steps = lines.filter_map(|l| match l {
            Line::Step { step, seconds, .. } => Some((*step, *seconds)),
            Line::Evaluation { .. } => None,
        });
        steps.next().unwrap_or((0, 0.0))
    }

    /// Measures the validation loss; whether it is the best so far.
    fn evaluate(&mut self) -> Result<bool, TrainError> {
        self.settle()?;
        let Some(valid) = &self.sources.valid else {
            return Ok(false);
        };
        let config = &self.run.config;
        let windows = Windows {
            length: config.train.length,
            sequences: config.train.batch / config.train.micro_batches / self.model.shard().ranks,
            max_targets: config.evaluation.max_targets,
        };
        let mut look = |_| !self.stop.asked();
        let done = evaluate(self.model, &**valid, windows, &mut look)?;
        self.timed.0 = Instant::now();
        // One that was stopped is done again by whoever goes on.
        let Some(done) = done else {
            return Ok(false);
        };
        self.is_number("validation loss", done.loss)?;
        let step = self.progress.step;
        let line = Line::Evaluation {
            step,
            loss: done.loss,
            perplexity: done.perplexity,
            bits_per_byte: done.bits_per_byte,
            accuracy: done.accuracy,
            tokens: done.tokens,
            seconds: self.progress.seconds,
        };
        self.display.line(&line, self.epochs());
        self.metrics.add(line)?;
        self.progress.evaluated = Some(step);
        let best = self.progress.best.is_none_or(|b| done.loss < b);
        if best {
            self.progress.best = Some(done.loss);
            self.progress.best_step = Some(step);
        }
        self.write_report()?;
        Ok(best)
    }

    fn save(&mut self) -> Result<(), TrainError> {
        self.settle()?;
        let state = |e: ModelError| TrainError::Model(e);
        let parameters = self.model.export().map_err(state)?;
        let optimiser = self.model.optimiser_state().map_err(state)?;
        for (name, tensor) in &parameters.tensors {
            self.are_numbers(&format!("parameter {name}"), tensor)?;
        }
        for (name, tensor) in &optimiser.tensors {
            self.are_numbers(&format!("optimiser's {name}"), tensor)?;
        }
        let store = &self.run.store;
        let front_end = self.sources.train.front_end();
        store.save(&parameters, &self.progress, &optimiser, front_end.as_ref())?;
        self.saved = Some(self.progress.step);
        // Without validation data nothing else writes it before the end.
        self.write_report()?;
        self.timed.0 = Instant::now();
        Ok(())
    }

    fn write_report(&self) -> Result<(), TrainError> {
        let (run, lines) = (self.run, self.metrics.lines());
        let title = run.folder.file_name().unwrap_or_default();
        let title = title.to_string_lossy();
        let device = self.model.info().device;
        let page = page(&title, &device, &run.config.to_toml(), lines);
        replace(&run.folder.join(REPORT), page.as_bytes())
    }
}

/// Whether something that is done every so many steps, and at the end, is due.
fn due(step: u64, every: u64, end: bool) -> bool {
    step > 0 && (end || (every > 0 && step.is_multiple_of(every)))
}

/// Takes a run folder for this process; the system gives it back when the process ends, however.
fn lock(folder: &Path) -> Result<File, TrainError> {
    let path = folder.join(LOCK);
    let file = File::create(&path).map_err(TrainError::io("create", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(TrainError::Busy(folder.to_owned())),
        Err(TryLockError::Error(cause)) => Err(TrainError::io("lock", &path)(cause)),
    }
}
