//! Element by element: four at a time, so that a loop's own instructions are few where the compiler
//! optimizes for size.

/// Elements of a turn.
const TURN: usize = 4;

/// `x <- f(x)`.
#[inline(always)]
pub fn map(x: &mut [f32], f: impl Fn(f32) -> f32) {
    let (turns, rest) = x.as_chunks_mut::<TURN>();
    for [a, b, c, d] in turns {
        (*a, *b, *c, *d) = (f(*a), f(*b), f(*c), f(*d));
    }
    rest.iter_mut().for_each(|x| *x = f(*x));
}

/// `x <- f(x, y)`, for as many elements as both have.
#[inline(always)]
pub fn zip(x: &mut [f32], y: &[f32], f: impl Fn(f32, f32) -> f32) {
    let length = x.len().min(y.len());
    let (turns, rest) = x
        .get_mut(..length)
        .unwrap_or_default()
        .as_chunks_mut::<TURN>();
    let (y_turns, y_rest) = y.get(..length).unwrap_or_default().as_chunks::<TURN>();
    for ([a, b, c, d], [p, q, r, s]) in turns.iter_mut().zip(y_turns) {
        (*a, *b, *c, *d) = (f(*a, *p), f(*b, *q), f(*c, *r), f(*d, *s));
    }
    rest.iter_mut()
        .zip(y_rest)
        .for_each(|(x, y)| *x = f(*x, *y));
}

/// `x <- x y`.
#[inline(never)]
pub fn multiply(x: &mut [f32], y: &[f32]) {
    zip(x, y, |x, y| x * y);
}

/// `x <- x + y`.
#[inline(never)]
pub fn add(x: &mut [f32], y: &[f32]) {
    zip(x, y, |x, y| x + y);
}

/// `x <- factor x`.
#[inline(never)]
pub fn scale(x: &mut [f32], factor: f32) {
    map(x, |x| x * factor);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_whole() {
        for n in 0..11 {
            let mut x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0];
            let y = [2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 3.0];
            multiply(&mut x[..n.min(10)], &y);
            add(&mut x[..n.min(10)], &y);
            scale(&mut x[..n.min(10)], 0.5);
            for (i, x) in x.iter().enumerate() {
                let was = (i + 1) as f32;
                assert_eq!(*x, if i < n { was + 1.0 } else { was });
            }
        }
    }
}
