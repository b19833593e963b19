//! Integer matrices in the order that a target's kernels read.

use toeplite::format::WeightOrder;
use toeplite::kernel::dense::dual;

/// The bytes of a row-major matrix of `columns` in `order`.
pub fn pack(order: WeightOrder, integers: &[i8], columns: usize) -> Vec<u8> {
    match order {
        WeightOrder::Portable => integers.iter().map(|w| w.cast_unsigned()).collect(),
        WeightOrder::Dual => dual_lanes(integers, columns)
            .into_iter()
            .flat_map(i16::to_le_bytes)
            .collect(),
    }
}

fn dual_lanes(integers: &[i8], columns: usize) -> Vec<i16> {
    let rows = integers.len() / columns;
    let mut lanes = vec![0; WeightOrder::Dual.bytes(rows, columns) / 2];
    for (row, integers) in integers.chunks_exact(columns).enumerate() {
        for (column, &weight) in integers.iter().enumerate() {
            let (lane, is_a) = dual::place(row, column, columns);
            let [a, b] = if is_a { [weight, 0] } else { [0, weight] };
            lanes[lane] += dual::lane(a, b);
        }
    }
    lanes
}
