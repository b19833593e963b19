//! Matrix products.
//!
//! Own kernels, because the products of small networks are narrow (32 to 192 terms or columns):
//! blocks of both operands are packed into panels, a register block of C is summed over all terms
//! of a block. Tiles of C are independent; where C has few, the terms are split too, in parts that
//! depend on the shape alone.

use super::blocks::add;
use crate::device::Gemm;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::cell::RefCell;
use std::ops::Range;

/// Rows and columns of a tile of C.
const TILE: usize = 256;
/// Terms that are packed at a time.
const TERMS: usize = 256;
/// Tiles that keep the threads of a large machine busy.
const ENOUGH_TILES: usize = 32;
/// Terms of a part where sums are split.
const SPLIT: usize = 512;

/// An operand as lines (rows of A, columns of B) of terms.
#[derive(Clone, Copy)]
struct Lines<'a> {
    data: &'a [f32],
    /// Between lines where `terms_inside`, else between terms.
    stride: usize,
    /// Whether the terms of a line are neighbours; else the lines of a term are.
    terms_inside: bool,
}

impl Lines<'_> {
    /// Packs lines into panels of `width`, term by term, zeros where there is no line.
    #[inline(always)]
    fn pack(self, lines: Range<usize>, terms: Range<usize>, width: usize, to: &mut [f32]) {
        let panels = to.chunks_exact_mut(width * terms.len());
        for (panel, first) in panels.zip(lines.clone().step_by(width)) {
            let here = first..lines.end.min(first + width);
            if here.len() < width {
                panel.fill(0.0);
            }
            if self.terms_inside {
                for (at, line) in here.enumerate() {
                    let from = line * self.stride;
                    let from = &self.data[from + terms.start..from + terms.end];
                    for (to, &x) in panel.chunks_exact_mut(width).zip(from) {
                        to[at] = x;
                    }
                }
            } else {
                for (to, term) in panel.chunks_exact_mut(width).zip(terms.clone()) {
                    let from = term * self.stride;
                    let from = &self.data[from + here.start..from + here.end];
                    // The length of whole panels is known when this is compiled: no call then.
                    if from.len() == width {
                        to.copy_from_slice(&from[..width]);
                    } else {
                        to[..from.len()].copy_from_slice(from);
                    }
                }
            }
        }
    }
}

/// A tile of C to be computed.
struct Tile<'a, 'c> {
    a: Lines<'a>,
    b: Lines<'a>,
    rows: Range<usize>,
    columns: Range<usize>,
    terms: Range<usize>,
    bias: Option<&'a [f32]>,
    accumulate: bool,
    /// The tile's part of each of its rows.
    c: Vec<&'c mut [f32]>,
}

thread_local! {
    /// Packed blocks of A and B. Never borrowed across a call that could run other tasks.
    static PACKED: RefCell<(Vec<f32>, Vec<f32>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

impl Tile<'_, '_> {
    fn run(self) {
        PACKED.with_borrow_mut(|(a, b)| {
            let tile = self;
            pulp::Arch::new().dispatch(Run { tile, a, b });
        });
    }
}

struct Run<'p, 'a, 'c> {
    tile: Tile<'a, 'c>,
    a: &'p mut Vec<f32>,
    b: &'p mut Vec<f32>,
}

impl WithSimd for Run<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // As many sums as registers hold: 8 x 2 of the 32 of AVX-512, 4 x 2 of 16 elsewhere.
        if S::F32_LANES == 16 {
            self.blocks::<S, 8>(simd);
        } else {
            self.blocks::<S, 4>(simd);
        }
    }
}

