//! Tensors as torch describes them in a pickle.
//!
//! `torch._utils._rebuild_tensor_v2(storage, offset, shape, strides, ...)`, where the storage is
//! stored outside the pickle and described by `("storage", torch.FloatStorage, key, device, count)`.

use super::super::dtype::StoredType;
use super::super::tensors::Listed;
use super::error::TensorError;
use super::pickle::{Node, Value};

/// Where a tensor's numbers stand.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tensor {
    /// Name of the storage in the archive.
    pub key: String,
    /// Numbers in the storage.
    pub count: usize,
    /// Number format, or the storage class's name if it does not convert.
    pub stored: Result<StoredType, String>,
    /// First number used.
    pub offset: usize,
    /// Dimensions.
    pub shape: Vec<usize>,
    /// Distance of neighbours along each dimension, in numbers.
    pub strides: Vec<usize>,
}

impl Tensor {
    /// Interprets a value as a tensor or a parameter and checks that it lies within its storage.
    pub fn from_node(node: Node) -> Result<Self, TensorError> {
        let not_a_tensor = || TensorError::NotATensor(node.describe());
        let (function, args) = node.call().ok_or_else(not_a_tensor)?;
        let mut args = args.elements().ok_or_else(not_a_tensor)?;
        match function {
            ("torch._utils", "_rebuild_tensor_v2") => Self::from_args(args),
            // The data come first. Parameters hold tensors, not parameters: no recursion.
            ("torch._utils", "_rebuild_parameter") => {
                let data = args.next().ok_or_else(not_a_tensor)?;
                match data.call() {
                    Some((("torch._utils", "_rebuild_tensor_v2"), args)) => {
                        Self::from_args(args.elements().ok_or_else(not_a_tensor)?)
                    }
                    _ => Err(TensorError::NotATensor(data.describe())),
                }
            }
            _ => Err(not_a_tensor()),
        }
    }

    fn from_args<'a>(mut args: impl Iterator<Item = Node<'a>>) -> Result<Self, TensorError> {
        let mut next = |part| {
            let found = || "missing".to_owned();
            args.next().ok_or_else(|| TensorError::Part {
                part,
                found: found(),
            })
        };
        let storage = next("storage")?;
        let tensor = Self {
            offset: size(next("offset")?, "offset")?,
            shape: sizes(next("shape")?, "shape")?,
            strides: sizes(next("strides")?, "strides")?,
            ..Self::from_storage(storage)?
        };
        tensor.check_layout()?;
        Ok(tensor)
    }

    /// All but the layout.
    fn from_storage(node: Node) -> Result<Self, TensorError> {
        let wrong = |node: Node| TensorError::Part {
            part: "storage",
            found: node.describe(),
        };
        let description = node.persistent().ok_or_else(|| wrong(node))?;
        let parts: Vec<Node> = description.elements().ok_or_else(|| wrong(node))?.collect();
        let [tag, class, key, _device, count, ..] = parts[..] else {
            return Err(wrong(description));
        };
        if tag.str() != Some("storage") {
            return Err(wrong(tag));
        }
        Ok(Self {
            key: key.str().ok_or_else(|| wrong(key))?.to_owned(),
            count: size(count, "storage size")?,
            stored: stored_type(class.global().ok_or_else(|| wrong(class))?),
            offset: 0,
            shape: Vec::new(),
            strides: Vec::new(),
        })
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product() // checked by `check_layout`
    }

    /// Bytes of the storage; `None` if it is more than there can be.
    pub fn storage_bytes(&self) -> Option<u64> {
        let stored = self.stored.as_ref().ok()?;
        (self.count as u64).checked_mul(stored.bytes() as u64)
    }

    pub fn listed(&self) -> Listed {
        Listed {
            shape: self.shape.clone(),
            stored: self.stored.clone(),
        }
    }

    /// Every element lies in the storage, and there are no more of them than stored numbers. (torch
    /// also knows tensors that repeat stored numbers; no parameter is one, and refusing them bounds
    /// memory by the size of the file.)
    fn check_layout(&self) -> Result<(), TensorError> {
        let good = || {
            if self.shape.len() != self.strides.len() {
                return None;
            }
            let product = |n: usize, &size: &usize| n.checked_mul(size);
            // Multiplied without the zeros: the others must not overflow either.
            let sizes = self.shape.iter().filter(|&&size| size > 0);
            let len = sizes.clone().try_fold(1, product)?;
            if self.shape.contains(&0) {
                return (self.offset <= self.count).then_some(());
            }
            let mut last = self.offset;
            for (&size, &stride) in self.shape.iter().zip(&self.strides) {
                last = last.checked_add((size - 1).checked_mul(stride)?)?;
            }
            (last < self.count && len <= self.count).then_some(())
        };
        good().ok_or_else(|| TensorError::Layout {
            shape: self.shape.clone(),
            strides: self.strides.clone(),
            offset: self.offset,
            storage: self.count,
        })
    }

    /// The numbers in row-major order, out of all numbers of the storage.
    pub fn gather(&self, storage: &[f32]) -> Vec<f32> {
        let mut out = Vec::with_capacity(self.len());
        if self.len() == 0 {
            return out;
        }
        let mut index = vec![0; self.shape.len()];
        let mut at = self.offset;
        loop {
            out.push(storage[at]);
            // Odometer: the last dimension runs fastest.
            let mut axis = self.shape.len();
            loop {
                let Some(previous) = axis.checked_sub(1) else {
                    return out;
                };
                axis = previous;
                index[axis] += 1;
                // Wrapping: the stride of a dimension of one element may be anything.
                at = at.wrapping_add(self.strides[axis]);
                if index[axis] < self.shape[axis] {
                    break;
                }
                at = at.wrapping_sub(self.strides[axis].wrapping_mul(self.shape[axis]));
                index[axis] = 0;
            }
        }
    }
}

