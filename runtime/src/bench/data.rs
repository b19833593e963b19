//! Numbers that the cases run on: tables made when the crate is compiled.

use super::{CHANNELS, INT4, state_words};
use crate::format::LANES;
use crate::kernel::dense::{dual, int4};
use crate::kernel::modes::Lanes;

/// Largest matrix.
const WEIGHTS: usize = 256 * 256;
/// Numbers of 16 and of 20 bits that are enough for all cases.
const SHORTS: usize = 5 * CHANNELS;
const LONGS: usize = 4 * CHANNELS;
/// Most residues of real modes in a case.
const REAL_RESIDUES: usize = 2 * 10;
/// All residues: complex ones of four modes come after the real ones.
const RESIDUES: usize = REAL_RESIDUES + 4 * CHANNELS;

/// The next state of a linear congruential generator (Numerical Recipes); its high bits are random.
const fn draw(state: u32) -> u32 {
    state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223)
}

/// In -127..=127.
static INTEGERS: [i8; WEIGHTS] = {
    let mut table = [0; WEIGHTS];
    let (mut i, mut state) = (0, 1);
    while i < WEIGHTS {
        state = draw(state);
        let byte = (state >> 24) as i8;
        table[i] = if byte == -128 { 0 } else { byte };
        i += 1;
    }
    table
};

/// Numbers in -1..1; their product with 2^15 is an integer.
static FLOATS: [f32; state_words(CHANNELS)] = {
    let mut table = [0.0; state_words(CHANNELS)];
    let (mut i, mut state) = (0, 2);
    while i < table.len() {
        state = draw(state);
        table[i] = (state >> 16) as i16 as f32 / 32768.0;
        i += 1;
    }
    table
};

/// All 16 bits.
static SHORT: [i16; SHORTS] = {
    let mut table = [0; SHORTS];
    let (mut i, mut state) = (0, 3);
    while i < SHORTS {
        state = draw(state);
        table[i] = (state >> 16) as i16;
        i += 1;
    }
    table
};

/// Numbers of 20 bits.
static LONG: [i32; LONGS] = {
    let mut table = [0; LONGS];
    let (mut i, mut state) = (0, 4);
    while i < LONGS {
        state = draw(state);
        table[i] = state as i32 >> 12;
        i += 1;
    }
    table
};

/// Of real modes 16 bits; of complex ones two parts of 16 bits.
static RESIDUE: [i32; RESIDUES] = {
    let mut table = [0; RESIDUES];
    let (mut i, mut state) = (0, 5);
    while i < RESIDUES {
        state = draw(state);
        table[i] = state as i32;
        if i < REAL_RESIDUES {
            table[i] >>= 16;
        }
        i += 1;
    }
    table
};

/// Two real modes and four complex ones of the contract `fixed`. Residues and inputs of 16 bits overflow none
/// of their products: the poles' distances from 1 are far above `2^-8`.
pub static MODES: [[i16; 8]; 6] = [
    mode(-600, 0),
    mode(-4000, 0),
    mode(-1200, 4000),
    mode(-6000, 9000),
    mode(-2500, -7000),
    mode(-9000, 2000),
];

/// A mode of the pole `1 + (re + i im) / 2^14`.
const fn mode(re: i16, im: i16) -> [i16; 8] {
    let (low, down, input, rest) = (8, 6, 2, 10);
    [re, im, low, down, input, rest, -1, 0]
}

/// The first integers as a matrix in the order that is the fastest here; after `int4` those by 17, in
/// groups with scales.
macro_rules! weights {
    ($rows:literal, $columns:literal) => {
        match $crate::bench::INT8 {
            $crate::format::Packing::Dual => {
                const LANES: usize = $crate::format::Packing::Dual.bytes($rows, $columns) / 2;
                static MATRIX: $crate::Aligned<[i16; LANES]> =
                    $crate::Aligned($crate::bench::data::dual_lanes($rows, $columns));
                bytemuck::try_cast_slice(&MATRIX.0).unwrap_or_default()
            }
            _ => $crate::bench::data::integers($rows * $columns, 0),
        }
    };
    (int4 $rows:literal, $columns:literal) => {{
        const WORDS: usize = $crate::bench::INT4.bytes($rows, $columns) / 4;
        static MATRIX: [u32; WORDS] = $crate::bench::data::int4_words($rows, $columns);
        bytemuck::try_cast_slice(&MATRIX).unwrap_or_default()
    }};
}
pub(crate) use weights;

pub const fn dual_lanes<const LANES: usize>(rows: usize, columns: usize) -> [i16; LANES] {
    let mut lanes = [0; LANES];
    let mut i = 0;
    while i < rows * columns {
        let (lane, is_a) = dual::place(i / columns, i % columns, columns);
        lanes[lane] += if is_a { 256 } else { 1 } * INTEGERS[i] as i16;
        i += 1;
    }
    lanes
}

/// The first integers by 17, in -7..=7, in groups whose scales are other integers without their sign.
pub const fn int4_words<const WORDS: usize>(rows: usize, columns: usize) -> [u32; WORDS] {
    let mut words = [0; WORDS];
    let groups = columns.div_ceil(int4::COLUMNS);
    let mut i = 0;
    while i < rows.next_multiple_of(int4::ROWS) * groups * int4::COLUMNS {
        let (row, column) = (i / (groups * int4::COLUMNS), i % (groups * int4::COLUMNS));
        let chunk = (row / int4::ROWS * groups + column / int4::COLUMNS) * int4::WORDS;
        let (word, shift) = int4::place(INT4, row, column);
        let inside = row < rows && column < columns;
        let (weight, scale) = match inside {
            true => (
                INTEGERS[row * columns + column] / 17,
                INTEGERS[row + column],
            ),
            false => (0, 0),
        };
        words[chunk + word] |= int4::nibble(INT4, row, weight) << shift;
        if inside && column % int4::COLUMNS == 0 {
            words[chunk] |= (scale.unsigned_abs() as u32 | 128) << (8 * (row % int4::ROWS));
        }
        i += 1;
    }
    words
}

/// Two real poles, then of complex ones the real part and the square of the imaginary part.
pub static POLES: [f32; 10] = [-0.5, 0.875, 0.9, 0.01, 0.8, 0.09, 0.5, 0.25, -0.7, 0.04];

pub fn lanes(rows: usize, start: usize) -> &'static [Lanes] {
    floats(LANES * rows, start).as_chunks().0
}

/// Numbers in -127..=127, from the `start`th on.
pub fn integers(length: usize, start: usize) -> &'static [i8] {
    part(&INTEGERS, length, start)
}

/// Numbers in -1..1, from the `start`th on.
pub fn floats(length: usize, start: usize) -> &'static [f32] {
    part(&FLOATS, length, start)
}

/// Numbers of 16 bits, from the `start`th on.
pub fn shorts(length: usize, start: usize) -> &'static [i16] {
    part(&SHORT, length, start)
}

/// Numbers of 20 bits, from the `start`th on.
pub fn longs(length: usize, start: usize) -> &'static [i32] {
    part(&LONG, length, start)
}

/// Residues of real modes, and after them of complex ones.
pub fn residues(real: usize, complex: usize) -> &'static [i32] {
    part(&RESIDUE, real + complex, REAL_RESIDUES - real)
}

fn part<T>(table: &'static [T], length: usize, start: usize) -> &'static [T] {
    debug_assert!(start + length <= table.len(), "the table is too short");
    table.get(start..start + length).unwrap_or_default()
}