impl Run<'_, '_, '_> {
    #[inline(always)]
    fn blocks<S: Simd, const MR: usize>(self, simd: S) {
        let Run { mut tile, a, b } = self;
        let width = 2 * S::F32_LANES;
        let all = tile.terms.clone();
        for start in all.clone().step_by(TERMS) {
            let terms = start..all.end.min(start + TERMS);
            let a_len = tile.rows.len().next_multiple_of(MR) * terms.len();
            let b_len = tile.columns.len().next_multiple_of(width) * terms.len();
            a.resize(a.len().max(a_len), 0.0);
            b.resize(b.len().max(b_len), 0.0);
            let (a, b) = (&mut a[..a_len], &mut b[..b_len]);
            tile.a.pack(tile.rows.clone(), terms.clone(), MR, a);
            tile.b.pack(tile.columns.clone(), terms.clone(), width, b);
            let first = start == all.start;
            let bias = tile.bias.filter(|_| first);
            let bias = bias.map(|bias| &bias[tile.columns.clone()]);
            let add = tile.accumulate || !first;
            panels::<S, MR>(simd, a, b, terms.len(), add, bias, &mut tile.c);
        }
    }
}

/// `C (+)= A B (+ bias)` of packed panels.
#[inline(always)]
fn panels<S: Simd, const MR: usize>(
    simd: S,
    a: &[f32],
    b: &[f32],
    terms: usize,
    add: bool,
    bias: Option<&[f32]>,
    c: &mut [&mut [f32]],
) {
    let width = 2 * S::F32_LANES;
    let columns = c.first().map_or(0, |row| row.len());
    for (b, j) in b.chunks_exact(width * terms).zip((0..).step_by(width)) {
        let b = S::as_simd_f32s(b).0.as_chunks::<2>().0;
        let here = j..columns.min(j + width);
        let mut bias_here = [0f32; 64];
        if let Some(bias) = bias {
            bias_here[..here.len()].copy_from_slice(&bias[here.clone()]);
        }
        let bias_here = &bias_here[..width];
        let panels = a.chunks_exact(MR * terms).zip(c.chunks_mut(MR));
        for (a, c) in panels {
            let sums = register_block::<S, MR>(simd, a.as_chunks::<MR>().0, b);
            store(simd, &sums, bias_here, add, here.clone(), c);
        }
    }
}

/// `MR` rows and two vectors of columns of a product.
#[inline(always)]
fn register_block<S: Simd, const MR: usize>(
    simd: S,
    a: &[[f32; MR]],
    b: &[[S::f32s; 2]],
) -> [[S::f32s; 2]; MR] {
    let mut sums = [[simd.splat_f32s(0.0); 2]; MR];
    for (a, b) in a.iter().zip(b) {
        for (sums, &a) in sums.iter_mut().zip(a) {
            let a = simd.splat_f32s(a);
            sums[0] = simd.mul_add_e_f32s(a, b[0], sums[0]);
            sums[1] = simd.mul_add_e_f32s(a, b[1], sums[1]);
        }
    }
    sums
}

/// Writes a register block to `columns` of the rows `c`, as many as there are.
#[inline(always)]
fn store<S: Simd, const MR: usize>(
    simd: S,
    sums: &[[S::f32s; 2]; MR],
    bias: &[f32],
    add: bool,
    columns: Range<usize>,
    c: &mut [&mut [f32]],
) {
    let bias_lanes = S::as_simd_f32s(bias).0;
    for (sums, c) in sums.iter().zip(c) {
        let c = &mut c[columns.clone()];
        if c.len() == 2 * S::F32_LANES {
            let c = S::as_mut_simd_f32s(c).0;
            for i in 0..2 {
                let sum = simd.add_f32s(sums[i], bias_lanes[i]);
                c[i] = if add { simd.add_f32s(sum, c[i]) } else { sum };
            }
        } else {
            let mut all = [0f32; 64];
            let lanes = S::as_mut_simd_f32s(&mut all).0;
            lanes[..2].copy_from_slice(sums);
            for ((c, sum), bias) in c.iter_mut().zip(all).zip(bias) {
                *c = sum + bias + if add { *c } else { 0.0 };
            }
        }
    }
}

