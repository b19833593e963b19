//! How the Toeplitz products of one shape are computed: size of the FFT, blocks, threads, shared
//! memory, workspace. No CUDA is needed for this.

use crate::device::{Activation, DeviceError, MixShape, Result};

/// The kernels' text: four files, compiled as one.
const SOURCE: &str = concat!(
    include_str!("../../../../kernels/dft.cuh"),
    include_str!("../../../../kernels/mix_fft.cuh"),
    include_str!("../../../../kernels/mix_io.cuh"),
    include_str!("../../../../kernels/mix.cu"),
);

/// Points of the smallest and the largest FFT.
const POINTS: std::ops::RangeInclusive<usize> = 32..=16_384;
/// Smallest FFT of a sequence cut into blocks: below it, threads have fewer than a whole row each.
const MIN_CUT: usize = 512;
/// Points of a thread.
const POINTS_PER_THREAD: usize = 32;
/// Bytes of a complex number.
const COMPLEX: usize = 8;
/// Bytes of shared memory that the system keeps of each block's.
const RESERVED: usize = 1024;

/// What a device has to offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Multiprocessors.
    pub multiprocessors: usize,
    /// Bytes of shared memory that one block may have (with opt-in).
    pub shared_per_block: usize,
    /// Bytes of shared memory of a multiprocessor.
    pub shared_per_multiprocessor: usize,
}

impl Limits {
    /// Those of an H100 SXM.
    pub const H100: Self = Self {
        multiprocessors: 132,
        shared_per_block: 227 << 10,
        shared_per_multiprocessor: 228 << 10,
    };
}

/// One kernel's launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MixGrid {
    /// Name of the kernel.
    pub entry: &'static str,
    /// Blocks: channels (or groups of them), parts of the batch.
    pub grid: [u32; 2],
    /// Threads of a block.
    pub threads: u32,
    /// Bytes of dynamic shared memory.
    pub shared: u32,
    /// Sequences of a block.
    per_block: usize,
}

/// How the Toeplitz products of one shape are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MixPlan {
    shape: MixShape,
    bf16: bool,
    limits: Limits,
    points: usize,
    blocks: usize,
    spill: bool,
    forward_fit: usize,
    backward_fit: usize,
    forward_per_block: usize,
    backward_per_block: usize,
}

impl MixPlan {
    /// Plans for activations in bf16 or f32.
    ///
    /// # Errors
    /// [`DeviceError::Unsupported`] for sequences too long for one FFT (or more than the device's
    /// shared memory holds) whose kernels do not end earlier.
    pub fn new(shape: MixShape, bf16: bool, limits: Limits) -> Result<Self> {
        let points = points(&shape);
        let mut plan = Self {
            shape,
            bf16,
            limits,
            points,
            blocks: shape.length.div_ceil(points),
            spill: false,
            forward_fit: 1,
            backward_fit: 1,
            forward_per_block: shape.batch,
            backward_per_block: shape.batch,
        };
        if points > *POINTS.end() || plan.forward_shared() > limits.shared_per_block {
            return Err(DeviceError::Unsupported {
                operation: "mix",
                reason: format!(
                    "kernels of {} lags (rounded up to {points}) do not fit one block; at most {} \
                     do, and kernels that decay faster fit at any length",
                    shape.support.min(shape.length),
                    POINTS.end(),
                ),
            });
        }
        // 16,384 points: three times 128 KiB do not fit, nor 64 sums a thread beside 64 values.
        plan.spill = points == *POINTS.end() || plan.backward_shared() > limits.shared_per_block;
        let fit = |threads: usize, shared: usize| {
            let by_memory = limits.shared_per_multiprocessor / (shared + RESERVED);
            (threads / plan.threads()).min(by_memory).max(1)
        };
        // 128 registers a thread leave room for 512 threads; 255, which the backward pass with its
        // sums wants, for 256.
        let forward_fit = fit(512, plan.forward_shared());
        let backward_fit = fit(if plan.spill { 512 } else { 256 }, plan.backward_shared());
        plan.forward_fit = forward_fit;
        plan.backward_fit = backward_fit;
        plan.forward_per_block = plan.split(forward_fit, 4e-12, 0.0);
        // What each part of the batch adds: its sums are written and read, at about 2.5 TB/s.
        let sums = (2 * COMPLEX * points * shape.channels) as f64 / 2.5e12;
        plan.backward_per_block = plan.split(backward_fit, 1e-11, sums);
        Ok(plan)
    }

