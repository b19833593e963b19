//! One alternative for each part of a network: the cheapest within a loss, the best within limits.
//!
//! Losses and costs of parts add up, so this is a knapsack of multiple choices, solved part by part by
//! dynamic programming: of the choices for the parts so far only those stay of which none is better in
//! everything that counts, the loss and each cost that is limited. That is exact while there are no more
//! than [`MOST`] of them, as with one limit there hardly ever are.

use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Choices for the first parts that are looked at together.
const MOST: usize = 1000;

/// Halvings of the distance to a budget that can be kept.
const HALVINGS: usize = 12;

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
            "no conversion is within all budgets at once; the closest that was found is {}",
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
        let mut pairs = self.all().into_iter().zip(cost.all());
        pairs.all(|(limit, cost)| limit.is_none_or(|limit| cost <= limit))
    }

    /// Those limits that `cost` is beyond, raised by a `share` of what they lack.
    fn stretched(&self, cost: Cost, share: f64) -> Self {
        let pairs = self.all().into_iter().zip(cost.all());
        let mut stretched = pairs.map(|(limit, cost)| {
            let lacking = |limit: usize| cost.saturating_sub(limit) as f64;
            limit.map(|limit| limit + (share * lacking(limit)).ceil() as usize)
        });
        let mut next = || stretched.next().flatten();
        Self {
            flash: next(),
            ram: next(),
            instructions: next(),
        }
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
/// least; those of `start` if they are within.
///
/// # Errors
/// There is no such choice; with the nearest one, between what was asked for and `start`.
pub fn within_limits(
    parts: &[Vec<Alternative>],
    start: &[usize],
    fixed: Cost,
    limits: Limits,
) -> Result<Vec<usize>, Infeasible> {
    let whole = total_cost(parts, start, fixed);
    if limits.hold(whole) {
        return Ok(start.to_vec());
    }
    if let Some(chosen) = least_loss(parts, fixed, limits) {
        return Ok(chosen);
    }
    // the limits, stretched towards what `start` takes, until there is a choice
    let mut nearest = start.to_vec();
    let (mut too_little, mut enough) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let share = 0.5 * (too_little + enough);
        match least_loss(parts, fixed, limits.stretched(whole, share)) {
            Some(chosen) => (nearest, enough) = (chosen, share),
            None => too_little = share,
        }
    }
    Err(Infeasible {
        limits,
        least: least(parts, fixed),
        nearest: total_cost(parts, &nearest, fixed),
    })
}

/// A choice for the parts so far.
#[derive(Clone, Copy)]
struct Partial {
    loss: f64,
    cost: Cost,
    /// The last part's alternative, and which choice for the parts before it belongs to.
    last: (usize, usize),
}

/// Of all choices within `limits` the one that loses least.
fn least_loss(parts: &[Vec<Alternative>], fixed: Cost, limits: Limits) -> Option<Vec<usize>> {
    // what the parts from each on take at least
    let none = Cost::default();
    let rest = parts.iter().rev().scan(none, |rest, part| {
        *rest = rest.plus(least(std::slice::from_ref(part), none));
        Some(*rest)
    });
    let mut rest: Vec<Cost> = rest.collect();
    rest.reverse();
    rest.push(none);
    let start = Partial {
        loss: 0.0,
        cost: fixed,
        last: (0, 0),
    };
    let mut steps: Vec<Vec<Partial>> = vec![vec![start]];
    for (part, rest) in parts.iter().zip(&rest[1..]) {
        let before = steps.last()?;
        let longer = before.iter().enumerate().flat_map(|(b, so_far)| {
            let alternatives = part.iter().enumerate();
            alternatives.map(move |(i, alternative)| Partial {
                loss: so_far.loss + alternative.loss,
                cost: so_far.cost.plus(alternative.cost),
                last: (i, b),
            })
        });
        let possible = longer.filter(|partial| limits.hold(partial.cost.plus(*rest)));
        let front = front(possible.collect(), limits);
        steps.push(front);
    }
    // a front is sorted by loss
    steps.last()?.first()?;
    let mut at = 0;
    let mut chosen = Vec::new();
    for step in steps[1..].iter().rev() {
        let (alternative, before) = step[at].last;
        chosen.push(alternative);
        at = before;
    }
    chosen.reverse();
    Some(chosen)
}

