//! What every layer and matrix of a checkpoint gets.

use super::choose::{self, Alternative, Cost, Infeasible, Limits};
use super::frontier::{Choice, Frontier};
use super::instructions::{Core, Step};
use super::sensitivity::Sensitivity;
use crate::blob::{self, ContractName, WeightType, WriteError};
use crate::checkpoint::Checkpoint;
use crate::convert::modal::Modal;
use crate::quantize::{Matrix, MatrixName};
use crate::reference::ReferenceError;
use rayon::prelude::*;
use std::collections::BTreeMap;
use toeplite::format::{ALIGNMENT, LANES};

/// What the recurrences of all layers may change by default: the divergence of the predictions beside
/// their entropy.
///
/// Measured on 65,536 bytes of unseen text (32,768 with gamma .999), taps + states a layer, and the
/// largest change of bits/byte against the FFT network, in windows of 512 to 8192 tokens, of a network 128
/// wide with 4 layers, of shakespeare-64x9, of shakespeare-32x2 and of one with gamma .999:
///
/// | loss | 128, 4 layers | 64x9 | 32x2 | gamma .999 |
/// | --- | --- | --- | --- | --- |
/// | 1e-4 | 8.25, -.027 % | 6.0, -.008 % | 9, +.010 % | 9.5 |
/// | **7e-5** | 8.5, -.021 % | 6.2, +.025 % | 8.5, +.017 % | 9.5, -.016 % |
///
/// What luck, of either sign, makes of a divergence is up to four times the divergence itself.
pub const LOSS: f64 = 7e-5;

/// Rounds of choosing and measuring what was chosen, which ends when nothing changes any more.
const ROUNDS: usize = 16;

/// The relative error near which a layer is probed: large enough to stand out of the rounding of f32,
/// small enough for the divergence to grow with its square.
const PROBE: f64 = 0.03;

/// Reductions of all layers, and what each is worth.
pub struct Candidates<'a> {
    frontiers: Vec<Frontier>,
    sensitivity: Sensitivity<'a>,
    /// Divergence, in bits a token, of those of each layer's choices that were measured: at least one.
    measured: Vec<BTreeMap<usize, f64>>,
}

impl<'a> Candidates<'a> {
    /// Probes every layer once.
    ///
    /// # Errors
    /// A layer has other channels than the network.
    pub fn new(
        frontiers: Vec<Frontier>,
        sensitivity: Sensitivity<'a>,
    ) -> Result<Self, ReferenceError> {
        let probe = |frontier: &Frontier| {
            let distance = |i: &usize| (frontier.choices[*i].error.rms / PROBE).ln().abs();
            let choices = 0..frontier.choices.len();
            let nearest = choices.min_by(|a, b| distance(a).total_cmp(&distance(b)));
            nearest.unwrap_or(0)
        };
        let probes: Vec<usize> = frontiers.iter().map(probe).collect();
        let mut out = Self {
            measured: vec![BTreeMap::new(); frontiers.len()],
            frontiers,
            sensitivity,
        };
        out.measure(&probes)?;
        Ok(out)
    }

