//! Recurrences and weights of `toeplite convert`, chosen by what they are worth.

use super::output;
use super::weights::{self, Calibration, MEASUREMENT, Source};
use crate::allocate::plan::{Candidates, Plan, PlanError, Request, plan};
use crate::allocate::{Choice, Cost, Frontier, Limits, Sensitivity};
use crate::blob::{Blob, ContractName, WriteError};
use crate::checkpoint::Checkpoint;
use crate::convert::layer::{LayerConversion, Method, convert_layer};
use crate::convert::modal::Modal;
use crate::convert::network::TrainedKernels;
use crate::convert::search::Search;
use crate::convert::{ConvertError, LayerError, Warning};
use crate::reference::Network;
use anyhow::Result;
use rayon::prelude::*;
use serde::Serialize;

/// Divergence beside the entropy from which a user with a budget is warned.
const MUCH: f64 = 5e-3;

/// What levelling the error over frequency may add to the divergence without a word.
const SLACK: f64 = 1.5;

/// What was chosen, and by what.
#[derive(Serialize)]
pub struct Allocation {
    /// What predictions were compared on.
    measured_on: Calibration,
    /// What has a prediction: "token", or "clip" of a classifier.
    predicted: &'static str,
    /// Bits a token or clip that the trained network expects to lose itself.
    entropy: f64,
    /// Divergence of the predictions, in bits a token, with all recurrences in place of the operators.
    divergence: f64,
    /// What each layer's recurrence adds to it.
    layers: Vec<f64>,
    /// What the types of the weights add to it, as foretold, if they were chosen.
    weights: Option<f64>,
    /// What the divergence was to stay below.
    limit: f64,
    /// What the model takes. Instructions where they are counted.
    taken: Cost,
    /// What it may take.
    budget: Limits,
    /// Whose instructions.
    core: Option<&'static str>,
}

/// The layers of a checkpoint with all that is known of their worth.
pub struct Allocator<'a> {
    checkpoint: &'a Checkpoint,
    kernels: &'a [TrainedKernels<'a>],
    candidates: Candidates<'a>,
    measured_on: Calibration,
    entropy: f64,
    /// What recurrences may lose, in bits a token.
    limit: f64,
    /// The smallest recurrences within it.
    start: Vec<usize>,
}

impl<'a> Allocator<'a> {
    /// Finds each layer's reductions that `contract` can hold, and what they change in the predictions on `source`. `loss` is what all layers together may change, beside the entropy.
    pub fn new(
        checkpoint: &'a Checkpoint,
        network: &'a Network<f32>,
        kernels: &'a [TrainedKernels<'a>],
        contract: ContractName,
        source: Source<'_>,
        loss: f64,
    ) -> Result<Self> {
        let frontiers = per_layer(kernels, |_, kernel| Frontier::new(kernel))?;
        let held = frontiers.into_iter().enumerate();
        let held = held.map(|(layer, frontier)| frontier.held_by(contract, layer));
        let frontiers: Vec<Frontier> = held.collect::<Result<_, _>>()?;
        let nearest = frontiers.iter().filter_map(|f| f.choices.last());
        let nearest: Vec<Modal> = nearest.map(|choice| choice.modal.clone()).collect();
        let (measured_on, sample) = weights::sample(checkpoint, &nearest, source, &MEASUREMENT)?;
        let sensitivity = Sensitivity::new(network, &sample)?;
        let entropy = sensitivity.entropy();
        let mut candidates = Candidates::new(frontiers, sensitivity)?;
        let start = candidates.within_loss(loss * entropy)?;
        Ok(Self {
            checkpoint,
            kernels,
            candidates,
            measured_on,
            entropy,
            limit: loss * entropy,
            start,
        })
    }

    /// What changes of the network do to its predictions.
    pub fn sensitivity(&self) -> &Sensitivity<'a> {
        self.candidates.sensitivity()
    }

    /// What layers and matrices get.
    pub fn plan(&self, request: &Request) -> Result<Plan, PlanError> {
        plan(self.checkpoint, &self.candidates, &self.start, request)
    }

    /// The recurrences of a plan.
    pub fn convert(&self, plan: &Plan) -> Result<Vec<LayerConversion>> {
        let chosen = self.candidates.chosen(&plan.layers);
        let convert = |layer: usize, kernel: &TrainedKernels<'_>| {
            let mut layer = convert_layer(kernel, &Method::Reduced(as_search(chosen[layer])))?;
            // nobody asked for so many states
            layer
                .warnings
                .retain(|w| !matches!(w, Warning::FewerStates { .. }));
            Ok(layer)
        };
        Ok(per_layer(self.kernels, convert)?)
    }

    /// What to tell of a plan's model.
    pub fn report(
        &self,
        plan: &Plan,
        layers: &[LayerConversion],
        blob: &Blob,
        request: &Request,
    ) -> Result<Allocation> {
        let modals: Vec<&Modal> = layers.iter().map(LayerConversion::as_stored).collect();
        let sensitivity = self.sensitivity();
        let alone = modals.par_iter().enumerate();
        let alone = alone.map(|(layer, modal)| sensitivity.of_layer(layer, modal));
        let model = blob.any()?;
        Ok(Allocation {
            measured_on: self.measured_on.clone(),
            predicted: match self.checkpoint.config.classifier {
                None => "token",
                Some(_) => "clip",
            },
            entropy: self.entropy,
            divergence: sensitivity.of_all(&modals)?,
            layers: alone.collect::<Result<_, _>>()?,
            weights: request.weights.is_none().then_some(plan.weights_loss),
            limit: self.limit,
            taken: Cost {
                flash: model.blob_bytes(),
                ram: model.memory_needed(),
                instructions: plan.instructions,
            },
            budget: request.limits,
            core: request.core.map(|core| core.name()),
        })
    }
}

