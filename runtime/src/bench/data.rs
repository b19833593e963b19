//! Numbers that the cases run on: tables made when the crate is compiled.

use super::{CHANNELS, INT4, state_words};
use crate::format::LANES;
use crate::kernel::dense::{dual, int4};
use crate::kernel::modes::Lanes;

/// Of the largest matrix.
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
    ($rows:literal, $columns:literal) => {{
        // none where the order is another: the compiler would make it all the same, and takes its time
        const LANES: usize = match $crate::bench::INT8 {
            $crate::format::Packing::Dual => $crate::bench::INT8.bytes($rows, $columns) / 2,
            _ => 0,
        };
        static MATRIX: $crate::Aligned<[i16; LANES]> =
            $crate::Aligned($crate::bench::data::dual_lanes($rows, $columns));
        match LANES {
            0 => $crate::bench::data::integers($rows * $columns, 0),
            _ => bytemuck::try_cast_slice(&MATRIX.0).unwrap_or_default(),
        }
    }};
    (int4 $rows:literal, $columns:literal) => {{
        const WORDS: usize = $crate::bench::INT4.bytes($rows, $columns) / 4;
        static MATRIX: [u32; WORDS] = $crate::bench::data::int4_words($rows, $columns);
        bytemuck::try_cast_slice(&MATRIX).unwrap_or_default()
    }};
}
pub(crate) use weights;

/// The first integers, as many as fit into `LANES`.
pub const fn dual_lanes<const LANES: usize>(rows: usize, columns: usize) -> [i16; LANES] {
    let mut lanes = [0; LANES];
    let mut row = 0;
    while row < rows && LANES > 0 {
        // two columns lie side by side, the next two after those of the block's other rows
        let (first, is_a) = dual::place(row, 0, columns);
        let factor = if is_a { 256 } else { 1 };
        let mut column = 0;
        while column < columns {
            let lane = first + column / 2 * dual::ROWS + column % 2;
            lanes[lane] += factor * INTEGERS[row * columns + column] as i16;
            column += 1;
        }
        row += 1;
    }
    lanes
}

/// The first integers by 17, in -7..=7, in groups whose scales are other integers without their sign.
pub const fn int4_words<const WORDS: usize>(rows: usize, columns: usize) -> [u32; WORDS] {
    let mut words = [0; WORDS];
    let groups = columns.div_ceil(int4::COLUMNS);
    let mut i = 0;
    while i < WORDS / int4::WORDS * int4::ROWS {
        let (chunk, row) = (
            i / int4::ROWS,
            i / int4::ROWS / groups * int4::ROWS + i % int4::ROWS,
        );
        let first = chunk % groups * int4::COLUMNS;
        let inside = if row < rows { columns - first } else { 0 };
        let (start, chunk) = (row * columns + first, chunk * int4::WORDS);
        let mut column = 0;
        while column < int4::COLUMNS {
            let weight = if column < inside {
                INTEGERS[start + column] / 17
            } else {
                0
            };
            let (word, shift, zero) = NIBBLES[i % int4::ROWS][column];
            words[chunk + word] |= ((weight as u32).wrapping_add(zero) & 15) << shift;
            column += 1;
        }
        if inside > 0 {
            let scale = INTEGERS[row + first].unsigned_abs() as u32 | 128;
            words[chunk] |= scale << (8 * (i % int4::ROWS));
        }
        i += 1;
    }
    words
}

/// Of the weights of a chunk, the word, the shift, and the nibble of zero, to which a weight is added: looked up,
/// for the compiler takes its time over every call.
const NIBBLES: [[(usize, u32, u32); int4::COLUMNS]; int4::ROWS] = {
    let mut nibbles = [[(0, 0, 0); int4::COLUMNS]; int4::ROWS];
    let mut i = 0;
    while i < int4::ROWS * int4::COLUMNS {
        let (row, column) = (i / int4::COLUMNS, i % int4::COLUMNS);
        let (word, shift) = int4::place(INT4, row, column);
        nibbles[row][column] = (word, shift, int4::nibble(INT4, row, 0));
        i += 1;
    }
    nibbles
};

/// The matrices that several cases share.
pub fn int8_256x256() -> &'static [i8] {
    weights!(256, 256)
}

/// See [`int8_256x256`].
pub fn int8_64x64() -> &'static [i8] {
    weights!(64, 64)
}

/// See [`int8_256x256`].
pub fn int4_256x256() -> &'static [i8] {
    weights!(int4 256, 256)
}

/// Square matrices of whole products: the name, the weights, rows.
pub fn int4_cases() -> [(&'static str, &'static [i8], usize); 2] {
    [
        ("int4 256x256", int4_256x256(), 256),
        ("int4 64x64", weights!(int4 64, 64), 64),
    ]
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
