//! `toeplite convert`: a checkpoint becomes a model that runs on a device.

use super::allocate::{self, Allocator};
use super::clips::{Asked, ClipArgs, ConvertOptionError, GoesBy, check_convert};
use super::files::{self, Output};
use super::input;
use super::kernel::{self, Emit};
use super::layers::Converted;
use super::made::{self, Made};
use super::output;
use super::report::{Conversion, Wanted, Written};
use super::weights::{self, Rounded, Source, Stored};
use crate::allocate::Limits;
use crate::allocate::instructions::Core;
use crate::allocate::plan::{LOSS, Request};
use crate::blob::{self, Blob, ContractName, Staged, Target, WeightType};
use crate::checkpoint::config::Config;
use crate::checkpoint::{AnyFrontEnd, Checkpoint};
use crate::convert::layer::{LayerConversion, Method, convert_layers};
use crate::convert::network::{TrainedKernels, backward_kernels, operators, trained_kernels};
use crate::convert::search::{MAX_ORDER, MAX_TAPS, Search, TOLERANCE};
use crate::quantize::MatrixName;
use crate::reference::Network;
use crate::report;
use anyhow::{Result, bail, ensure};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use toeplite::format::WeightOrder;
use toeplite_clips::ClipSet;

/// Convert a checkpoint into a model (.toep) that streams on a microcontroller.
///
/// Every layer's Toeplitz operator becomes a recurrence of fixed size; weights are quantized. A bidirectional
/// network ("causal": false) becomes a model that runs over a window, by a recurrence from either end. A classifier
/// becomes a model that gives a class for a whole sequence of tokens or frames.
#[derive(Args)]
#[command(after_help = "\
Examples:
  toeplite convert checkpoint -o model.toep
  toeplite convert checkpoint.pt -o model.toep --weights f32 --tolerance 1e-4
  toeplite convert checkpoint -o model.toep --target m4 --meta model_meta.rs
  toeplite convert checkpoint -o model.toep --weights int4 --calibrate train.txt
  toeplite convert checkpoint -o model.toep --contract fixed
  toeplite convert checkpoint -o model.toep --target m4 --budget-flash 400000 --budget-ram 60000
  toeplite convert checkpoint -o model.toep --order 8 --fir 4
  toeplite convert classifier -o model.toep --clips train.safetensors
  toeplite convert checkpoint -o model.toep --report out.html --report-text val.txt
  toeplite convert --kernel k.npy --json
  toeplite convert --kernel k.safetensors --emit-kernel realised.npy --lags 16384

Methods:
  reduced  a few taps and poles that all channels share: the smallest, right at every length
  etsc     the closed form of ETSC: exact up to the training length, wrong past it
  fir      the first taps, over past inputs: exact, then nothing")]