/// A layer's own taps and states, whatever the error: it is known.
fn as_search(choice: &Choice) -> Search {
    Search {
        taps: Some(choice.modal.fir_len()),
        order: Some(choice.modal.order()),
        tolerance: f64::MAX,
        ..Search::default()
    }
}

fn per_layer<T: Send>(
    kernels: &[TrainedKernels<'_>],
    f: impl Fn(usize, &TrainedKernels<'_>) -> Result<T, ConvertError> + Sync,
) -> Result<Vec<T>, LayerError> {
    let of_layer =
        |(layer, kernel)| f(layer, kernel).map_err(|source| LayerError { layer, source });
    kernels.par_iter().enumerate().map(of_layer).collect()
}

/// The limits to plan within next, those of the last plan less what `blob` is beyond the `budget`; nothing
/// if it is within.
///
/// # Errors
/// Nothing smaller can be planned.
pub fn less(budget: Limits, planned: Limits, blob: &Blob) -> Result<Option<Limits>, WriteError> {
    let model = blob.any()?;
    let lowered = |limit: Option<usize>, planned: Option<usize>, found: usize| {
        let over = (found).saturating_sub(limit.unwrap_or(usize::MAX));
        planned.map(|planned| planned.saturating_sub(over))
    };
    let next = Limits {
        flash: lowered(budget.flash, planned.flash, model.blob_bytes()),
        ram: lowered(budget.ram, planned.ram, model.memory_needed()),
        instructions: planned.instructions,
    };
    Ok((next != planned).then_some(next))
}

impl Allocation {
    /// What each layer's recurrence adds to the divergence, in bits a token.
    pub fn layers(&self) -> &[f64] {
        &self.layers
    }

    /// Instructions a token, where they are counted.
    pub fn instructions(&self) -> Option<usize> {
        self.core.map(|_| self.taken.instructions)
    }

    /// What the recurrences change, as a fact with its name.
    pub fn fact(&self) -> (&'static str, String) {
        let (changed, entropy) = (self.divergence, self.entropy);
        (
            "recurrences change predictions by",
            format!(
                "{changed:.1e} bits a {} of {entropy:.2} (Kullback-Leibler divergence)",
                self.predicted
            ),
        )
    }

    /// A line if what the model loses is more than a user would expect.
    pub fn warning(&self) -> Option<String> {
        let lost = self.divergence + self.weights.unwrap_or(0.0);
        let (entropy, predicted) = (self.entropy, self.predicted);
        if self.budget.is_empty() {
            let above = lost > SLACK * self.limit;
            return above.then(|| {
                format!(
                    "predictions differ from the trained network's by {lost:.1e} bits a {predicted}, more than the {:.1e} asked \
                     for: --tolerance, or --order and --fir, reach further",
                    self.limit
                )
            });
        }
        (lost > MUCH * entropy).then(|| {
            format!(
                "within this budget predictions differ from the trained network's by {lost:.1e} bits a {predicted}, of \
                 {entropy:.2}: measure what that costs with `toeplite compare`"
            )
        })
    }

    /// Prints it.
    pub fn print(&self) -> Result<()> {
        output::line(format!(
            "recurrences change predictions by {:.1e} bits a {} of {:.2} (Kullback-Leibler divergence), measured \
             on {}",
            self.divergence, self.predicted, self.entropy, self.measured_on
        ))?;
        if self.budget.is_empty() {
            return Ok(());
        }
        let row = |what: String, taken: usize, budget: Option<usize>| {
            let budget = budget.map_or("-".into(), output::bytes);
            [what, output::bytes(taken), budget]
        };
        let (taken, budget) = (self.taken, self.budget);
        let instructions = self.core.map(|core| {
            let what = format!("instructions a step, {core}, estimated");
            row(what, taken.instructions, budget.instructions)
        });
        let rows = [
            row("bytes of flash".into(), taken.flash, budget.flash),
            row("bytes of session memory".into(), taken.ram, budget.ram),
        ];
        let table = output::table(
            ["the model takes", "", "budget"],
            rows.into_iter().chain(instructions),
        );
        Ok(output::line(table)?)
    }
}
