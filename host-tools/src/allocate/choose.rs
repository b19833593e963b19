//! One alternative for each part of a network: the cheapest within a loss, the best within limits.
//!
//! Losses and costs of parts add up, so this is a knapsack of multiple choices. With one cost that is a small
//! number, the states, it is solved exactly. With several limits at once it is solved by greedy steps, each
//! the one that saves most for what it loses: within one step of the optimum where each part's
//! alternatives lie on a convex curve, as recurrences nearly do (the error falls by a constant factor a
//! state).

use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// What a part of a model, or the whole of it, takes on the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Bytes of the model.
    pub flash: usize,
    /// Bytes of session memory.
    pub ram: usize,
    /// Instructions a token.
    pub instructions: usize,
}

/// What a model may take; nothing where there is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Bytes of the model.
    pub flash: Option<usize>,
    /// Bytes of session memory.
    pub ram: Option<usize>,
    /// Instructions a token.
    pub instructions: Option<usize>,
}

/// One way to have a part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alternative {
    /// Divergence of the network's predictions, in bits a token.
    pub loss: f64,
    /// What it takes.
    pub cost: Cost,
}

/// No choice is within the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Infeasible {
    /// What was asked for.
    pub limits: Limits,
    /// The least of each resource that is limited, whatever the others take.
    pub least: Cost,
    /// The choice nearest to the limits.
    pub nearest: Cost,
}

impl std::error::Error for Infeasible {}

impl fmt::Display for Infeasible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (limits, least, nearest) = (self.limits.all(), self.least.all(), self.nearest.all());
        let limited = || (0..limits.len()).filter_map(|i| Some((i, limits[i]?)));
        let beyond: Vec<String> = limited()
            .filter(|(i, limit)| least[*i] > *limit)
            .map(|(i, limit)| {
                let (what, option) = Cost::NAMES[i];
                format!(
                    "{what} must be at least {}, but {option} is {limit}",
                    least[i]
                )
            })
            .collect();
        if !beyond.is_empty() {
            return write!(
                f,
                "no conversion is within the budget: {}",
                beyond.join("; ")
            );
        }
        // each by itself can be had
        let closest: Vec<String> = limited()
            .map(|(i, _)| format!("{} {}", Cost::NAMES[i].1, nearest[i]))
            .collect();
        write!(
            f,
            "no conversion was found within all budgets at once; the closest that was is {}",
            closest.join(" ")
        )
    }
}

impl Cost {
    const NAMES: [(&str, &str); 3] = [
        ("bytes of flash", "--budget-flash"),
        ("bytes of session memory", "--budget-ram"),
        ("instructions a token", "--budget-instructions"),
    ];

    fn all(self) -> [usize; 3] {
        [self.flash, self.ram, self.instructions]
    }

    fn of(all: [usize; 3]) -> Self {
        let [flash, ram, instructions] = all;
        Self {
            flash,
            ram,
            instructions,
        }
    }

    /// The sum of both.
    pub fn plus(self, other: Self) -> Self {
        let (a, b) = (self.all(), other.all());
        Self::of(std::array::from_fn(|i| a[i] + b[i]))
    }
}

impl Limits {
    fn all(self) -> [Option<usize>; 3] {
        [self.flash, self.ram, self.instructions]
    }

    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether `cost` is within them.
    pub fn hold(&self, cost: Cost) -> bool {
        self.excess(cost) == 0.0
    }

    /// How far `cost` is beyond them: the sum of the excesses, each in parts of its limit.
    fn excess(&self, cost: Cost) -> f64 {
        let beyond = |(limit, cost): (Option<usize>, usize)| {
            let limit = limit?;
            Some(cost.saturating_sub(limit) as f64 / limit.max(1) as f64)
        };
        let pairs = self.all().into_iter().zip(cost.all());
        pairs.filter_map(beyond).sum()
    }
}

/// The alternative of each part, of given size and loss, with which all together are smallest and lose at
/// most `loss`; where none do, those that lose least.
///
/// Exact, by dynamic programming over the size of the parts so far.
pub fn within_loss(parts: &[Vec<(usize, f64)>], loss: f64) -> Vec<usize> {
    // for every size: the least loss of the parts so far, and how it is had
    let mut least: BTreeMap<usize, (f64, Vec<usize>)> = BTreeMap::from([(0, (0.0, Vec::new()))]);
    for part in parts {
        let mut next: BTreeMap<usize, (f64, Vec<usize>)> = BTreeMap::new();
        for (so_far, (lost, chosen)) in &least {
            for (i, (size, more)) in part.iter().enumerate() {
                let (size, lost) = (so_far + size, lost + more);
                if next.get(&size).is_none_or(|(best, _)| lost < *best) {
                    let chosen = chosen.iter().copied().chain([i]).collect();
                    next.insert(size, (lost, chosen));
                }
            }
        }
        least = next;
    }
    let enough = least.values().find(|(lost, _)| *lost <= loss);
    let best = || least.values().min_by(|a, b| a.0.total_cmp(&b.0));
    enough
        .or_else(best)
        .map(|(_, chosen)| chosen.clone())
        .unwrap_or_default()
}

