//! Token identities, and the table of the embedding.

use super::{arguments, expect};
use crate::device::cuda::Cuda;
use crate::device::cuda::machine::Address;
use crate::device::cuda::memory::{Act, F32, Ids};
use crate::device::{DeviceError, IGNORE, Result};

/// Positions that one block sums: `SEGMENT` of embed.cu.
const SEGMENT: usize = 32;

impl Cuda {
    pub(in crate::device::cuda) fn run_write_ids(
        &self,
        ids: &mut Ids,
        values: &[u32],
    ) -> Result<()> {
        assert_eq!(values.len(), ids.len, "all identities are replaced at once");
        known(values, ids.vocabulary)?;
        let order = if ids.ordered {
            sorted(values, ids.vocabulary)
        } else {
            Vec::new()
        };
        let words = values.iter().chain(&order);
        let bytes: Vec<u8> = words.flat_map(|word| word.to_le_bytes()).collect();
        // SAFETY: the buffer holds a word for each identity, two where they are ordered.
        unsafe { self.machine().write(ids.ids(), &bytes) }
            .map_err(|fault| self.failed("write_ids", fault))
    }

    pub(in crate::device::cuda) fn run_embed(
        &self,
        ids: &Ids,
        table: &Act,
        table_at: usize,
        scale: f32,
        x: &mut Act,
    ) -> Result<()> {
        let width = x.len() / ids.len;
        expect("table", table.len(), table_at + ids.vocabulary * width);
        let addresses = [table.address(table_at), x.address(0)];
        let (variant, vector) = self.variant(width, &addresses);
        self.launch(
            "embed",
            &format!("embed_{variant}"),
            [x.len().div_ceil(256 * vector), 1, 1],
            (256, 0),
            arguments![
                ids.ids(),
                table.address(table_at),
                x.address(0),
                ids.len as i32,
                width as i32,
                scale
            ],
        )
    }

    pub(in crate::device::cuda) fn run_embed_backward(
        &self,
        ids: &Ids,
        dx: &Act,
        scale: f32,
        gradients: &mut F32,
        table_at: usize,
    ) -> Result<()> {
        let (tokens, width) = (ids.len, dx.len() / ids.len);
        expect(
            "gradients",
            gradients.len(),
            table_at + ids.vocabulary * width,
        );
        let segments = tokens.div_ceil(SEGMENT);
        assert!(ids.ordered, "targets have no embedding");
        let partials = self.scratch(segments * 2 * width * 4)?;
        let to: Address = gradients.address(table_at);
        let (variant, vector) = self.variant(width, &[dx.address(0)]);
        let threads = width.div_ceil(vector).next_multiple_of(32).min(128);
        self.launch(
            "embed_backward",
            &format!("embed_backward_{variant}"),
            [width.div_ceil(threads * vector), segments, 1],
            (threads, 0),
            arguments![
                ids.ids(),
                ids.order(),
                dx.address(0),
                to,
                partials,
                tokens as i32,
                width as i32,
                scale
            ],
        )?;
        self.launch(
            "embed_backward",
            "embed_runs",
            [width.div_ceil(128), segments, 1],
            (128, 0),
            arguments![
                ids.ids(),
                ids.order(),
                to,
                partials,
                tokens as i32,
                width as i32
            ],
        )
    }
}

/// The positions sorted by identity, those of one in order, targets that do not count last.
fn sorted(values: &[u32], vocabulary: usize) -> Vec<u32> {
    let slot = |value: u32| match value {
        IGNORE => vocabulary,
        value => value as usize,
    };
    let mut next = vec![0u32; vocabulary + 2];
    for &token in values {
        next[slot(token) + 1] += 1;
    }
    for i in 1..next.len() {
        next[i] += next[i - 1];
    }
    let mut order = vec![0u32; values.len()];
    for (position, &token) in values.iter().enumerate() {
        let at = &mut next[slot(token)];
        order[*at as usize] = position as u32;
        *at += 1;
    }
    order
}

/// Refuses what the vocabulary does not have.
fn known(values: &[u32], vocabulary: usize) -> Result<()> {
    let unknown = |token: u32| token != IGNORE && token as usize >= vocabulary;
    match values.iter().position(|&token| unknown(token)) {
        None => Ok(()),
        Some(position) => Err(DeviceError::UnknownToken {
            token: values[position],
            position,
            vocabulary,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::{IGNORE, known, sorted};

    #[test]
    fn positions_are_sorted_by_identity_and_order() {
        let order = sorted(&[2, 0, IGNORE, 2, 1, 0], 3);
        assert_eq!(order, [1, 5, 4, 0, 3, 2]);
        assert!(known(&[0, IGNORE, 2], 3).is_ok());
        assert!(known(&[0, 3], 3).is_err());
    }
}
