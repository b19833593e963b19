//! Counts the instructions of both audio front ends on a recording, and writes `key: number` lines for each of their
//! compressions: of a frame at least and at most, of all, and a hash of the features.
#![no_std]
#![no_main]

use boards::instructions::Counter;
use boards::{Console, entry};
use static_cell::ConstStaticCell;
use toeplite_audio::{Config, LogMel, Memory, Tables, fixed};

const LOG: Config = Config::speech(8000);
const PCEN: Config = LOG.with_pcen();
const AGC: Config = LOG.with_agc();
const FRAME: usize = LOG.frame;
const BINS: usize = LOG.bins();
const BANDS: usize = LOG.bands;

static FLOAT_TABLES: [Tables<FRAME, BINS, BANDS>; 3] =
    [Tables::new(LOG), Tables::new(PCEN), Tables::new(AGC)];
static FIXED_TABLES: [fixed::Tables<FRAME, BINS, BANDS>; 3] = [
    fixed::Tables::new(LOG),
    fixed::Tables::new(PCEN),
    fixed::Tables::new(AGC),
];
static FLOAT_MEMORY: ConstStaticCell<Memory<FRAME, BINS, BANDS>> =
    ConstStaticCell::new(Memory::new());
static FIXED_MEMORY: ConstStaticCell<fixed::Memory<FRAME, BINS, BANDS>> =
    ConstStaticCell::new(fixed::Memory::new());

/// Samples of 16 bits, little-endian.
static RECORDING: &[u8] = include_bytes!("../../../../audio/tests/fixtures/samples-8000.i16");

const REFUSED: &str = "the front end refuses its own memory";

#[entry]
fn main() -> ! {
    bench::run(run)
}

fn run(console: &mut Console, counter: &mut Counter) -> Result<(), &'static str> {
    let float = FLOAT_MEMORY.try_take().ok_or(REFUSED)?;
    let fixed = FIXED_MEMORY.try_take().ok_or(REFUSED)?;
    for (tables, key) in FLOAT_TABLES.iter().zip(["f32_log", "f32_pcen", "f32_agc"]) {
        let front_end = LogMel::new(tables.view(), float.buffers());
        let mut front_end = front_end.map_err(|_| REFUSED)?;
        let mut counts = Counts::new();
        each_hop(|mut samples| {
            let mut goes_on = true;
            while goes_on {
                let (features, count) = counter.measure(|| front_end.next(&mut samples));
                let bits = features.map(|f| f.iter().map(|x| x.to_bits()));
                goes_on = counts.add(count, bits);
            }
        });
        counts.print(console, key);
    }
    for (tables, key) in FIXED_TABLES
        .iter()
        .zip(["fixed_log", "fixed_pcen", "fixed_agc"])
    {
        let front_end = fixed::LogMel::new(tables.view(), fixed.buffers());
        let mut front_end = front_end.map_err(|_| REFUSED)?;
        let mut counts = Counts::new();
        each_hop(|mut samples| {
            let mut goes_on = true;
            while goes_on {
                let (features, count) = counter.measure(|| front_end.next(&mut samples));
                let bits = features.map(|f| f.iter().map(|x| *x as u32));
                goes_on = counts.add(count, bits);
            }
        });
        counts.print(console, key);
    }
    Ok(())
}

/// Hands out the recording as a microphone would.
fn each_hop(mut hear: impl FnMut(&[i16])) {
    let mut chunk = [0; LOG.hop];
    for bytes in RECORDING.chunks_exact(2 * LOG.hop) {
        let (pairs, _) = bytes.as_chunks();
        for (sample, pair) in chunk.iter_mut().zip(pairs) {
            *sample = i16::from_le_bytes(*pair);
        }
        hear(&chunk);
    }
}

struct Counts {
    frames: u64,
    least: u64,
    most: u64,
    all: u64,
    /// FNV-1a of words.
    hash: u32,
}

impl Counts {
    fn new() -> Self {
        Self {
            frames: 0,
            least: u64::MAX,
            most: 0,
            all: 0,
            hash: 0x811C_9DC5,
        }
    }

    /// A call, and the features that it returned, if it did: then there may be more.
    fn add(&mut self, instructions: u64, features: Option<impl Iterator<Item = u32>>) -> bool {
        self.all += instructions;
        let Some(features) = features else {
            return false;
        };
        self.frames += 1;
        self.least = self.least.min(instructions);
        self.most = self.most.max(instructions);
        self.hash = features.fold(self.hash, |h, x| (h ^ x).wrapping_mul(0x0100_0193));
        true
    }

    fn print(&self, console: &mut Console, key: &str) {
        for (name, number) in [
            ("frames", self.frames),
            ("least", self.least),
            ("most", self.most),
            ("all", self.all),
            ("hash", self.hash.into()),
        ] {
            console.text(key);
            console.text("_");
            console.number(name, number);
        }
    }
}