/// Those of `partials` of which none is better in loss and all limited costs, by loss; at most [`MOST`], evenly
/// spread, the first and the one that takes least of its limits among them.
fn front(mut partials: Vec<Partial>, limits: Limits) -> Vec<Partial> {
    let limited: Vec<usize> = (0..3).filter(|i| limits.all()[*i].is_some()).collect();
    let share = |partial: &Partial| -> f64 {
        let cost = partial.cost.all();
        let share = |i: &usize| cost[*i] as f64 / limits.all()[*i].unwrap_or(0).max(1) as f64;
        limited.iter().map(share).sum()
    };
    // of two with the same loss the smaller one first
    partials.sort_by(|a, b| {
        let by_loss = a.loss.total_cmp(&b.loss);
        by_loss.then_with(|| share(a).total_cmp(&share(b)))
    });
    let mut front: Vec<Partial> = Vec::new();
    for partial in partials {
        let cost = partial.cost.all();
        let beaten = |other: &Partial| limited.iter().all(|i| other.cost.all()[*i] <= cost[*i]);
        // the latest are the smallest, and the likeliest to be smaller
        if !front.iter().rev().any(beaten) {
            front.push(partial);
        }
    }
    if front.len() <= MOST {
        return front;
    }
    let smallest = (0..front.len()).min_by(|a, b| share(&front[*a]).total_cmp(&share(&front[*b])));
    let spread = (0..MOST - 1).map(|i| i * front.len() / (MOST - 1));
    let kept: BTreeSet<usize> = spread.chain(smallest).collect();
    kept.into_iter().map(|i| front[i]).collect()
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

    /// A matrix in eight bits or four: the smaller one takes more instructions.
    fn matrix() -> impl Strategy<Value = Vec<Alternative>> {
        (0.001f64..1.0, 1usize..20, 0usize..400).prop_map(|(sensitivity, size, slower)| {
            let alternative = |loss, flash, instructions| Alternative {
                loss,
                cost: Cost {
                    flash,
                    ram: 0,
                    instructions,
                },
            };
            let (flash, instructions) = (16 * size, 20 * size);
            vec![
                alternative(0.01 * sensitivity, flash, instructions),
                alternative(sensitivity, flash / 2, instructions + slower),
            ]
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
            layers in prop::collection::vec(layer(), 1..4),
            matrices in prop::collection::vec(matrix(), 0..4),
            flash in prop::option::of(0usize..900),
            ram in prop::option::of(0usize..500),
            instructions in prop::option::of(0usize..4500),
        ) {
            let parts = [layers, matrices].concat();
            let limits = Limits { flash, ram, instructions };
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
                    prop_assert!((found - optimum).abs() <= 1e-9 * optimum, "{} {}", found, optimum);
                }
                Err(error) => {
                    prop_assert!(possible.is_empty());
                    // the budget that it names is one that can be met
                    let enough = Limits {
                        flash: flash.map(|_| error.nearest.flash),
                        ram: ram.map(|_| error.nearest.ram),
                        instructions: instructions.map(|_| error.nearest.instructions),
                    };
                    prop_assert!(within_limits(&parts, &start, fixed, enough).is_ok());
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

    /// More choices than are looked at together: those that are left are nearly the best.
    #[test]
    fn many_parts_with_costs_that_pull_apart_are_chosen_well() {
        let part = |p: usize| -> Vec<Alternative> {
            let alternative = |i: usize| Alternative {
                loss: 0.5f64.powi(i as i32) * (1.0 + p as f64 % 3.0),
                cost: Cost {
                    flash: 100 * i + (37 * p * i) % 91,
                    ram: 0,
                    instructions: 100 * (12 - i) + (53 * p * i) % 83,
                },
            };
            (0..12).map(alternative).collect()
        };
        let parts: Vec<_> = (0..30).map(part).collect();
        let start = best(&parts);
        let limits = |flash, instructions| Limits {
            flash: Some(flash),
            ram: None,
            instructions: Some(instructions),
        };
        let free = within_limits(&parts, &start, Cost::default(), limits(20_000, usize::MAX));
        let free = free.unwrap();
        let taken = total_cost(&parts, &free, Cost::default());
        // what the best choice under one limit takes of the other is hardly too little
        let both = limits(20_000, taken.instructions - 300);
        let chosen = within_limits(&parts, &start, Cost::default(), both).unwrap();
        assert!(total_loss(&parts, &chosen) < 1.2 * total_loss(&parts, &free));
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
