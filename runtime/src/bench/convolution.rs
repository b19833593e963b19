//! Long FIR heads of four channels over blocks of tokens: the direct sum, and by FFT.

use super::data::{floats, lanes};
use super::{Bench, Case, Contract, Meter, hash};
use crate::fft::convolution::{Convolution, Table};
use crate::format::LANES;
use crate::kernel::{self, modes::Lanes};
use crate::memory::take;
use core::hint::black_box;

/// Taps, tokens, and names.
struct Shape {
    taps: usize,
    tokens: usize,
    direct: &'static str,
    fft: &'static str,
}

macro_rules! shape {
    ($taps:literal, $tokens:literal) => {
        Shape {
            taps: $taps,
            tokens: $tokens,
            direct: concat!("fir ", $taps, " taps x ", $tokens, " tokens direct"),
            fft: concat!("fir ", $taps, " taps x ", $tokens, " tokens fft"),
        }
    };
}

const SHAPES: [Shape; 3] = [shape!(128, 128), shape!(512, 128), shape!(256, 256)];

/// Words of all buffers for the largest of them.
pub(super) const fn words() -> usize {
    let (mut i, mut most) = (0, 0);
    while i < SHAPES.len() {
        let Shape { taps, tokens, .. } = SHAPES[i];
        let words = LANES * (taps + tokens) + Convolution::words(taps, tokens);
        most = if words > most { words } else { most };
        i += 1;
    }
    most
}

impl<M: Meter> Bench<'_, M> {
    /// All of them, where there is room.
    pub(super) fn convolutions(&mut self) {
        if self.state.len() < words() {
            return;
        }
        for Shape {
            taps,
            tokens,
            direct,
            fft,
        } in SHAPES
        {
            self.convolution(direct, [taps, tokens], |h, past, x, _| {
                let (past, x) = (past.as_chunks_mut().0, x.as_chunks_mut().0);
                self::direct(h, past, x);
            });
            self.convolution(fft, [taps, tokens], |h, past, x, rest| {
                by_fft(h, past.as_chunks_mut().0, x, rest);
            });
        }
    }

    fn convolution(
        &mut self,
        name: &'static str,
        [taps, tokens]: [usize; 2],
        work: impl FnOnce(&[Lanes], &mut [f32], &mut [f32], &mut [f32]),
    ) {
        let case = Case::new(name, Contract::F32, LANES * taps * tokens);
        let mut rest = &mut *self.state;
        let past = black_box(take(&mut rest, LANES * taps));
        let x = black_box(take(&mut rest, LANES * tokens));
        past.copy_from_slice(floats(past.len(), 50));
        x.copy_from_slice(floats(x.len(), 150));
        let h = black_box(lanes(taps, 250));
        self.meter.count(case, || work(h, past, x, rest));
        let results = self.state.get(..LANES * (taps + tokens));
        let hash = hash(results.unwrap_or_default());
        self.meter.result(case, hash);
    }
}

// What is counted: calls as a program makes them, never inlined.

#[inline(never)]
fn direct(taps: &[Lanes], past: &mut [Lanes], x: &mut [Lanes]) {
    for x in x {
        let mut y = [[0.0; LANES]];
        kernel::fir(taps.len(), taps, past, core::slice::from_mut(x), &mut y);
        [*x] = y;
    }
}

#[inline(never)]
fn by_fft(taps: &[Lanes], past: &mut [Lanes], x: &mut [f32], mut rest: &mut [f32]) {
    let tokens = x.len() / LANES;
    let mut x = Table {
        numbers: x,
        width: LANES,
        first: 0,
        channels: LANES,
    };
    Convolution::new(taps.len(), tokens, &mut rest).fir(taps.len(), taps, past, &mut x);
}