    /// Sequences of one block, such that the device is busy to the end: the least of an estimate
    /// from `fit` blocks on a multiprocessor, `point` seconds for a point on the whole device, and
    /// `part` seconds more for each part of the batch.
    fn split(&self, fit: usize, point: f64, part: f64) -> usize {
        let slots = self.limits.multiprocessors * fit;
        let rounds = self.shape.batch.div_ceil(self.groups()).max(1);
        let work = (self.groups() * self.points * slots) as f64 * point;
        let cost = |&each: &usize| {
            let parts = rounds.div_ceil(each);
            let waves = (self.shape.channels * parts).div_ceil(slots);
            // Half a sequence's time to begin and end.
            (waves as f64) * ((each * self.blocks) as f64 + 0.5) * work + parts as f64 * part
        };
        let best = (1..=rounds).min_by(|a, b| cost(a).total_cmp(&cost(b)));
        best.unwrap_or(1) * self.groups()
    }

    /// The text to compile.
    pub fn source(&self) -> &'static str {
        SOURCE
    }

    /// Options of the compiler, besides the architecture.
    pub fn options(&self) -> Vec<String> {
        let act = match self.shape.act {
            Activation::None => 0,
            Activation::Silu => 1,
            Activation::Relu => 2,
            Activation::Gelu => 3,
        };
        let kind = if self.bf16 { "Bf16" } else { "float" };
        vec![
            "--std=c++17".into(),
            "--use_fast_math".into(),
            format!("-DMIX_N={}", self.points),
            format!("-DMIX_TYPE={kind}"),
            format!("-DMIX_ACT={act}"),
            format!("-DMIX_FULL={}", i32::from(self.is_full())),
            format!("-DMIX_PAIR={}", i32::from(self.is_paired())),
            format!("-DMIX_CHAIN={}", i32::from(self.is_cut())),
            format!("-DMIX_SPILL={}", i32::from(self.spill)),
            format!("-DMIX_GATED={}", i32::from(self.shape.gated)),
            format!("-DMIX_FIT={}", self.forward_fit),
            format!("-DMIX_FIT_BACKWARD={}", self.backward_fit),
        ]
    }

    /// The device planned for.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The shape planned for.
    pub fn shape(&self) -> &MixShape {
        &self.shape
    }

    /// Points of the FFT. Lags from there on are left out, and their gradients are zero.
    pub fn points(&self) -> usize {
        self.points
    }

    /// Blocks that a sequence is cut into.
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// Whether sequences are cut into blocks (overlap-add), because the kernel ends early.
    pub fn is_cut(&self) -> bool {
        self.blocks > 1
    }

    /// Whether no block is padded.
    pub fn is_full(&self) -> bool {
        self.shape.length.is_multiple_of(self.points)
    }

    /// Whether positions are loaded two at a time.
    pub fn is_paired(&self) -> bool {
        self.shape.length.is_multiple_of(2)
    }

    /// Whether the backward pass keeps its spectra in global memory.
    pub fn spills(&self) -> bool {
        self.spill
    }

    /// The argument `MixArgs` of the kernels, for one of the launches.
    pub fn arguments(&self, grid: MixGrid) -> [i32; 5] {
        let MixShape {
            channels,
            batch,
            length,
            ..
        } = self.shape;
        [channels, batch, length, self.blocks, grid.per_block].map(|value| value as i32)
    }

    /// Columns of the kernel, as the kernels take it.
    pub fn lags(&self) -> i32 {
        self.shape.lags() as i32
    }

    /// Computes the spectrum.
    pub fn spectrum(&self) -> MixGrid {
        self.by_channel("toeplite_mix_spectrum")
    }

    /// Computes y and g.
    pub fn forward(&self) -> MixGrid {
        let per_block = self.forward_per_block;
        MixGrid {
            entry: "toeplite_mix_forward",
            grid: [self.shape.channels as u32, self.parts(per_block)],
            threads: self.block_threads(),
            shared: self.forward_shared() as u32,
            per_block,
        }
    }

    /// Computes duv and the parts' sums.
    pub fn backward(&self) -> MixGrid {
        let per_block = self.backward_per_block;
        let mut channels = self.shape.channels;
        if self.spill {
            // Few blocks go through all channels, so that their scratch stays in the L2 cache.
            channels = channels.min(self.limits.multiprocessors * self.backward_fit);
        }
        MixGrid {
            entry: "toeplite_mix_backward",
            grid: [channels as u32, self.parts(per_block)],
            threads: self.block_threads(),
            shared: self.backward_shared() as u32,
            per_block,
        }
    }

    /// Computes the kernel's gradient from the parts' sums.
    pub fn d_kernel(&self) -> MixGrid {
        self.by_channel("toeplite_mix_d_kernel")
    }

    /// Elements of the spectrum.
    pub fn spectrum_len(&self) -> usize {
        2 * self.shape.channels * self.points
    }

    /// Elements of the parts' sums.
    pub fn partial_len(&self) -> usize {
        self.spectrum_len() * self.parts(self.backward_per_block) as usize
    }

    /// Elements of the parts' sums for the bias.
    pub fn sums_len(&self) -> usize {
        self.shape.halves() * self.shape.channels * self.parts(self.backward_per_block) as usize
    }

    /// Elements of the spectra that the backward pass keeps; none unless it spills.
    pub fn scratch_len(&self) -> usize {
        let grid = self.backward().grid;
        let blocks = (grid[0] * grid[1]) as usize;
        if self.spill {
            4 * self.points * blocks
        } else {
            0
        }
    }

    fn by_channel(&self, entry: &'static str) -> MixGrid {
        MixGrid {
            entry,
            grid: [self.shape.channels.div_ceil(self.groups()) as u32, 1],
            threads: self.block_threads(),
            shared: (self.groups() * exchange(self.points)) as u32,
            per_block: self.shape.batch,
        }
    }

    fn parts(&self, per_block: usize) -> u32 {
        self.shape.batch.div_ceil(per_block) as u32
    }

    /// Threads of one sequence.
    fn sequence_threads(&self) -> usize {
        self.points / POINTS_PER_THREAD
    }

    /// Threads of a block: at least two warps, since a multiprocessor takes 32 blocks at most.
    fn threads(&self) -> usize {
        self.sequence_threads().max(64)
    }

    fn block_threads(&self) -> u32 {
        self.threads() as u32
    }

    /// Sequences that a block computes at a time.
    fn groups(&self) -> usize {
        self.threads() / self.sequence_threads()
    }

    /// With what runs over a block's end, where sequences are cut: 4 bytes a point.
    fn forward_shared(&self) -> usize {
        let over = if self.is_cut() {
            COMPLEX / 2 * self.points
        } else {
            0
        };
        self.groups() * (exchange(self.points) + over)
    }

    /// With one spectrum, two where sequences are cut.
    fn backward_shared(&self) -> usize {
        let spectra = if self.spill {
            0
        } else {
            1 + usize::from(self.is_cut())
        };
        self.groups() * (exchange(self.points) + spectra * COMPLEX * self.points)
    }
}

