//! What a user should know about a conversion.

use super::rounding::FLUSH;
use super::search::{MAX_ORDER, MOST_STATES};
use serde::Serialize;
use std::fmt;

/// Something about a conversion that is no error and yet matters.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Warning {
    /// The closed form is wrong past its last lag.
    WrongPastEnd {
        /// First wrong lag.
        from: usize,
        /// End of the lags measured.
        to: usize,
        /// Relative l2 error over all lags up to `to`, root mean square over channels.
        error: f64,
    },
    /// The closed form was taken of the decayed kernel: its modes do not die out.
    DecayNotSeparable,
    /// No reduction within the limits, or not the one asked for, meets the tolerance.
    ToleranceNotReached {
        /// Tolerance asked for.
        tolerance: f64,
        /// Error reached, root mean square over channels.
        reached: f64,
        /// The worst channel's error.
        worst: f64,
        /// Whether the number of states was given, not searched.
        order_given: bool,
    },
    /// The kernel has fewer states than were asked for: further ones would be rounding noise, or are too many to look
    /// for.
    FewerStates {
        /// States asked for.
        asked: usize,
        /// States found.
        found: usize,
    },
    /// Nothing smaller than the kernel's own taps is within the tolerance.
    NoSmallRecurrence {
        /// Taps kept.
        taps: usize,
        /// The most states that were tried.
        states: usize,
        /// Error that the search over small recurrences reached, root mean square over channels.
        reached: f64,
    },
    /// The error's peak over frequency is far above what no recurrence of that order can beat.
    FarFromBest {
        /// The peak as a multiple of the bound.
        ratio: f64,
    },
    /// The kernel is below what a model stores.
    TooFaint {
        /// Its largest coefficient.
        largest: f64,
    },
    /// The kernel is alive past the lags that the fit could look at.
    AliveAtEnd {
        /// Lags of the fit.
        lags: usize,
        /// Largest coefficient at the last of them, relative to the kernel's largest.
        level: f64,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongPastEnd { from, to, error } => write!(
                f,
                "the closed form is wrong from lag {from} on: up to lag {to} the kernel error is {error:.2e}; \
                 use the reduced method for longer sequences"
            ),
            Self::DecayNotSeparable => f.write_str(
                "the kernel's decay cannot be separated: the closed form's modes do not die out, so errors past its last lag stay for ever",
            ),
            Self::ToleranceNotReached { tolerance, reached, worst, order_given } => {
                write!(
                    f,
                    "kernel error {reached:.2e} (worst channel {worst:.2e}) is above the tolerance {tolerance:.2e}"
                )?;
                if *order_given {
                    f.write_str(" of a search; more states or taps (--order, --fir) may help")
                } else {
                    write!(
                        f,
                        " with up to {MAX_ORDER} states; more of them or more taps (--order, --fir) may help, \
                         or a higher --tolerance"
                    )
                }
            }
            Self::FewerStates { asked, found } => {
                let why = if *found < MOST_STATES {
                    "further ones would be rounding noise"
                } else {
                    "no more are looked for"
                };
                write!(f, "{asked} states were asked for, the kernel has {found}: {why}")
            }
            Self::NoSmallRecurrence { taps, states, reached } => write!(
                f,
                "no small recurrence: up to {states} states are not enough (a search up to {MAX_ORDER} reached {reached:.2e}); \
                 the kernel keeps its first {taps} lags as taps, a multiplication and a number of state each. \
                 A higher --tolerance, or --order and --fir, give something smaller"
            ),
            Self::FarFromBest { ratio } => write!(
                f,
                "the error's peak over frequency is {ratio:.1} times what no recurrence with as many taps and states can beat \
                 (2 is aimed at): of slowly falling kernels that bound is not reached, and another state lowers the peak more"
            ),
            Self::TooFaint { largest } => write!(
                f,
                "the kernel reaches {largest:.1e} at most: models store and compute what is below {FLUSH:.1e} as zero; \
                 scale the kernel up, and what follows it down, for a device"
            ),
            Self::AliveAtEnd { lags, level } => write!(
                f,
                "the kernel is still at {level:.1e} of its peak after the {lags} lags that the fit looks at; \
                 longer lags are extrapolated"
            ),
        }
    }
}