pub struct Cmd {
    /// A checkpoint folder (config.json and model.safetensors) or a fairseq checkpoint (.pt).
    #[arg(required_unless_present = "kernel")]
    checkpoint: Option<PathBuf>,
    /// The model to write.
    #[arg(short, long, value_name = "FILE", required_unless_present = "kernel")]
    output: Option<PathBuf>,
    /// Convert a bare kernel instead, of any long convolution: `[lags, channels]` or `[lags]`, as
    /// .npy or .safetensors. Says what the recurrence is and how good; writes no model.
    #[arg(
        long, value_name = "FILE",
        conflicts_with_all = ["checkpoint", "output", "meta", "contract", "weights", "target", "calibrate", "clips", "report_text"]
    )]
    kernel: Option<PathBuf>,
    /// Also write the kernels that the recurrences realise, in f64: `[lags, channels]` of a bare
    /// kernel, `[layers, lags, channels]` of a checkpoint, `[layers, 2 * lags - 1, channels]` of a
    /// bidirectional one, from lag 1 - N to lag N - 1.
    #[arg(long, value_name = "FILE.npy")]
    emit_kernel: Option<PathBuf>,
    /// Lags of --emit-kernel, any number; by default those that the error was measured on.
    #[arg(long, value_name = "N", requires = "emit_kernel", value_parser = input::positive)]
    lags: Option<usize>,
    /// How Toeplitz operators become recurrences.
    #[arg(long, value_enum, default_value_t = MethodName::Reduced)]
    method: MethodName,
    /// States a channel of every layer (reduced), at most 256; by default as many as the tolerance
    /// needs.
    #[arg(long, value_name = "R", value_parser = input::count, allow_negative_numbers = true)]
    order: Option<usize>,
    /// Taps of every layer; by default as many as the tolerance needs (reduced) or the training
    /// length (fir).
    #[arg(long, value_name = "M", value_parser = input::count, allow_negative_numbers = true)]
    fir: Option<usize>,
    #[arg(
        long, value_name = "T", value_parser = tolerance, conflicts_with = "order",
        allow_negative_numbers = true, help = tolerance_help()
    )]
    tolerance: Option<f64>,
    /// Numeric contract: f32, or integers only for cores without an FPU. "fixed" needs no calibration.
    #[arg(long, value_enum, default_value_t = ContractName::F32)]
    contract: ContractName,
    /// Weights in the model [default: int8; int8 and int4, matrix by matrix, with --budget-flash or
    /// --budget-instructions]. With int8 and int4, activations are quantized too.
    #[arg(long, value_enum)]
    weights: Option<WeightType>,
    #[arg(
        long, value_name = "PERCENT", value_parser = percent, allow_negative_numbers = true,
        conflicts_with_all = ["tolerance", "order", "fir", "kernel"], help = loss_help()
    )]
    loss: Option<f64>,
    /// Bytes of flash that the model may take; the runtime's code is not part of it.
    #[arg(long, value_name = "BYTES", value_parser = input::positive, allow_negative_numbers = true, conflicts_with_all = FIXED)]
    budget_flash: Option<usize>,
    /// Bytes of session memory that the model may take.
    #[arg(long, value_name = "BYTES", value_parser = input::positive, allow_negative_numbers = true, conflicts_with_all = FIXED)]
    budget_ram: Option<usize>,
    /// Instructions that a token may take until its logits are there, as estimated for the core that --target
    /// names; by default a Cortex-M4F with a model packed for it, with --contract fixed a Cortex-M0.
    #[arg(long, value_name = "N", value_parser = input::positive, allow_negative_numbers = true, conflicts_with_all = FIXED)]
    budget_instructions: Option<usize>,
    /// Length of the sequences whose kernels the model gets, of checkpoints that scale positions by it: a
    /// recurrence cannot know how long its sequence will be [default: the training length].
    #[arg(long, value_name = "N", value_parser = input::positive, conflicts_with = "kernel")]
    length: Option<usize>,
    /// What layers are judged by and int4 weights are calibrated on: a text for byte-level models, or a
    /// .safetensors file with the tensor "tokens". Text like that which the network was trained on, never
    /// that which it is judged by; 16,384 tokens of it are read, of large models fewer. By default the
    /// model itself writes the text.
    #[arg(long, value_name = "FILE")]
    calibrate: Option<PathBuf>,
    #[command(flatten)]
    clips: ClipArgs,
    /// The core whose kernels the weights are packed for. The logits are the same on all; a model
    /// for `portable` runs everywhere, one for another core only there (and here).
    #[arg(long, value_enum, default_value_t = Target::Portable)]
    target: Target,
    /// Most tokens of a window, of a bidirectional checkpoint; memory grows with it [default: the training
    /// length].
    #[arg(long, value_name = "N", value_parser = input::positive, conflicts_with = "kernel")]
    window: Option<usize>,
    /// Also write Rust constants for firmware: the model's sizes and identity and, where front_end.json stands beside the
    /// checkpoint, the front end that its frames are made by.
    #[arg(long, value_name = "FILE")]
    meta: Option<PathBuf>,
    /// Also write a page that shows the conversion: kernels and their fits, poles, errors, sizes. One
    /// file that any browser opens; nothing is fetched.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// A text that the report measures bits a byte on, by length: of the network, of the closed form and
    /// of the model. For byte-level models, or a .safetensors file with the tensor "tokens".
    #[arg(long, value_name = "FILE", requires = "report")]
    report_text: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Options that leave nothing to allocate.
