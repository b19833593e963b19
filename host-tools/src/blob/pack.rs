//! Integer matrices in the order that a target's kernels read.

use crate::quantize::{QuantizedGroups, QuantizedRows};
use toeplite::format::Packing;
use toeplite::kernel::dense::{dual, int4};

/// The bytes of an int8 matrix of `columns` as `packing` lays them.
pub fn pack_int8(packing: Packing, matrix: &QuantizedRows, columns: usize) -> Vec<u8> {
    let integers = &matrix.integers;
    match packing {
        Packing::Dual => dual_lanes(integers, columns)
            .into_iter()
            .flat_map(i16::to_le_bytes)
            .collect(),
        _ => integers.iter().map(|w| w.cast_unsigned()).collect(),
    }
}

fn dual_lanes(integers: &[i8], columns: usize) -> Vec<i16> {
    let rows = integers.len() / columns;
    let mut lanes = vec![0; Packing::Dual.bytes(rows, columns) / 2];
    for (row, integers) in integers.chunks_exact(columns).enumerate() {
        for (column, &weight) in integers.iter().enumerate() {
            let (lane, is_a) = dual::place(row, column, columns);
            let [a, b] = if is_a { [weight, 0] } else { [0, weight] };
            lanes[lane] += dual::lane(a, b);
        }
    }
    lanes
}

/// The bytes of an int4 matrix of `columns` as `packing` lays them.
pub fn pack_int4(packing: Packing, matrix: &QuantizedGroups, columns: usize) -> Vec<u8> {
    let rows = matrix.integers.len() / columns;
    let groups = columns.div_ceil(int4::COLUMNS);
    let mut words = vec![0u32; packing.bytes(rows, columns) / 4];
    for (i, chunk) in words
        .as_chunks_mut::<{ int4::WORDS }>()
        .0
        .iter_mut()
        .enumerate()
    {
        let (first, group) = (i / groups * int4::ROWS, i % groups);
        for row in first..first + int4::ROWS {
            if row < rows {
                let scale = u32::from(matrix.group_scales[row * groups + group]);
                chunk[0] |= scale << (8 * (row % int4::ROWS));
            }
            for column in group * int4::COLUMNS..(group + 1) * int4::COLUMNS {
                let inside = row < rows && column < columns;
                let weight = if inside {
                    matrix.integers[row * columns + column]
                } else {
                    0
                };
                let (word, shift) = int4::place(packing, row, column);
                chunk[word] |= int4::nibble(packing, row, weight) << shift;
            }
        }
    }
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}