/// Points of the FFT. Cutting pays where the whole would take a slower one: from 8,192 points on,
/// or where a single exchange does (1,024 and below). (Predicted, not measured.)
fn points(shape: &MixShape) -> usize {
    let whole = shape.length.next_power_of_two().max(*POINTS.start());
    let cut = shape
        .support
        .clamp(1, shape.length)
        .next_power_of_two()
        .max(MIN_CUT);
    let pays = whole >= 8192 || cut <= 1024;
    if shape.causal && cut < whole && pays {
        cut
    } else {
        whole
    }
}

/// Bytes of shared memory of one sequence's FFT; `Fft::SHARED` in mix_fft.cuh.
fn exchange(points: usize) -> usize {
    let rows = if points == 1024 { 32 } else { 16 };
    let second = match points {
        ..=1024 => 1,
        16_384 => 32,
        _ => 16,
    };
    let row = second * (points / rows / second + 2) + if points == 2048 { 8 } else { 0 };
    COMPLEX * rows * row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(batch: usize, length: usize, channels: usize) -> MixShape {
        MixShape {
            batch,
            length,
            channels,
            causal: true,
            act: Activation::Silu,
            gated: true,
            support: length,
        }
    }

    fn plan(shape: MixShape) -> MixPlan {
        MixPlan::new(shape, true, Limits::H100).unwrap()
    }

    #[test]
    fn every_sequence_belongs_to_one_block() {
        for length in [1, 7, 64, 100, 512, 1000, 2048, 3000, 8192, 16_384] {
            for batch in [1, 2, 3, 17, 64, 257] {
                for channels in [1, 96, 1536] {
                    for support in [1, 700, 1600, length] {
                        let plan = plan(MixShape {
                            support,
                            ..shape(batch, length, channels)
                        });
                        for grid in [plan.forward(), plan.backward()] {
                            let (parts, each) = (grid.grid[1] as usize, grid.per_block);
                            assert!(parts * each >= batch && (parts - 1) * each < batch);
                            assert!(grid.shared as usize <= Limits::H100.shared_per_block);
                            assert!(grid.threads >= 64 && grid.threads <= 512);
                        }
                        assert!(plan.points() * plan.blocks() >= length);
                        assert!(plan.points() >= support.min(length));
                    }
                }
            }
        }
    }

    #[test]
    fn the_published_model_fills_the_device() {
        let plan = plan(shape(64, 512, 1536));
        assert_eq!((plan.points(), plan.blocks()), (512, 1));
        assert_eq!((plan.forward_fit, plan.backward_fit), (8, 4));
        let blocks = plan.forward().grid[0] * plan.forward().grid[1];
        assert!(blocks as usize >= 2 * 132 * plan.forward_fit, "{blocks}");
        assert!(plan.options().contains(&"-DMIX_FULL=1".to_string()));
    }

    #[test]
    fn small_models_split_the_batch() {
        let plan = plan(shape(64, 512, 96));
        let grid = plan.backward().grid;
        assert!(grid[0] * grid[1] >= 132, "{grid:?}");
        assert_eq!(plan.partial_len(), 2 * 512 * 96 * grid[1] as usize);
    }

    #[test]
    fn decaying_kernels_cut_long_sequences() {
        let decaying = |length| {
            plan(MixShape {
                support: 1600,
                ..shape(4, length, 1536)
            })
        };
        assert_eq!(
            (decaying(8192).points(), decaying(8192).blocks()),
            (2048, 4)
        );
        assert_eq!(
            (decaying(100_000).points(), decaying(100_000).blocks()),
            (2048, 49)
        );
        assert_eq!(decaying(4096).points(), 4096);
        let whole = plan(MixShape {
            causal: false,
            support: 1600,
            ..shape(4, 8192, 1536)
        });
        assert_eq!(whole.points(), 8192);
    }

    #[test]
    fn what_no_block_holds_is_refused() {
        assert!(MixPlan::new(shape(1, 16_385, 8), true, Limits::H100).is_err());
        let whole = plan(shape(2, 16_384, 1536));
        assert!(whole.spills() && whole.scratch_len() == 4 * 16_384 * 132);
        let small = Limits {
            shared_per_block: 99 << 10,
            ..Limits::H100
        };
        assert!(MixPlan::new(shape(1, 16_384, 8), true, small).is_err());
        assert!(
            MixPlan::new(shape(1, 8192, 8), true, small)
                .unwrap()
                .spills()
        );
    }
}
