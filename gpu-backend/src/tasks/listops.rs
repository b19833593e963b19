//! ListOps (Nangia and Bowman 2018) in the long form of the Long Range Arena (Tay et al. 2021).
//!
//! Nested lists of operations on digits, for example `[MAX 2 9 [MIN 4 7 ] 0 ]`; the class is the value.
//! A tree is drawn from the root: up to the greatest depth a node is a list with probability 1/4, else a
//! digit; a list has 2 to 10 arguments and one of four operations, all alike. Trees are drawn until one
//! has as many tokens as asked for. Parentheses of the published files say nothing that the brackets do
//! not and are left out there too before a network reads them.

use super::files::TokenFile;
use super::{Counts, MadeFile, Result, TaskError, Tick, draw_all};
use crate::data::Draw;
use std::path::Path;

/// Symbols: the digits are tokens 0 to 9, then `[MIN`, `[MAX`, `[MED`, `[SM` and `]`.
pub const SYMBOLS: [&str; 15] = [
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "[MIN", "[MAX", "[MED", "[SM", "]",
];
/// Token of the first operation.
const FIRST: u8 = 10;
/// Token of the closing bracket; the next number fills up short rows.
const END: u8 = 14;
/// Probability that a node is a list.
const LIST: f64 = 0.25;
/// Trees that are drawn to see whether there are such as are asked for.
const ODDS: usize = 100_000;

/// Which lists are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListOps {
    /// Lists of each part.
    pub counts: Counts,
    /// Every list has more tokens than this,
    pub min_length: usize,
    /// and fewer than this.
    pub max_length: usize,
    /// Lists inside one another, at most.
    pub max_depth: usize,
    /// Arguments of an operation, at most.
    pub max_args: usize,
}

impl ListOps {
    /// The Long Range Arena's: 500 to 2000 tokens, depth and arguments up to 10.
    pub const PUBLISHED: Self = Self {
        counts: Counts {
            train: 96_000,
            valid: 2_000,
            test: 2_000,
        },
        min_length: 500,
        max_length: 2_000,
        max_depth: 10,
        max_args: 10,
    };

    /// Writes the parts into `folder`.
    ///
    /// # Errors
    /// [`TaskError::Options`] where no tree can have such a length; files cannot be written.
    pub fn make(&self, folder: &Path, seed: u64, tick: Tick<'_>) -> Result<Vec<MadeFile>> {
        self.check()?;
        let file = TokenFile {
            length: self.max_length - 1,
            padding: END + 1,
        };
        let part = |(part, count)| {
            let clips = draw_all(seed, part, count, tick, |_, draw| self.draw(draw));
            file.write(folder, part, &clips)
        };
        self.counts.parts().into_iter().map(part).collect()
    }

    fn check(&self) -> Result<()> {
        let wrong = |problem: String| Err(TaskError::Options(problem));
        let (low, high) = (self.min_length, self.max_length);
        if self.max_args < 2 || self.max_depth < 2 {
            return wrong("lists need a depth and arguments of at least 2".to_owned());
        }
        if high < low + 2 {
            return wrong(format!(
                "no number of tokens is above {low} and below {high}"
            ));
        }
        let largest = (self.max_args as u64).saturating_pow(self.max_depth as u32 - 1);
        if low as u64 >= largest || low > 20_000 {
            return wrong(format!(
                "trees of more than {low} tokens are not drawn with depth {} and {} arguments",
                self.max_depth, self.max_args
            ));
        }
        self.check_odds()
    }

    /// Refuses lengths that next to no tree has: drawing such trees would take for ever.
    fn check_odds(&self) -> Result<()> {
        let mut draw = Draw::of(0, "odds", 0);
        let mut tokens = Vec::with_capacity(self.max_length);
        let found = (0..ODDS).any(|_| self.attempt(&mut tokens, &mut draw).is_some());
        if found {
            return Ok(());
        }
        Err(TaskError::Options(format!(
            "of {ODDS} trees of depth {} with up to {} arguments none has more than {} and fewer than {} tokens: allow \
             other lengths, more depth or arguments",
            self.max_depth, self.max_args, self.min_length, self.max_length
        )))
    }

    /// A tree, if it has the length that is asked for.
    fn attempt(&self, tokens: &mut Vec<u8>, draw: &mut Draw) -> Option<u8> {
        tokens.clear();
        let value = self.node(1, tokens, draw);
        value.filter(|_| tokens.len() > self.min_length)
    }

    /// A list and its value.
    fn draw(&self, draw: &mut Draw) -> (Vec<u8>, i32) {
        let mut tokens = Vec::with_capacity(self.max_length);
        loop {
            if let Some(value) = self.attempt(&mut tokens, draw) {
                return (tokens, value.into());
            }
        }
    }