const FIXED: [&str; 4] = ["tolerance", "order", "fir", "kernel"];

/// Parameters from which on layers are judged by themselves unless something else is asked for.
const LARGE: usize = 10_000_000;

/// Whether a layer's kernel is one-sided and the same at every length.
fn has_one_kernel(config: &Config) -> bool {
    config.causal && !config.toeplitz.rpe_input.is_scaled()
}

/// Of `--loss`; with the number that is used.
fn loss_help() -> String {
    format!(
        "What the recurrences may change (reduced): the Kullback-Leibler divergence of the next token's \
         distribution, in percent of its entropy. Every layer gets the taps and states that are worth most \
         [default: {:.3}; of networks with more than {} million parameters, --tolerance]",
        100.0 * LOSS,
        LARGE / 1_000_000
    )
}

/// A percentage that says something, as a part.
fn percent(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(percent) if 0.0 < percent && percent < 100.0 => Ok(percent / 100.0),
        _ => Err("a number between 0 and 100 is expected".into()),
    }
}

/// Of `--tolerance`; with the numbers that the search uses.
fn tolerance_help() -> String {
    format!(
        "Judges every layer by itself: largest relative l2 error of its kernels, root mean square over \
         channels (reduced). The search for it ends at {MAX_TAPS} taps and {MAX_ORDER} states: --order and \
         --fir reach further [with --fir or --kernel, and of large or bidirectional networks, by default {TOLERANCE}]"
    )
}

/// A relative error that says something.
fn tolerance(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(tolerance) if 0.0 < tolerance && tolerance < 1.0 => Ok(tolerance),
        _ => Err("a number between 0 and 1 is expected".into()),
    }
}

/// Names of the methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum MethodName {
    Reduced,
    Etsc,
    Fir,
}

impl Cmd {
    /// Runs the subcommand.
    pub fn run(self) -> Result<ExitCode> {
        if let Some(path) = &self.kernel {
            // a table's own lags are the method's
            let method = self.method(usize::MAX)?;
            kernel::convert(path, &method, self.emit(), self.report(), self.json)?;
            return Ok(ExitCode::SUCCESS);
        }
        let (Some(checkpoint), Some(output)) = (&self.checkpoint, &self.output) else {
            bail!("a checkpoint and -o FILE are needed, or --kernel FILE");
        };
        self.convert(checkpoint, output)
    }