fn size(node: Node, part: &'static str) -> Result<usize, TensorError> {
    node.int()
        .and_then(|int| usize::try_from(int).ok())
        .ok_or_else(|| TensorError::Part {
            part,
            found: node.describe(),
        })
}

fn sizes(node: Node, part: &'static str) -> Result<Vec<usize>, TensorError> {
    let found = || TensorError::Part {
        part,
        found: node.describe(),
    };
    // A torch.Size is pickled as itself or as a tuple.
    let node = match node.value() {
        Value::Object(_) => match node.call() {
            Some((("torch", "Size"), args)) => args
                .elements()
                .and_then(|mut a| a.next())
                .ok_or_else(found)?,
            _ => return Err(found()),
        },
        _ => node,
    };
    node.elements()
        .ok_or_else(found)?
        .map(|element| size(element, part))
        .collect()
}

fn stored_type(class: (&str, &str)) -> Result<StoredType, String> {
    match class {
        ("torch", "FloatStorage") => Ok(StoredType::F32),
        ("torch", "HalfStorage") => Ok(StoredType::F16),
        ("torch", "BFloat16Storage") => Ok(StoredType::Bf16),
        ("torch", "DoubleStorage") => Ok(StoredType::F64),
        (module, name) => Err(format!("{module}.{name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tensor(count: usize, offset: usize, shape: &[usize], strides: &[usize]) -> Tensor {
        Tensor {
            key: String::new(),
            count,
            stored: Ok(StoredType::F32),
            offset,
            shape: shape.to_vec(),
            strides: strides.to_vec(),
        }
    }

    #[test]
    fn a_transposed_slice_is_put_in_order() {
        let storage: Vec<f32> = (0..12u8).map(f32::from).collect();
        // Rows 1.. of a 4 x 3 matrix, transposed.
        let view = tensor(12, 3, &[3, 3], &[1, 3]);
        view.check_layout().unwrap();
        assert_eq!(
            view.gather(&storage),
            [3., 6., 9., 4., 7., 10., 5., 8., 11.]
        );
        assert_eq!(tensor(12, 11, &[], &[]).gather(&storage), [11.]);
        assert_eq!(
            tensor(12, 7, &[1, 2], &[usize::MAX, 4]).gather(&storage),
            [7., 11.]
        );
        assert!(tensor(12, 12, &[0, 5], &[5, 1]).gather(&storage).is_empty());
    }

    #[test]
    fn layouts_beyond_the_storage_are_refused() {
        for (offset, shape, strides) in [
            (1, &[12usize][..], &[1usize][..]),
            (0, &[4, 4], &[3, 1]),
            (0, &[1 << 40], &[0]),
            (0, &[1 << 40, 1 << 40], &[0, 0]),
            (usize::MAX, &[2], &[1]),
            (0, &[3], &[usize::MAX]),
            (0, &[0, usize::MAX, 3], &[1, 1, 1]),
            (0, &[2, 2], &[1]),
            (12, &[], &[]),
        ] {
            let view = tensor(12, offset, shape, strides);
            assert!(
                matches!(view.check_layout(), Err(TensorError::Layout { .. })),
                "{view:?}"
            );
        }
    }

    proptest! {
        /// Whatever layout passes the check stays inside the storage.
        #[test]
        fn checked_layouts_can_be_gathered(
            offset in 0usize..20,
            dims in prop::collection::vec((0usize..5, 0usize..8), 0..4),
        ) {
            let (shape, strides): (Vec<_>, Vec<_>) = dims.into_iter().unzip();
            let view = tensor(24, offset, &shape, &strides);
            if view.check_layout().is_ok() {
                prop_assert_eq!(view.gather(&[1.0; 24]).len(), view.len());
            }
        }
    }
}
