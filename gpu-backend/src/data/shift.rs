//! Images that are moved a little each time they are trained on.

use super::mix;

/// Moves images by up to so many pixels up, down, left and right, each time elsewhere; what comes in
/// from outside is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shift {
    /// Rows of an image.
    pub rows: usize,
    /// Its columns.
    pub columns: usize,
    /// Pixels that it is moved by at most, below rows and columns.
    pub most: usize,
}

impl Shift {
    /// Moves one image, rows of pixels of any number of values, as `noise` decides.
    pub(super) fn apply(&self, image: &mut [f32], noise: u64) {
        let pixel = image.len() / (self.rows * self.columns);
        let choices = 2 * self.most as u64 + 1;
        let by = |bits: u64| (bits % choices) as isize - self.most as isize;
        let (down, right) = (by(mix(noise) >> 32), by(mix(!noise) >> 32));
        let old = image.to_vec();
        image.fill(0.0);
        for row in 0..self.rows {
            let Some(from) = row.checked_add_signed(-down).filter(|r| *r < self.rows) else {
                continue;
            };
            let width = self.columns - right.unsigned_abs();
            let (left, source) = (right.max(0) as usize, (-right).max(0) as usize);
            let to = (row * self.columns + left) * pixel;
            let from = (from * self.columns + source) * pixel;
            image[to..to + width * pixel].copy_from_slice(&old[from..from + width * pixel]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn images_move_in_every_direction_and_lose_what_leaves_them() {
        let shift = Shift {
            rows: 3,
            columns: 4,
            most: 1,
        };
        // A pixel of two values in the middle, one in a corner.
        let mut image = vec![0.0; 24];
        (image[10], image[11], image[0]) = (1.0, 2.0, 5.0);
        let mut places = BTreeSet::new();
        for noise in 0..100 {
            let mut moved = image.clone();
            shift.apply(&mut moved, noise);
            let at = moved.iter().position(|x| *x == 1.0).unwrap();
            assert_eq!((at % 2, moved[at + 1]), (0, 2.0));
            let (row, column) = (at / 8, at / 2 % 4);
            let corner = row.checked_sub(1).zip(column.checked_sub(1));
            let kept = corner.map(|(row, column)| (row * 4 + column) * 2);
            let fives: Vec<usize> = (0..24).filter(|i| moved[*i] == 5.0).collect();
            assert_eq!(fives, kept.into_iter().collect::<Vec<_>>());
            places.insert((row, column));
        }
        assert_eq!(places.len(), 9);
    }
}
