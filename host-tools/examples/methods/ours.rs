//! What `toeplite convert` does, and its steps by themselves.

use super::method::{Fit, Method, Size};
use super::problem::Problem;
use anyhow::Result;
use num_complex::Complex64;
use std::time::Instant;
use toeplite_tools::convert::Search;
use toeplite_tools::convert::reduced::{Reduction, Window};

/// All of it: balanced truncation of the sampled Hankel matrix, refined poles, residues levelled
/// over frequency, poles optimal in the Hankel norm where that is not enough.
pub const LEVELLED: Method = Method {
    name: "toeplite",
    fit: levelled,
};

/// Balanced poles with least squares residues.
pub const BALANCED: Method = Method {
    name: "- balanced truncation only",
    fit: |problem, size| truncated(problem, size, |_, poles| Ok(poles)),
};

/// Poles refined by Gauss-Newton, with least squares residues.
pub const REFINED: Method = Method {
    name: "- then Gauss-Newton on the poles",
    fit: |problem, size| {
        truncated(problem, size, |reduction, poles| {
            Ok(reduction.refine(&poles)?.0)
        })
    },
};

fn levelled(problem: &Problem, size: Size) -> Result<Fit> {
    let start = Instant::now();
    let search = Search {
        taps: Some(size.taps),
        order: Some(size.order),
        ..Search::default()
    };
    let found = search.run(problem.kernel.view(), problem.kernel.view())?;
    Ok(Fit::shared(found.modal, start))
}

/// Balanced poles, changed by `improve`, with least squares residues.
pub fn truncated(
    problem: &Problem,
    size: Size,
    improve: impl Fn(&Reduction, Vec<Complex64>) -> Result<Vec<Complex64>>,
) -> Result<Fit> {
    let start = Instant::now();
    let window = Window::new(problem.kernel.view())?;
    let reduction = Reduction::new(&window, size.taps, size.order)?;
    let (poles, _) = reduction.truncate(size.order)?;
    let modal = reduction.modal(&improve(&reduction, poles)?)?;
    Ok(Fit::shared(modal, start))
}