    /// What changes of the network do to its predictions.
    pub fn sensitivity(&self) -> &Sensitivity<'a> {
        &self.sensitivity
    }

    /// The choices of a plan.
    pub fn chosen(&self, layers: &[usize]) -> Vec<&Choice> {
        let chosen = self.frontiers.iter().zip(layers);
        chosen.map(|(frontier, i)| &frontier.choices[*i]).collect()
    }

    /// What a layer's choice loses, in bits a token: as measured, or by the square of its kernel error
    /// beside that of the nearest one that was.
    fn loss(&self, layer: usize, choice: usize) -> f64 {
        let error = |i: usize| self.frontiers[layer].choices[i].error.rms;
        let measured = self.measured[layer].iter();
        let nearest = measured.min_by_key(|(i, _)| i.abs_diff(choice));
        nearest.map_or(0.0, |(i, loss)| match error(*i) {
            0.0 => 0.0,
            nearest => loss * (error(choice) / nearest).powi(2),
        })
    }

    /// Measures those of `layers` that were not yet; whether there were any.
    fn measure(&mut self, layers: &[usize]) -> Result<bool, ReferenceError> {
        let unknown: Vec<(usize, usize)> = layers
            .iter()
            .copied()
            .enumerate()
            .filter(|(layer, choice)| !self.measured[*layer].contains_key(choice))
            .collect();
        let measure = |(layer, choice): &(usize, usize)| {
            let modal = &self.frontiers[*layer].choices[*choice].modal;
            self.sensitivity.of_layer(*layer, modal)
        };
        let found: Vec<f64> = unknown.par_iter().map(measure).collect::<Result<_, _>>()?;
        for ((layer, choice), loss) in unknown.iter().zip(found) {
            self.measured[*layer].insert(*choice, loss);
        }
        Ok(!unknown.is_empty())
    }

    /// The smallest recurrences with which the predictions diverge by at most `loss` bits a token, as
    /// measured with all of them in place; the nearest ones where none do. An index into each layer's
    /// choices.
    ///
    /// # Errors
    /// A layer has other channels than the network.
    pub fn within_loss(&mut self, loss: f64) -> Result<Vec<usize>, ReferenceError> {
        let mut share = 1.0;
        let mut layers = self.foretold_within(loss);
        for _ in 0..ROUNDS {
            if self.measure(&layers)? {
                // what was foretold of them may have been wrong
                layers = self.foretold_within(share * loss);
                continue;
            }
            let modals: Vec<&Modal> = self.chosen(&layers).iter().map(|c| &c.modal).collect();
            let together = self.sensitivity.of_all(&modals)?;
            if together <= loss {
                break;
            }
            // some changes add up to more than their sum
            share *= 0.95 * loss / together;
            layers = self.foretold_within(share * loss);
        }
        Ok(layers)
    }

    fn foretold_within(&self, loss: f64) -> Vec<usize> {
        let part = |(layer, frontier): (usize, &Frontier)| {
            let sized = |(i, choice): (usize, &Choice)| (choice.states(), self.loss(layer, i));
            frontier.choices.iter().enumerate().map(sized).collect()
        };
        let parts: Vec<Vec<_>> = self.frontiers.iter().enumerate().map(part).collect();
        choose::within_loss(&parts, loss)
    }
}

/// What a model is to be.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// What it may take.
    pub limits: Limits,
    /// Its numbers.
    pub contract: ContractName,
    /// The type of all its weights; int8 or int4, matrix by matrix, where it is not given.
    pub weights: Option<WeightType>,
    /// Whose instructions are counted; nothing where none are.
    pub core: Option<Core>,
}

/// What each layer and matrix gets.
#[derive(Clone, Debug)]
pub struct Plan {
    /// An index into each layer's choices.
    pub layers: Vec<usize>,
    /// The type of each matrix, in the order of [`Weights::matrices`](crate::quantize::Weights::matrices).
    pub weights: Vec<(MatrixName, WeightType)>,
    /// Instructions a token, as foretold; 0 where no core is known.
    pub instructions: usize,
    /// What the chosen types of weights lose, in bits a token; zero where there was nothing to choose.
    pub weights_loss: f64,
}

impl Plan {
    /// The type of a matrix.
    pub fn weight_type(&self, name: MatrixName) -> WeightType {
        let found = self.weights.iter().find(|(other, _)| *other == name);
        found.map_or(WeightType::Int8, |(_, weight_type)| *weight_type)
    }
}