/// `C = op(A) op(B) (+ C) (+ bias)` in slices.
pub fn gemm(shape: Gemm, a: &[f32], b: &[f32], bias: Option<&[f32]>, c: &mut [f32]) {
    let c = &mut c[..shape.m * shape.n];
    if shape.k == 0 || c.is_empty() {
        return no_terms(shape, bias, c);
    }
    let (a, b) = operands(shape, a, b);
    let tiles = tiles(shape, c);
    let run = |(rows, columns, c): (Range<usize>, Range<usize>, Vec<_>)| {
        let terms = 0..shape.k;
        let accumulate = shape.accumulate;
        Tile {
            a,
            b,
            rows,
            columns,
            terms,
            bias,
            accumulate,
            c,
        }
        .run();
    };
    tiles.into_par_iter().for_each(run);
}

/// `C += op(A) op(B)` in slices, for sums that are long and a C that is small.
pub fn gemm_long(shape: Gemm, a: &[f32], b: &[f32], c: &mut [f32]) {
    let tiles = shape.m.div_ceil(TILE) * shape.n.div_ceil(TILE);
    let parts = ENOUGH_TILES
        .div_ceil(tiles.max(1))
        .min(shape.k.div_ceil(SPLIT));
    if parts <= 1 {
        let accumulate = true;
        return gemm(
            Gemm {
                accumulate,
                ..shape
            },
            a,
            b,
            None,
            c,
        );
    }
    let c = &mut c[..shape.m * shape.n];
    let (a, b) = operands(shape, a, b);
    let length = shape.k.div_ceil(parts);
    let part = |start: usize| {
        let mut partial = vec![0.0; c.len()];
        for (rows, columns, c) in self::tiles(shape, &mut partial) {
            let terms = start..shape.k.min(start + length);
            let (bias, accumulate) = (None, false);
            Tile {
                a,
                b,
                rows,
                columns,
                terms,
                bias,
                accumulate,
                c,
            }
            .run();
        }
        partial
    };
    let starts: Vec<usize> = (0..shape.k).step_by(length).collect();
    let partials: Vec<Vec<f32>> = starts.into_par_iter().map(part).collect();
    for partial in partials {
        add(&partial, c);
    }
}

fn no_terms(shape: Gemm, bias: Option<&[f32]>, c: &mut [f32]) {
    if !shape.accumulate {
        c.fill(0.0);
    }
    if let Some(bias) = bias.filter(|_| shape.n > 0) {
        c.chunks_exact_mut(shape.n).for_each(|row| add(bias, row));
    }
}

fn operands<'a>(shape: Gemm, a: &'a [f32], b: &'a [f32]) -> (Lines<'a>, Lines<'a>) {
    let a = Lines {
        data: &a[..shape.m * shape.k],
        stride: if shape.transpose_a { shape.m } else { shape.k },
        terms_inside: !shape.transpose_a,
    };
    let b = Lines {
        data: &b[..shape.k * shape.n],
        stride: if shape.transpose_b { shape.k } else { shape.n },
        terms_inside: shape.transpose_b,
    };
    (a, b)
}

type Part<'c> = (Range<usize>, Range<usize>, Vec<&'c mut [f32]>);

/// The tiles of C: rows, columns, and their part of each row.
fn tiles(shape: Gemm, c: &mut [f32]) -> Vec<Part<'_>> {
    let mut tiles = Vec::new();
    for (rows, first) in c.chunks_mut(shape.n * TILE).zip((0..).step_by(TILE)) {
        let count = rows.len() / shape.n;
        let start = tiles.len();
        for column in (0..shape.n).step_by(TILE) {
            let columns = column..shape.n.min(column + TILE);
            tiles.push((first..first + count, columns, Vec::with_capacity(count)));
        }
        for row in rows.chunks_exact_mut(shape.n) {
            for (piece, tile) in row.chunks_mut(TILE).zip(&mut tiles[start..]) {
                tile.2.push(piece);
            }
        }
    }
    tiles
}
