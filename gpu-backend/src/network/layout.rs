//! Where each parameter lies in the one buffer of parameters.
//!
//! Three segments follow each other: parameters with weight decay (matrices, and the RPE networks
//! whole, whose maps are stored with their biases), parameters without (biases, norms), and decay
//! rates, which are not trained. Within a segment, tensors that one operation reads together stand
//! together (`u_proj` before `v_proj`, `l1` before `l2`); such groups start at multiples of
//! [`ALIGN`] elements, as matrix products ask for.

use super::NetworkError;
use std::collections::BTreeMap;
use std::ops::Range;
use toeplite_checkpoint::{Checkpoint, Config, expected_tensors};

/// Groups start at multiples of so many elements: 16 bytes of bf16.
const ALIGN: usize = 8;

/// Offsets and shapes of all parameters by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    tensors: BTreeMap<String, Tensor>,
    decayed: usize,
    trained: usize,
    len: usize,
}

/// One parameter tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Offset of the first element.
    pub at: usize,
    /// Sizes of its dimensions.
    pub shape: Vec<usize>,
}

impl Tensor {
    /// Where its elements lie.
    pub fn range(&self) -> Range<usize> {
        self.at..self.at + self.shape.iter().product::<usize>()
    }
}

/// What a group starts with; all else continues the group before it.
fn starts_group(name: &str) -> bool {
    const FOLLOWERS: [&str; 4] = ["v_proj.weight", "v_proj.bias", "l2.weight", "l2.bias"];
    let follows = FOLLOWERS.iter().any(|end| name.ends_with(end))
        || (name.ends_with(".bias") && (name.contains(".rpe.") || name.contains("norm.")));
    !follows
}

impl Layout {
    /// The layout of `config`'s tensors; `config` must be valid.
    pub fn new(config: &Config) -> Self {
        let mut layout = Self {
            tensors: BTreeMap::new(),
            decayed: 0,
            trained: 0,
            len: 0,
        };
        let expected = expected_tensors(config);
        for segment in [Segment::Decayed, Segment::Plain, Segment::Fixed] {
            for (name, shape) in &expected {
                if Segment::of(name, shape) == segment {
                    layout.push(name, shape);
                }
            }
            layout.len = layout.len.next_multiple_of(ALIGN);
            match segment {
                Segment::Decayed => layout.decayed = layout.len,
                Segment::Plain => layout.trained = layout.len,
                Segment::Fixed => {}
            }
        }
        layout
    }

    fn push(&mut self, name: &str, shape: &[usize]) {
        if starts_group(name) {
            self.len = self.len.next_multiple_of(ALIGN);
        }
        let tensor = Tensor {
            at: self.len,
            shape: shape.to_vec(),
        };
        self.len = tensor.range().end;
        self.tensors.insert(name.to_owned(), tensor);
    }

    /// Elements of the whole buffer, gaps included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no parameters.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Parameters with weight decay.
    pub fn decayed(&self) -> Range<usize> {
        0..self.decayed
    }

    /// Trained parameters without weight decay.
    pub fn plain(&self) -> Range<usize> {
        self.decayed..self.trained
    }

    /// All trained parameters.
    pub fn trained(&self) -> Range<usize> {
        0..self.trained
    }

    /// The parameters with weight decay that belong to one layer (they lie together).
    pub fn layer(&self, index: usize) -> Range<usize> {
        let prefix = format!("layers.{index}.");
        let of_layer = self.tensors.iter().filter(|(name, tensor)| {
            name.starts_with(&prefix) && self.decayed().contains(&tensor.at)
        });
        let ranges = of_layer.map(|(_, tensor)| tensor.range());
        ranges
            .reduce(|all, range| all.start.min(range.start)..all.end.max(range.end))
            .unwrap_or(0..0)
    }

    /// A checkpoint's parameters in this order.
    ///
    /// # Errors
    /// [`NetworkError::Tensor`] names one that is missing or of another shape.
    pub fn values_of(&self, checkpoint: &Checkpoint) -> Result<Vec<f32>, NetworkError> {
        let mut values = vec![0.0; self.len];
        for (name, tensor) in &self.tensors {
            let stored = checkpoint.tensors.get(name);
            let stored = stored.filter(|stored| stored.shape() == tensor.shape);
            let stored = stored.ok_or_else(|| NetworkError::Tensor { name: name.clone() })?;
            let to = values[tensor.range()].iter_mut();
            to.zip(stored).for_each(|(to, from)| *to = *from);
        }
        Ok(values)
    }

    /// All tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, Tensor> {
        &self.tensors
    }

    /// Offset of a tensor, if the network has it.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.tensors.get(name).map(|tensor| tensor.at)
    }

    /// Offset of a tensor that every network of this layout's options has.
    ///
    /// # Panics
    /// There is no such tensor: the caller and [`expected_tensors`] disagree.
    pub(super) fn at(&self, name: &str) -> usize {
        self.find(name)
            .unwrap_or_else(|| panic!("no parameter {name}"))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Segment {
    Decayed,
    Plain,
    Fixed,
}

impl Segment {
    fn of(name: &str, shape: &[usize]) -> Self {
        if name.ends_with(".gamma") {
            Self::Fixed
        } else if name.contains(".rpe.") || shape.len() > 1 {
            Self::Decayed
        } else {
            Self::Plain
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::testing::config;

    #[test]
    fn tensors_do_not_overlap_and_pairs_stand_together() {
        let layout = Layout::new(&config());
        let mut ranges: Vec<_> = layout.tensors().values().map(Tensor::range).collect();
        ranges.sort_by_key(|range| range.start);
        assert!(ranges.windows(2).all(|w| w[0].end <= w[1].start));
        assert!(ranges.last().unwrap().end <= layout.len());
        for (first, second) in [("u_proj", "v_proj")] {
            for part in ["weight", "bias"] {
                let name = |map| format!("layers.1.token_mixer.{map}.{part}");
                let first = &layout.tensors()[&name(first)];
                assert_eq!(first.range().end, layout.at(&name(second)));
                assert_eq!(first.at % ALIGN, 0);
            }
        }
        let map = &layout.tensors()["layers.0.token_mixer.toep.rpe.out.2.weight"];
        assert_eq!(
            map.range().end,
            layout.at("layers.0.token_mixer.toep.rpe.out.2.bias")
        );
    }

    #[test]
    fn parameters_of_a_layer_lie_together() {
        let layout = Layout::new(&config());
        let (first, second) = (layout.layer(0), layout.layer(1));
        assert!(layout.at("embed.weight") < first.start && first.end <= second.start);
        for (name, tensor) in layout.tensors() {
            let inside = first.contains(&tensor.at);
            let expected = name.starts_with("layers.0.") && layout.decayed().contains(&tensor.at);
            assert_eq!(inside, expected, "{name}");
        }
    }

    #[test]
    fn biases_and_norms_do_not_decay_and_gamma_is_not_trained() {
        let layout = Layout::new(&config());
        assert!(layout.plain().contains(&layout.at("final_norm.bias")));
        assert!(layout.decayed().contains(&layout.at("embed.weight")));
        let gamma = layout.at("layers.0.token_mixer.toep.gamma");
        assert!(!layout.trained().contains(&gamma));
    }
}
