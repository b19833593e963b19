//! Pathfinder (Linsley et al. 2018) at 32 x 32 pixels, as in the Long Range Arena (Tay et al. 2021): two
//! discs, and the question whether one dashed curve leads from one to the other.
//!
//! A picture holds two long curves and some short ones, the same numbers of dashes whatever its class.
//! The discs stand at both ends of one long curve (class 1) or at one end of each (class 0). Two ends of
//! one curve are nearer or farther than ends of two: so that the distance says nothing, that of an
//! unconnected pair is drawn from the connected ones', and a picture with such a pair is looked for.
//! Curves, their spacing and brightness are this generator's own; the published pictures are made by
//! another program and not contained.

mod geometry;
mod picture;

use super::files::{TokenFile, write_frames};
use super::{Counts, MadeFile, Result, TaskError, Tick, draw_all};
use crate::data::Draw;
use clap::ValueEnum;
use geometry::{Curve, Point, SIDE};
use std::path::Path;

/// Distance in pixels by which an unconnected pair may miss the one that was drawn for it.
const MISS: f64 = 0.5;
/// Dashes of a short curve.
const SHORT: usize = 3;
/// Dashes of a long curve that fit.
const DASHES: std::ops::RangeInclusive<usize> = 3..=12;

/// Names of the classes, by label.
pub const CLASSES: [&str; 2] = ["apart", "connected"];

/// How a picture is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// 1024 tokens, a pixel each: token-classes.
    Tokens,
    /// 1024 frames of one pixel: frames.
    Pixels,
}

/// Which pictures are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pathfinder {
    /// Pictures of each part; every second one is connected.
    pub counts: Counts,
    /// Dashes of a long curve.
    pub dashes: usize,
    /// Whether pictures to train on are of every difficulty up to that of the others, in turn: fewer dashes
    /// of the long curves, fewer short curves. What the easy ones teach, the hard ones alone do not.
    pub graded: bool,
    /// Short curves.
    pub distractors: usize,
    /// How pictures are written.
    pub format: Format,
}

impl Pathfinder {
    /// As many pictures to train on as the Long Range Arena has.
    pub const USUAL: Self = Self {
        counts: Counts {
            train: 160_000,
            valid: 4_000,
            test: 4_000,
        },
        dashes: 9,
        graded: false,
        distractors: 4,
        format: Format::Tokens,
    };

    /// Writes the parts into `folder`.
    ///
    /// # Errors
    /// [`TaskError::Options`]: so much does not fit a picture; files cannot be written.
    pub fn make(&self, folder: &Path, seed: u64, tick: Tick<'_>) -> Result<Vec<MadeFile>> {
        if !DASHES.contains(&self.dashes) || self.distractors > 6 {
            return Err(TaskError::Options(format!(
                "a picture has room for two curves of {} to {} dashes and up to 6 short ones, not for {} \
                 and {}",
                DASHES.start(),
                DASHES.end(),
                self.dashes,
                self.distractors
            )));
        }
        let part = |(part, count)| {
            let clips = draw_all(seed, part, count, tick, |index, draw| {
                let connected = index % 2 == 1;
                let task = match part {
                    "train" if self.graded => self.of_difficulty(index / 2),
                    _ => *self,
                };
                (task.scene(connected, draw).picture(), connected.into())
            });
            self.write(folder, part, &clips)
        };
        self.counts.parts().into_iter().map(part).collect()
    }

    /// The pictures of one difficulty, each in turn.
    fn of_difficulty(&self, turn: usize) -> Self {
        let numbers = self.dashes - DASHES.start() + 1;
        Self {
            dashes: DASHES.start() + turn % numbers,
            distractors: turn / numbers % (self.distractors + 1),
            ..*self
        }
    }

    fn write(&self, folder: &Path, part: &str, clips: &[(Vec<u8>, i32)]) -> Result<MadeFile> {
        let length = SIDE * SIDE;
        match self.format {
            Format::Pixels => write_frames(folder, part, [length, 1], clips),
            Format::Tokens => {
                let padding = 0;
                TokenFile { length, padding }.write(folder, part, clips)
            }
        }
    }

    /// A scene of a class.
    fn scene(&self, connected: bool, draw: &mut Draw) -> Scene {
        let mut scene = self.curves(draw);
        let ends = scene.curves[draw.below(2)].ends();
        if connected {
            scene.discs = ends;
            return scene;
        }
        let wanted = ends[0].distance(ends[1]);
        loop {
            let scene = self.curves(draw);
            let [first, second] = [scene.curves[0].ends(), scene.curves[1].ends()];
            let pairs = first.into_iter().flat_map(|a| second.map(|b| [a, b]));
            let fits = |pair: &[Point; 2]| (pair[0].distance(pair[1]) - wanted).abs() < MISS;
            let pairs: Vec<[Point; 2]> = pairs.filter(fits).collect();
            if !pairs.is_empty() {
                let discs = pairs[draw.below(pairs.len())];
                return Scene { discs, ..scene };
            }
        }
    }