    fn convert(&self, path: &Path, output: &Path) -> Result<ExitCode> {
        let start = Instant::now();
        ensure!(
            self.contract == ContractName::F32 || self.weights != Some(WeightType::F32),
            "--contract fixed has weights of types int8 and int4 only"
        );
        ensure!(
            self.contract == ContractName::F32 || self.target.order() == WeightOrder::Portable,
            "--contract fixed has one order of weights, for all cores: leave --target out, or take --contract f32 for this core"
        );
        self.check_outputs(path, output)?;
        let spinner = output::spinner("converting");
        let checkpoint = input::checkpoint(path)?;
        self.check_clips(&checkpoint.config)?;
        blob::can_convert(&checkpoint.config)?;
        if self.contract == ContractName::Fixed {
            blob::can_be_fixed(&checkpoint.config)?;
        }
        let front_end = made::front_end(path, &checkpoint.config)?;
        let length = self.length(&checkpoint.config)?;
        let method = self.method(length)?;
        ensure!(
            self.calibrate.is_none() && !self.clips.given()
                || self.allocates(&checkpoint)
                || self.weights == Some(WeightType::Int4) && self.contract == ContractName::F32,
            "{} has nothing to do here: layers are judged by themselves, and weights are rounded to nearest",
            if self.clips.given() {
                "--clips"
            } else {
                "--calibrate"
            }
        );
        let text = self.calibrate.as_deref();
        let clips = self.clip_set(&checkpoint.config, front_end.as_ref())?;
        let source = self.source(clips.as_ref());
        let short_text = weights::check_text(&checkpoint.config, self.weights, text)?;
        let operators = operators(&checkpoint)?;
        let kernels = trained_kernels(&operators, length);
        let made = if self.allocates(&checkpoint) {
            self.allocate(&checkpoint, &kernels, source)?
        } else {
            let layers = Converted {
                forward: self.stored(&kernels, convert_layers(&kernels, &method)?)?,
                backward: convert_layers(&backward_kernels(&operators, length), &method)?,
            };
            let weight_type = self.weights.unwrap_or(WeightType::Int8);
            let (blob, rounded) = self.write(&checkpoint, &layers, |_| weight_type, source)?;
            Made {
                layers,
                blob,
                rounded,
                allocation: None,
            }
        };
        spinner.finish_and_clear();
        let mut warnings = made::warnings(&checkpoint, &made, length);
        warnings.extend(short_text);
        let page = self.report().map(|wanted| {
            let conversion = Conversion {
                subject: path,
                method: &method,
                allocation: made.allocation.as_ref(),
                layers: report::layers(&kernels, &made.layers.forward, checkpoint.config.train_len),
                warnings: warnings.clone(),
            };
            let written = Written {
                checkpoint: &checkpoint,
                blob: &made.blob,
                rounded: &made.rounded,
                limits: self.limits(),
            };
            wanted.about_model(conversion, &written)
        });
        let page = page.transpose()?;
        // both are on disk before either takes its name: constants and model belong together
        let staged = Staged::new(output, made.blob.bytes())?;
        let meta = self.meta.as_deref().map(|path| {
            let constants = made::meta(&made.blob, front_end)?;
            Ok::<_, anyhow::Error>(Staged::new(path, constants.as_bytes())?)
        });
        let meta = meta.transpose()?;
        if let Some(emit) = self.emit() {
            kernel::write_layers(&made.layers, emit)?;
        }
        meta.map_or(Ok(()), Staged::commit)?;
        page.map_or(Ok(()), Staged::commit)?;
        staged.commit()?;
        for warning in &warnings {
            eprintln!("warning: {warning}");
        }
        if self.json {
            made.print_json(&warnings, start.elapsed())?;
        } else {
            made.print_table(output, start.elapsed())?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Whether nothing is asked for of each layer.
    fn leaves_open(&self) -> bool {
        let given = self.tolerance.is_some() || self.order.is_some() || self.fir.is_some();
        self.method == MethodName::Reduced && !given
    }

    /// Whether layers get what they are worth. Of a large network only if it is asked for: it would read or write
    /// a text for as long as all the rest takes.
    fn allocates(&self, checkpoint: &Checkpoint) -> bool {
        let given = self.calibrate.is_some() || self.clips.given();
        let asked = self.loss.is_some() || given || !self.limits().is_empty();
        let small = checkpoint.parameters() <= LARGE;
        let config = &checkpoint.config;
        // a classifier has no answers without clips
        let judged = has_one_kernel(config) && (config.classifier.is_none() || asked);
        self.leaves_open() && judged && (asked || small)
    }

    /// Refuses clips for language models, and for classifiers what goes by something else than their answers.
    fn check_clips(&self, config: &Config) -> Result<(), ConvertOptionError> {
        use GoesBy::{Other, Predictions};
        // integers round to nearest: there is nothing to ask answers for
        let int4 = self.weights == Some(WeightType::Int4) && self.contract == ContractName::F32;
        let known = Other(
            "the instructions of a language model's token",
            "--budget-flash and --budget-ram are known of classifiers",
        );
        let bits = Other(
            "bits a byte",
            "`toeplite compare --clips` tells what its model loses",
        );
        let options = [
            ("--loss", self.loss.is_some(), Predictions),
            ("--budget-flash", self.budget_flash.is_some(), Predictions),
            ("--budget-ram", self.budget_ram.is_some(), Predictions),
            (
                "--budget-instructions",
                self.budget_instructions.is_some(),
                known,
            ),
            ("--weights int4", int4, Predictions),
            (
                "--calibrate",
                self.calibrate.is_some(),
                Other("a text", "--clips PATH takes clips"),
            ),
            ("--report-text", self.report_text.is_some(), bits),
        ];
        check_convert(config.classifier.is_some(), self.clips.given(), &options)
    }

    /// The clips, of a classifier that is given some.
    fn clip_set(
        &self,
        config: &Config,
        front_end: Option<&AnyFrontEnd>,
    ) -> Result<Option<ClipSet>> {
        let asked = Asked::of_config(config).filter(|_| self.clips.given());
        let open = |asked| self.clips.open((asked, front_end), config.train_len);
        asked.map(open).transpose()
    }

    /// What predictions are compared and weights calibrated on.
    fn source<'a>(&'a self, clips: Option<&'a ClipSet>) -> Source<'a> {
        let limit = self.clips.limit();
        match (clips, &self.calibrate) {
            (Some(set), _) => Source::Clips { set, limit },
            (None, Some(text)) => Source::Text(text),
            (None, None) => Source::Own,
        }
    }

    /// The length of the sequences whose kernels the model gets: the training length, the window that a
    /// bidirectional network is converted for, or the one that was asked for.
    fn length(&self, config: &Config) -> Result<usize> {
        ensure!(
            self.window.is_none() || !config.causal,
            "--window belongs to bidirectional checkpoints: this one is causal, and its model streams any number of tokens"
        );
        ensure!(
            self.length.is_none() || config.causal && config.toeplitz.rpe_input.is_scaled(),
            "--length belongs to causal checkpoints that scale positions by the sequence's length; the kernels of this one \
             are the same at every length, or those of --window"
        );
        ensure!(
            has_one_kernel(config) || self.limits().is_empty() && self.loss.is_none(),
            "budgets and --loss belong to causal checkpoints whose kernels are the same at every length: this one's are not; \
             --tolerance, --order and --fir say what its layers get"
        );
        ensure!(
            config.causal || self.report.is_none(),
            "--report shows causal models: this checkpoint is bidirectional; `toeplite compare` and --json tell of its model"
        );
        Ok(self.window.or(self.length).unwrap_or(config.train_len))
    }

    fn limits(&self) -> Limits {
        Limits {
            flash: self.budget_flash,
            ram: self.budget_ram,
            instructions: self.budget_instructions,
        }
    }

    /// What a model within the budget is to be.
    fn request(&self) -> Result<Request> {
        let core = Core::of(self.target, self.contract);
        ensure!(
            self.budget_instructions.is_none() || core.is_some(),
            "--budget-instructions is known of --target m4, m7, m33, m55 and m85 with --contract f32, and of m0, m3 and \
             rv32 with --contract fixed"
        );
        let mixes = self.budget_flash.is_some() || self.budget_instructions.is_some();
        let default = (!mixes).then_some(WeightType::Int8);
        Ok(Request {
            limits: self.limits(),
            contract: self.contract,
            weights: self.weights.or(default),
            core,
        })
    }

    fn allocate(
        &self,
        checkpoint: &Checkpoint,
        kernels: &[TrainedKernels<'_>],
        source: Source<'_>,
    ) -> Result<Made> {
        let network = Network::<f32>::from_checkpoint(checkpoint)?;
        let loss = self.loss.unwrap_or(LOSS);
        let allocator = Allocator::new(checkpoint, &network, kernels, self.contract, source, loss)?;
        let mut request = self.request()?;
        loop {
            let plan = allocator
                .plan(&request)
                .map_err(|error| error.for_budget(self.limits()))?;
            let layers = Converted {
                forward: self.stored(kernels, allocator.convert(&plan)?)?,
                backward: Vec::new(),
            };
            let weight_type = |name| plan.weight_type(name);
            let (blob, mut rounded) = self.write(checkpoint, &layers, weight_type, source)?;
            // packing for a core may add a few bytes to what was planned
            if let Some(less) = allocate::less(self.limits(), request.limits, &blob)? {
                request.limits = less;
                continue;
            }
            request.limits = self.limits();
            if self.report.is_some() || !request.limits.is_empty() {
                rounded.measure(allocator.sensitivity());
            }
            let allocation = allocator.report(&plan, &layers.forward, &blob, &request)?;
            return Ok(Made {
                layers,
                blob,
                rounded,
                allocation: Some(allocation),
            });
        }
    }

    /// The recurrences, judged with their numbers as the contract stores them.
    fn stored(
        &self,
        kernels: &[TrainedKernels<'_>],
        mut layers: Vec<LayerConversion>,
    ) -> Result<Vec<LayerConversion>> {
        if self.contract == ContractName::Fixed {
            for (i, (layer, kernel)) in layers.iter_mut().zip(kernels).enumerate() {
                layer.store(kernel, blob::fixed_recurrence(&layer.modal, i)?)?;
            }
        }
        Ok(layers)
    }

    /// The model, and what became of the weights.
    fn write(
        &self,
        checkpoint: &Checkpoint,
        layers: &Converted,
        weight_type: impl Fn(MatrixName) -> WeightType,
        source: Source<'_>,
    ) -> Result<(Blob, Rounded)> {
        let [recurrences, backward] = layers.modals();
        let rounded = match self.contract {
            ContractName::F32 => weights::round(checkpoint, &recurrences, &weight_type, source)?,
            ContractName::Fixed => weights::fixed(checkpoint, &weight_type)?,
        };
        let blob = match &rounded.stored {
            Stored::Fixed(_) => blob::write_fixed(checkpoint, &recurrences, weight_type)?,
            Stored::F32(weights) if checkpoint.config.causal => {
                blob::write_weights(checkpoint, &recurrences, weights, self.target)?
            }
            Stored::F32(weights) => {
                let both = [&recurrences[..], &backward[..]];
                let window = self.length(&checkpoint.config)?;
                blob::write_window(checkpoint, both, window, weights, self.target)?
            }
        };
        Ok((blob, rounded))
    }

    /// Before the work, which takes a while.
    fn check_outputs(&self, checkpoint: &Path, model: &Path) -> Result<()> {
        let output = |option, path| Output { option, path };
        let meta = self.meta.as_deref().map(|path| output("--meta", path));
        let emit = self.emit().map(|emit| kernel::emitted(&emit));
        let report = self.report().map(|report| report.output());
        let model = [output("-o", model)];
        let others = meta.into_iter().chain(emit).chain(report);
        let outputs: Vec<_> = model.into_iter().chain(others).collect();
        let mut inputs = files::of_checkpoint(checkpoint);
        inputs.extend(self.calibrate.clone());
        inputs.extend(self.clips.path().map(PathBuf::from));
        inputs.extend(self.report_text.clone());
        Ok(files::check(&outputs, &inputs)?)
    }

    fn emit(&self) -> Option<Emit<'_>> {
        self.emit_kernel.as_deref().map(|path| Emit {
            path,
            lags: self.lags,
        })
    }

    fn report(&self) -> Option<Wanted<'_>> {
        self.report.as_deref().map(|path| Wanted {
            path,
            text: self.report_text.as_deref(),
        })
    }

    fn method(&self, length: usize) -> Result<Method> {
        let only_reduced = "belongs to --method reduced";
        let reduced = self.method == MethodName::Reduced;
        ensure!(reduced || self.order.is_none(), "--order {only_reduced}");
        ensure!(
            reduced || self.limits().is_empty() && self.loss.is_none(),
            "a budget or --loss {only_reduced}: the other methods have nothing to choose"
        );
        ensure!(
            reduced || self.tolerance.is_none(),
            "--tolerance {only_reduced}: the other methods have nothing to search"
        );
        Ok(match self.method {
            MethodName::Reduced => Method::Reduced(Search {
                tolerance: self.tolerance.unwrap_or(TOLERANCE),
                taps: self.fir,
                order: self.order,
                ..Search::default()
            }),
            MethodName::Etsc => {
                ensure!(
                    self.fir.is_none(),
                    "--fir belongs to --method reduced and --method fir"
                );
                Method::Etsc { lags: length }
            }
            MethodName::Fir => {
                ensure!(
                    self.fir != Some(0),
                    "--fir 0 leaves nothing: --method fir has taps alone, at least 1"
                );
                let taps = self.fir.unwrap_or(length);
                Method::Fir { taps }
            }
        })
    }
}
