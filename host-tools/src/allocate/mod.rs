//! How many taps and states each layer gets, and how many bits each matrix: by what they are worth to the
//! network's predictions.
//!
//! A kernel error says little by itself: the same error changes one layer's predictions a hundred times
//! as much as another's. So each layer's reductions ([`frontier`]) are judged by the Kullback-Leibler
//! divergence of the network's next-token distributions from those of the trained network, on a text
//! ([`sensitivity`]), and what all layers lose together is spent where it saves most ([`choose`]).

pub mod choose;
pub mod frontier;
pub mod instructions;
pub mod plan;
pub mod sensitivity;

pub use choose::{Alternative, Cost, Infeasible, Limits};
pub use frontier::{Choice, Frontier};
pub use sensitivity::Sensitivity;