/// Chooses for `request`, beginning with the layers `start`, which it keeps if they fit.
///
/// # Errors
/// [`PlanError::Infeasible`]; what stands in the way of writing a model.
pub fn plan(
    checkpoint: &Checkpoint,
    candidates: &Candidates<'_>,
    start: &[usize],
    request: &Request,
) -> Result<Plan, PlanError> {
    let config = &checkpoint.config;
    let step = request.core.map(|core| Step::new(config, core));
    let step = step.as_ref();
    let mut parts = Vec::new();
    for (layer, frontier) in candidates.frontiers.iter().enumerate() {
        let alternative = |(i, choice): (usize, &Choice)| {
            Ok::<_, WriteError>(Alternative {
                loss: candidates.loss(layer, i),
                cost: recurrence_cost(&choice.modal, layer, request.contract, step)?,
            })
        };
        let part = frontier.choices.iter().enumerate().map(alternative);
        parts.push(part.collect::<Result<Vec<_>, _>>()?);
    }
    let types = match &request.weights {
        Some(one) => std::slice::from_ref(one),
        None => &[WeightType::Int8, WeightType::Int4][..],
    };
    let names = MatrixName::all(config);
    for name in &names {
        let sensitivity = &candidates.sensitivity;
        parts.push(matrix_part(checkpoint, *name, types, sensitivity, step)?);
    }
    let mut chosen = start.to_vec();
    chosen.resize(parts.len(), 0);
    let mut fixed = Cost {
        instructions: step.map_or(0, Step::beside),
        ..Cost::default()
    };
    if request.limits.flash.or(request.limits.ram).is_some() {
        let modals: Vec<Modal> = candidates
            .chosen(start)
            .iter()
            .map(|c| c.modal.clone())
            .collect();
        let draft = match request.contract {
            ContractName::F32 => blob::write(checkpoint, &modals, types[0])?,
            ContractName::Fixed => blob::write_fixed(checkpoint, &modals, |_| types[0])?,
        };
        let draft = draft.any().map_err(WriteError::from)?;
        let taken = choose::total_cost(&parts, &chosen, Cost::default());
        fixed.flash = draft.blob_bytes().saturating_sub(taken.flash);
        fixed.ram = draft.memory_needed().saturating_sub(taken.ram);
    }
    let chosen = choose::within_limits(&parts, &chosen, fixed, request.limits)?;
    let (layers, matrices) = chosen.split_at(config.layers);
    let weights = names.into_iter().zip(matrices.iter().map(|i| types[*i]));
    let weights_loss = choose::total_loss(&parts[config.layers..], matrices);
    Ok(Plan {
        weights_loss,
        layers: layers.to_vec(),
        weights: weights.collect(),
        instructions: choose::total_cost(&parts, &chosen, fixed).instructions,
    })
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Nothing is within the limits.
    #[error(transparent)]
    Infeasible(#[from] Infeasible),
    /// The checkpoint cannot be written as a model.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl PlanError {
    /// The same, where the limits were somewhat below those that were asked for.
    pub fn for_budget(self, limits: Limits) -> Self {
        match self {
            Self::Infeasible(error) => Self::Infeasible(Infeasible { limits, ..error }),
            other => other,
        }
    }
}

fn recurrence_cost(
    modal: &Modal,
    layer: usize,
    contract: ContractName,
    step: Option<&Step>,
) -> Result<Cost, WriteError> {
    let (taps, order, channels) = (modal.fir_len(), modal.order(), modal.channels());
    let ram = match contract {
        ContractName::F32 => 4 * (taps + order) * channels.next_multiple_of(LANES),
        ContractName::Fixed => (2 * taps + 4 * order) * channels,
    };
    Ok(Cost {
        flash: blob::recurrence_bytes(modal, layer, contract)?,
        ram,
        instructions: step.map_or(0, |step| step.recurrence(taps, order)),
    })
}

/// A matrix in each of `types`.
fn matrix_part(
    checkpoint: &Checkpoint,
    name: MatrixName,
    types: &[WeightType],
    sensitivity: &Sensitivity<'_>,
    step: Option<&Step>,
) -> Result<Vec<Alternative>, WriteError> {
    let trained = blob::trained(checkpoint, name)?;
    let (rows, columns) = trained.dim();
    let alternative = |weight_type: &WeightType| Alternative {
        // where there is nothing to choose it does not matter
        loss: match types {
            [_] => 0.0,
            _ => {
                let rounded = Matrix::nearest(trained.view(), *weight_type).values();
                sensitivity.of_matrix(name, rounded.view())
            }
        },
        cost: Cost {
            flash: weight_type.bytes(rows, columns).next_multiple_of(ALIGNMENT),
            ram: 0,
            instructions: step.map_or(0, |s| s.product(name, rows, columns, *weight_type)),
        },
    };
    Ok(types.par_iter().map(alternative).collect())
}