    /// Curves that keep away from one another, the two long ones first.
    fn curves(&self, draw: &mut Draw) -> Scene {
        let dashes = |index| if index < 2 { self.dashes } else { SHORT };
        'again: loop {
            let mut curves: Vec<Curve> = Vec::new();
            for index in 0..2 + self.distractors {
                match Curve::draw(dashes(index), &curves, draw) {
                    Some(curve) => curves.push(curve),
                    None => continue 'again,
                }
            }
            let discs = curves[0].ends();
            return Scene { curves, discs };
        }
    }
}

/// What a picture shows.
struct Scene {
    curves: Vec<Curve>,
    discs: [Point; 2],
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the discs are connected, by what can be seen alone: dashes whose ends nearly meet belong
    /// together, and a disc belongs to the dash that ends nearest to it.
    fn connected(scene: &Scene) -> bool {
        let dashes: Vec<[Point; 2]> = scene.curves.iter().flat_map(Curve::dashes).collect();
        let apart = |a: &[Point; 2], b: &[Point; 2]| {
            let pairs = a.iter().flat_map(|a| b.iter().map(|b| a.distance(*b)));
            pairs.fold(f64::MAX, f64::min)
        };
        let nearest = |disc: Point| {
            let to = |i: &usize| apart(&[disc; 2], &dashes[*i]);
            (0..dashes.len())
                .min_by(|a, b| to(a).total_cmp(&to(b)))
                .unwrap()
        };
        let [start, goal] = scene.discs.map(nearest);
        let (mut seen, mut open) = (vec![false; dashes.len()], vec![start]);
        while let Some(at) = open.pop() {
            if !std::mem::replace(&mut seen[at], true) {
                let meets = |i: &usize| apart(&dashes[at], &dashes[*i]) < 1.6 * geometry::GAP;
                open.extend((0..dashes.len()).filter(meets));
            }
        }
        seen[goal]
    }

    #[test]
    fn every_difficulty_has_its_turn() {
        let task = Pathfinder::USUAL;
        let difficulty = |turn| {
            let task = task.of_difficulty(turn);
            (task.dashes, task.distractors)
        };
        assert_eq!(
            [0, 6, 7, 34].map(difficulty),
            [(3, 0), (9, 0), (3, 1), (9, 4)]
        );
        let all: std::collections::BTreeSet<_> = (0..35).map(difficulty).collect();
        assert_eq!(all.len(), 35);
        assert_eq!(difficulty(35), difficulty(0));
    }

    fn scenes(task: Pathfinder, count: usize) -> Vec<(bool, Scene)> {
        let scene = |index: usize, draw: &mut Draw| {
            let class = index % 2 == 1;
            (class, task.scene(class, draw))
        };
        draw_all(5, "train", count, &|_| (), scene)
    }

    #[test]
    fn discs_are_connected_where_the_label_says_so() {
        for dashes in [5, 9, 12] {
            let task = Pathfinder {
                dashes,
                ..Pathfinder::USUAL
            };
            for (label, scene) in scenes(task, 300) {
                assert_eq!(connected(&scene), label);
                assert_eq!(scene.curves.len(), 6);
            }
        }
    }

    /// Share of right guesses of the best threshold on a number, either way round.
    fn best_guess(mut numbers: Vec<(f64, bool)>) -> f64 {
        numbers.sort_by(|a, b| a.0.total_cmp(&b.0));
        let connected = numbers.iter().filter(|n| n.1).count() as i64;
        let (mut right, mut best) = (connected, connected.max(numbers.len() as i64 - connected));
        for (_, class) in &numbers {
            right += if *class { -1 } else { 1 };
            best = best.max(right).max(numbers.len() as i64 - right);
        }
        best as f64 / numbers.len() as f64
    }

    fn mean(pixels: &[f64]) -> f64 {
        pixels.iter().sum::<f64>() / pixels.len() as f64
    }

    /// A number of a scene and its pixels.
    type Statistic = fn(&Scene, &[f64]) -> f64;

    #[test]
    fn no_single_number_tells_the_classes_apart() {
        let pictures: Vec<(bool, Scene, Vec<f64>)> = scenes(Pathfinder::USUAL, 3000)
            .into_iter()
            .map(|(class, scene)| {
                let pixels = scene.picture().into_iter().map(f64::from).collect();
                (class, scene, pixels)
            })
            .collect();
        let statistics: [(&str, Statistic); 6] = [
            ("distance", |s, _| s.discs[0].distance(s.discs[1])),
            ("ink", |_, p| mean(p)),
            ("bright pixels", |_, p| {
                p.iter().filter(|p| **p > 250.0).count() as f64
            }),
            ("squares", |_, p| p.iter().map(|p| p * p).sum()),
            ("upper half", |_, p| mean(&p[..p.len() / 2])),
            ("middle of the discs", |s, _| {
                let middle = s.discs[0].towards(s.discs[1], 0.5);
                middle.distance(Point { x: 16.0, y: 16.0 })
            }),
        ];
        for (name, statistic) in statistics {
            let number = |(class, scene, pixels): &(bool, Scene, Vec<f64>)| {
                (statistic(scene, pixels), *class)
            };
            let guess = best_guess(pictures.iter().map(number).collect());
            // Of 3000 coins the best of all thresholds is right in up to 53%.
            assert!(guess < 0.56, "{name} tells {guess:.3} of the classes");
        }
        let labels = pictures.iter().map(|p| (f64::from(u8::from(p.0)), p.0));
        assert!(best_guess(labels.collect()) > 0.999);
    }
}