/// The alternative of each part with which `fixed` and all parts together are within `limits`, losing
/// little; at first those of `start`.
///
/// # Errors
/// There is no such choice, as far as greedy steps find one.
pub fn within_limits(
    parts: &[Vec<Alternative>],
    start: &[usize],
    fixed: Cost,
    limits: Limits,
) -> Result<Vec<usize>, Infeasible> {
    let mut chosen = start.to_vec();
    let mut cost = total_cost(parts, &chosen, fixed);
    while !limits.hold(cost) {
        let before = limits.excess(cost);
        let step = steps(parts, &chosen, |from, to| {
            let relief = before - limits.excess(replaced(cost, from, to));
            let lost = to.loss - from.loss;
            (relief > 0.0).then(|| relief / lost.max(f64::MIN_POSITIVE))
        });
        let Some((part, to)) = step else {
            return Err(Infeasible {
                limits,
                least: least(parts, fixed),
                nearest: cost,
            });
        };
        cost = replaced(cost, &parts[part][chosen[part]], &parts[part][to]);
        chosen[part] = to;
    }
    // what steps have left over buys back some of the loss
    let enough = total_loss(parts, start);
    while total_loss(parts, &chosen) > enough
        && let Some((part, to)) = steps(parts, &chosen, |from, to| {
            let gained = from.loss - to.loss;
            (gained > 0.0 && limits.hold(replaced(cost, from, to))).then_some(gained)
        })
    {
        cost = replaced(cost, &parts[part][chosen[part]], &parts[part][to]);
        chosen[part] = to;
    }
    Ok(chosen)
}

/// What the chosen alternatives lose together.
pub fn total_loss(parts: &[Vec<Alternative>], chosen: &[usize]) -> f64 {
    let losses = parts.iter().zip(chosen).map(|(part, i)| part[*i].loss);
    losses.sum()
}

/// What the chosen alternatives and `fixed` take together.
pub fn total_cost(parts: &[Vec<Alternative>], chosen: &[usize], fixed: Cost) -> Cost {
    let costs = parts.iter().zip(chosen).map(|(part, i)| part[*i].cost);
    costs.fold(fixed, Cost::plus)
}

/// The least of each resource by itself.
fn least(parts: &[Vec<Alternative>], fixed: Cost) -> Cost {
    let of_part = |part: &Vec<Alternative>| {
        let smallest = |i: usize| part.iter().map(|a| a.cost.all()[i]).min().unwrap_or(0);
        Cost::of(std::array::from_fn(smallest))
    };
    parts.iter().map(of_part).fold(fixed, Cost::plus)
}

/// `cost` with one alternative in place of another.
fn replaced(cost: Cost, from: &Alternative, to: &Alternative) -> Cost {
    let (cost, from, to) = (cost.all(), from.cost.all(), to.cost.all());
    Cost::of(std::array::from_fn(|i| cost[i] - from[i] + to[i]))
}

