//! Kernels along the columns of images.

/// `to[step i] = from[i]`, zeros between.
pub fn spread(from: &[f32], to: &mut [f32]) {
    to.fill(0.0);
    let step = step(from.len(), to.len());
    let places = to.iter_mut().step_by(step);
    places.zip(from).for_each(|(to, from)| *to = *from);
}

/// `to[i] = from[step i]`.
pub fn gather(from: &[f32], to: &mut [f32]) {
    let step = step(to.len(), from.len());
    let places = from.iter().step_by(step);
    places.zip(to).for_each(|(from, to)| *to = *from);
}

/// How many times as long the long buffer is.
fn step(short: usize, long: usize) -> usize {
    assert!(
        long.is_multiple_of(short),
        "a whole number of times as long"
    );
    long / short
}