    /// Appends a tree and gives its value; `None` as soon as it is too long.
    fn node(&self, depth: usize, tokens: &mut Vec<u8>, draw: &mut Draw) -> Option<u8> {
        if tokens.len() + 1 >= self.max_length {
            return None;
        }
        if depth == self.max_depth || draw.unit() >= LIST {
            let value = draw.below(10) as u8;
            tokens.push(value);
            return Some(value);
        }
        let operation = draw.below(4) as u8;
        tokens.push(FIRST + operation);
        let count = 2 + draw.below(self.max_args - 1);
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            values.push(self.node(depth + 1, tokens, draw)?);
        }
        tokens.push(END);
        (tokens.len() < self.max_length).then(|| apply(operation, &mut values))
    }
}

/// MIN, MAX, MED (of an even number the mean of the middle two, rounded down) or SM (the sum modulo 10).
fn apply(operation: u8, values: &mut [u8]) -> u8 {
    values.sort_unstable();
    let last = values.len() - 1;
    match operation {
        0 => values[0],
        1 => values[last],
        2 => (values[last / 2] + values[last.div_ceil(2)]) / 2,
        _ => values.iter().fold(0, |sum, value| (sum + value) % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<u8> {
        let token = |word| SYMBOLS.iter().position(|s| *s == word).unwrap() as u8;
        text.split(' ').map(token).collect()
    }

    /// The value of a text of symbols, by a stack: nothing in common with how it was made.
    fn value(tokens: &[u8]) -> i32 {
        let mut stack: Vec<Vec<i32>> = vec![Vec::new()];
        let mut operations = Vec::new();
        for &token in tokens {
            match SYMBOLS[token as usize] {
                "]" => {
                    let mut values = stack.pop().unwrap();
                    values.sort();
                    let middle = values.len() / 2;
                    let value = match operations.pop().unwrap() {
                        "[MIN" => values[0],
                        "[MAX" => values[values.len() - 1],
                        "[SM" => values.iter().sum::<i32>() % 10,
                        _ if values.len() % 2 == 1 => values[middle],
                        _ => (values[middle - 1] + values[middle]) / 2,
                    };
                    stack.last_mut().unwrap().push(value);
                }
                digit if token < FIRST => stack.last_mut().unwrap().push(digit.parse().unwrap()),
                operation => {
                    operations.push(operation);
                    stack.push(Vec::new());
                }
            }
        }
        assert!(operations.is_empty() && stack.len() == 1 && stack[0].len() == 1);
        stack[0][0]
    }

    #[test]
    fn what_is_never_drawn_is_refused() {
        let refused = |max_depth, min_length| {
            let task = ListOps {
                max_depth,
                min_length,
                ..ListOps::PUBLISHED
            };
            task.check().is_err()
        };
        assert!(refused(4, 900) && refused(3, 99));
        assert!(!refused(10, 500) && !refused(3, 10));
    }

    #[test]
    fn the_reader_of_the_tests_knows_the_published_example() {
        // Nangia and Bowman 2018, figure 1.
        let text = "[MAX 2 9 [MIN 4 7 ] 0 ]";
        assert_eq!(value(&tokens(text)), 9);
        assert_eq!(value(&tokens("[MED 1 2 8 9 ]")), 5);
        assert_eq!(value(&tokens("[SM 5 8 [MED 3 4 ] ]")), 6);
    }

    #[test]
    fn values_are_those_of_the_lists_and_lengths_those_asked_for() {
        let task = ListOps {
            min_length: 50,
            max_length: 300,
            ..ListOps::PUBLISHED
        };
        let mut classes = [0; 10];
        let mut operations = [0; 4];
        for (index, (clip, label)) in draw_all(3, "train", 2000, &|_| (), |_, draw| task.draw(draw))
            .iter()
            .enumerate()
        {
            assert!((51..300).contains(&clip.len()), "{index}: {}", clip.len());
            assert_eq!(value(clip), *label, "{index}");
            classes[*label as usize] += 1;
            let used = clip.iter().filter(|t| (FIRST..END).contains(t));
            used.for_each(|t| operations[(t - FIRST) as usize] += 1);
        }
        assert!(classes.iter().all(|c| *c > 60), "{classes:?}");
        let all: i32 = operations.iter().sum();
        assert!(
            operations.iter().all(|o| (all / 5..all / 3).contains(o)),
            "{operations:?}"
        );
    }

    #[test]
    fn lengths_that_no_list_has_are_refused() {
        for (min_length, max_length, max_depth) in [(500, 501, 10), (500, 2000, 2), (9, 20, 1)] {
            let task = ListOps {
                min_length,
                max_length,
                max_depth,
                ..ListOps::PUBLISHED
            };
            let dir = tempfile::tempdir().unwrap();
            let error = task.make(dir.path(), 1, &|_| ()).unwrap_err();
            assert!(error.is_usage(), "{error}");
        }
    }
}