/// The part and the alternative of the step of the largest worth.
fn steps(
    parts: &[Vec<Alternative>],
    chosen: &[usize],
    worth: impl Fn(&Alternative, &Alternative) -> Option<f64>,
) -> Option<(usize, usize)> {
    let all = parts
        .iter()
        .zip(chosen)
        .enumerate()
        .flat_map(|(p, (part, now))| {
            let others = (0..part.len()).filter(move |to| to != now);
            others.map(move |to| (p, to, &part[*now], &part[to]))
        });
    let worthy = all.filter_map(|(p, to, from, other)| Some((worth(from, other)?, p, to)));
    let best = worthy.max_by(|a, b| a.0.total_cmp(&b.0));
    best.map(|(_, part, to)| (part, to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Alternatives as recurrences have them: each further state costs the same, the loss falls by about
    /// a constant factor.
    fn layer() -> impl Strategy<Value = Vec<Alternative>> {
        let falls = prop::collection::vec(0.05f64..0.8, 2..6);
        (0.001f64..10.0, falls, 1usize..9).prop_map(|(sensitivity, falls, width)| {
            let mut loss = sensitivity;
            let alternative = |(states, fall): (usize, &f64)| {
                loss *= fall;
                let size = 4 * width * (states + 1);
                Alternative {
                    loss,
                    cost: Cost {
                        flash: 2 * size,
                        ram: size,
                        instructions: 5 * size,
                    },
                }
            };
            falls.iter().enumerate().map(alternative).collect()
        })
    }

    /// The alternative of each part that loses least.
    fn best(parts: &[Vec<Alternative>]) -> Vec<usize> {
        let best = |part: &Vec<Alternative>| {
            let order = |a: &usize, b: &usize| part[*a].loss.total_cmp(&part[*b].loss);
            (0..part.len()).min_by(order).unwrap_or(0)
        };
        parts.iter().map(best).collect()
    }

    /// All choices.
    fn every(parts: &[Vec<Alternative>]) -> Vec<Vec<usize>> {
        let mut all = vec![vec![]];
        for part in parts {
            let longer = |chosen: &Vec<usize>| {
                let chosen = chosen.clone();
                (0..part.len()).map(move |i| [chosen.clone(), vec![i]].concat())
            };
            all = all.iter().flat_map(longer).collect();
        }
        all
    }

    proptest! {
        #[test]
        fn limits_hold_wherever_they_can(
            parts in prop::collection::vec(layer(), 1..4),
            flash in prop::option::of(0usize..900),
            ram in prop::option::of(0usize..500),
        ) {
            let limits = Limits { flash, ram, instructions: None };
            let fixed = Cost { flash: 10, ram: 20, instructions: 30 };
            let start = best(&parts);
            let possible: Vec<_> = every(&parts)
                .into_iter()
                .filter(|chosen| limits.hold(total_cost(&parts, chosen, fixed)))
                .collect();
            match within_limits(&parts, &start, fixed, limits) {
                Ok(chosen) => {
                    prop_assert!(limits.hold(total_cost(&parts, &chosen, fixed)));
                    let found = total_loss(&parts, &chosen);
                    let optimum = possible.iter().map(|c| total_loss(&parts, c));
                    let optimum = optimum.fold(f64::INFINITY, f64::min);
                    prop_assert!(found >= optimum * (1.0 - 1e-9));
                    if parts.len() == 1 {
                        prop_assert!(found <= optimum * (1.0 + 1e-9), "{} {}", found, optimum);
                    }
                }
                Err(error) => {
                    prop_assert!(possible.is_empty());
                    // the budget that it names is one that can be met
                    let enough = Limits {
                        flash: flash.map(|_| error.nearest.flash),
                        ram: ram.map(|_| error.nearest.ram),
                        instructions: None,
                    };
                    prop_assert!(within_limits(&parts, &best(&parts), fixed, enough).is_ok());
                }
            }
        }

        #[test]
        fn a_loss_is_kept_by_the_smallest(
            parts in prop::collection::vec(layer(), 1..5),
            loss in 0.0f64..5.0,
        ) {
            let sizes = |part: &Vec<Alternative>| -> Vec<(usize, f64)> {
                part.iter().map(|a| (a.cost.ram, a.loss)).collect()
            };
            let sizes: Vec<_> = parts.iter().map(sizes).collect();
            let chosen = within_loss(&sizes, loss);
            let both = |chosen: &Vec<usize>| {
                let ram = total_cost(&parts, chosen, Cost::default()).ram;
                (ram, total_loss(&parts, chosen))
            };
            let (found, lost) = both(&chosen);
            let all: Vec<_> = every(&parts).iter().map(both).collect();
            let within = all.iter().filter(|(_, lost)| *lost <= loss);
            match within.map(|(ram, _)| *ram).min() {
                Some(smallest) => {
                    prop_assert!(lost <= loss * (1.0 + 1e-9));
                    prop_assert_eq!(found, smallest);
                }
                None => {
                    let least = all.iter().map(|(_, lost)| *lost).fold(f64::INFINITY, f64::min);
                    prop_assert!(lost <= least * (1.0 + 1e-9));
                }
            }
        }
    }

    #[test]
    fn the_sensitive_layer_gets_the_states() {
        let layer = |sensitivity: f64| -> Vec<Alternative> {
            let alternative = |states: i32| Alternative {
                loss: sensitivity * 0.1f64.powi(states),
                cost: Cost {
                    ram: states as usize,
                    ..Cost::default()
                },
            };
            (1..10).map(alternative).collect()
        };
        let parts = [layer(1.0), layer(1000.0)];
        let states = |chosen: Vec<usize>| chosen.iter().map(|i| i + 1).collect::<Vec<_>>();
        let limits = Limits {
            ram: Some(7),
            ..Limits::default()
        };
        let chosen = within_limits(&parts, &best(&parts), Cost::default(), limits).unwrap();
        assert_eq!(states(chosen), [2, 5]);
        let limits = Limits {
            ram: Some(1),
            ..Limits::default()
        };
        let error = within_limits(&parts, &best(&parts), Cost::default(), limits).unwrap_err();
        let expected = "bytes of session memory must be at least 2, but --budget-ram is 1";
        assert!(error.to_string().ends_with(expected), "{error}");
    }
}
