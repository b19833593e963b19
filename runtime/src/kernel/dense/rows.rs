//! Row-major bytes.

/// `sum x y` in i32, which at most [`MAX_COLUMNS`](crate::format::MAX_COLUMNS) columns cannot overflow.
#[inline]
pub fn dot_i8(x: &[i8], y: &[i8]) -> i32 {
    x.iter().zip(y).fold(0i32, |sum, (x, y)| {
        sum.wrapping_add(i32::from(*x) * i32::from(*y))
    })
}

/// The sums of all rows of `weights`, each as long as `q`.
pub fn product(weights: &[i8], q: &[i8], sums: &mut [i32]) {
    if q.is_empty() {
        return; // never: dimensions are checked; it tells the compiler that chunks have a size
    }
    for (row, sum) in weights.chunks_exact(q.len()).zip(sums) {
        *sum = dot_i8(row, q);
    }
}
