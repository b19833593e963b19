//! The network that gives a Toeplitz operator its kernel: see rpe.cu for the layout of `hidden`.

use super::{NOWHERE, activation, expect};
use crate::device::cuda::Cuda;
use crate::device::cuda::machine::{Address, Argument, Element, Operands, Product};
use crate::device::cuda::memory::F32;
use crate::device::{Activation, DeviceError, Norm, Result, RpeInput, RpeShape};

/// `MOST_MAPS` of rpe.cu.
const MOST_MAPS: usize = 34;
/// The widest hidden layer that rpe.cu computes.
const MOST_WIDTH: usize = 128;
/// Threads of a block.
const THREADS: usize = 256;
/// Blocks that fill a device.
const BLOCKS: usize = 256;

/// Threads of a block of response.cu, and the most points that one of them transforms at a time.
const RESPONSE_THREADS: usize = 128;
const MOST_RADIX: usize = 16;

/// Of a response's transform.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Forward,
    Adjoint,
}

impl Direction {
    /// What it is a part of.
    fn operation(self) -> &'static str {
        match self {
            Self::Forward => "rpe",
            Self::Adjoint => "rpe_backward",
        }
    }
}

/// A shape with what its launches share.
struct Plan<'a> {
    shape: &'a RpeShape,
    /// The struct `Rpe`.
    argument: Argument,
    /// Rows that one thread of the hidden stack computes, and those of a block.
    each: usize,
    tile: usize,
    /// Hidden maps with the first.
    maps: usize,
    /// Elements of one map's outputs.
    map: usize,
}

impl Cuda {
    pub(in crate::device::cuda) fn run_rpe(
        &self,
        shape: &RpeShape,
        parameters: &F32,
        hidden: &mut F32,
        kernel: &mut F32,
    ) -> Result<()> {
        let plan = Plan::new(shape)?;
        expect("hidden", hidden.len(), shape.hidden_len());
        expect("kernel", kernel.len(), shape.channels * shape.lags());
        let r = shape.width;
        self.launch(
            "rpe",
            &format!("rpe_hidden_{}", plan.each),
            [shape.rows().div_ceil(plan.tile), 1, 1],
            (THREADS, (r * (r + 1) + 2 * plan.tile * r) * 4),
            &[
                plan.argument.clone(),
                parameters.address(0).into(),
                hidden.address(0).into(),
            ],
        )?;
        if let Some(bins) = shape.input.bins() {
            let (from, to) = (plan.last_a(hidden), plan.read(hidden));
            self.transform_response(shape, bins, Direction::Forward, from, to)?;
        }
        self.launch(
            "rpe",
            "rpe_output",
            [shape.lags().div_ceil(64), shape.channels.div_ceil(64), 1],
            (THREADS, 0),
            &[
                plan.argument.clone(),
                parameters.address(shape.last_at).into(),
                plan.read(hidden).into(),
                gamma_of(shape, parameters).into(),
                plan.before_act(hidden).into(),
                kernel.address(0).into(),
            ],
        )
    }

    pub(in crate::device::cuda) fn run_rpe_backward(
        &self,
        shape: &RpeShape,
        parameters: &F32,
        hidden: &mut F32,
        d_kernel: &mut F32,
        gradients: &mut F32,
    ) -> Result<()> {
        let plan = Plan::new(shape)?;
        let (r, channels) = (shape.width, shape.channels);
        expect("hidden", hidden.len(), shape.hidden_len());
        expect("d_kernel", d_kernel.len(), channels * shape.lags());
        expect("gradients", gradients.len(), parameters.len());
        let last_bias = gradients.address(shape.last_at + channels * shape.parts() * r);
        self.launch(
            "rpe_backward",
            "rpe_output_backward",
            [channels, 1, 1],
            (THREADS, 0),
            &[
                plan.argument.clone(),
                gamma_of(shape, parameters).into(),
                plan.before_act(hidden).into(),
                d_kernel.address(0).into(),
                if shape.bias { last_bias } else { NOWHERE }.into(),
            ],
        )?;
        self.last_map_backward(&plan, parameters, hidden, d_kernel, gradients)?;
        self.hidden_backward(&plan, parameters, hidden, gradients)?;
        self.hidden_weights(&plan, hidden, gradients)
    }

    /// DA of the last map, and the gradients of its weights.
    fn last_map_backward(
        &self,
        plan: &Plan,
        parameters: &F32,
        hidden: &mut F32,
        d_kernel: &F32,
        gradients: &mut F32,
    ) -> Result<()> {
        let shape = plan.shape;
        let (r, lags, live) = (shape.width, shape.lags(), shape.live_lags());
        for outputs in shape.outputs() {
            let at = outputs.part * lags * r * size_of::<f32>();
            let d_channels = d_kernel.address(outputs.channels.start * lags);
            let weight = shape.last_at + outputs.first * r;
            let of_input = Product {
                m: live,
                n: r,
                k: outputs.channels.len(),
                transpose_a: true,
                transpose_b: false,
                accumulate: outputs.channels.start > 0,
                strides: [lags, r, r],
                input: Element::F32,
                output: Element::F32,
            };
            let operands = Operands {
                a: d_channels,
                b: parameters.address(weight),
                bias: None,
                addend: None,
                c: plan.d_read(hidden) + at as Address,
            };
            self.multiply("rpe_backward", &of_input, &operands)?;
            let of_weight = Product {
                m: outputs.channels.len(),
                k: live,
                transpose_a: false,
                accumulate: true,
                ..of_input
            };
            let operands = Operands {
                a: d_channels,
                b: plan.read(hidden) + at as Address,
                bias: None,
                addend: None,
                c: gradients.address(weight),
            };
            self.multiply("rpe_backward", &of_weight, &operands)?;
        }
        match shape.input.bins() {
            Some(bins) => {
                let (from, to) = (plan.d_read(hidden), plan.last_da(hidden));
                self.transform_response(shape, bins, Direction::Adjoint, from, to)
            }
            None => Ok(()),
        }
    }

    /// Transforms the columns of a response, or of what they became: see response.cu.
    fn transform_response(
        &self,
        shape: &RpeShape,
        bins: usize,
        direction: Direction,
        from: Address,
        to: Address,
    ) -> Result<()> {
        let (points, r) = (2 * bins, shape.width);
        let room = points * r * 2 * size_of::<f32>();
        let scratch = self.scratch(2 * room)?;
        let mut rooms = [scratch, scratch + room as Address];
        let numbers = [bins, r, shape.lags(), shape.length, shape.causal.into()];
        let mut done = 1;
        while done < points {
            let radix = (points / done).min(MOST_RADIX);
            self.launch(
                direction.operation(),
                &format!("response_pass_{radix}"),
                [(points / radix * r).div_ceil(RESPONSE_THREADS), 1, 1],
                (RESPONSE_THREADS, 0),
                &[
                    Argument::Struct(numbers.map(|n| n as u32).to_vec()),
                    i32::from(direction == Direction::Adjoint).into(),
                    (done as i32).into(),
                    from.into(),
                    rooms[0].into(),
                    rooms[1].into(),
                    to.into(),
                ],
            )?;
            rooms.reverse();
            done *= radix;
        }
        Ok(())
    }

    /// DZ of all maps, and the gradients of the norms' parameters.
    fn hidden_backward(
        &self,
        plan: &Plan,
        parameters: &F32,
        hidden: &mut F32,
        gradients: &mut F32,
    ) -> Result<()> {
        let (shape, r) = (plan.shape, plan.shape.width);
        let blocks = shape.rows().div_ceil(plan.tile);
        let layer = shape.norm == Some(Norm::Layer);
        let stride = plan.maps * 2 * r;
        let partials = match layer {
            true => self.scratch(blocks * stride * 4)?,
            false => NOWHERE,
        };
        self.launch(
            "rpe_backward",
            &format!("rpe_hidden_backward_{}", plan.each),
            [blocks, 1, 1],
            (THREADS, (r * r + 3 * plan.tile * r) * 4),
            &[
                plan.argument.clone(),
                parameters.address(0).into(),
                hidden.address(0).into(),
                partials.into(),
            ],
        )?;
        if layer {
            for (k, &at) in shape.norms_at.iter().enumerate() {
                let from = partials + (k * 2 * r * 4) as Address;
                let to = gradients.address(at);
                self.add_rows("rpe_backward", from, blocks, stride, 2 * r, to)?;
            }
        }
        Ok(())
    }

    /// Gradients of the first and the hidden maps.
    fn hidden_weights(&self, plan: &Plan, hidden: &F32, gradients: &mut F32) -> Result<()> {
        let (rows, r, maps) = (plan.shape.rows(), plan.shape.width, plan.maps);
        let tiles = r.div_ceil(64).pow(2);
        let parts = (BLOCKS / (maps * tiles)).max(1);
        let each = rows.div_ceil(parts).next_multiple_of(16);
        let parts = rows.div_ceil(each);
        let partials = self.scratch(parts * maps * (r * r + r) * 4)?;
        self.launch(
            "rpe_backward",
            "rpe_weights",
            [maps, parts, tiles],
            (THREADS, 0),
            &[
                plan.argument.clone(),
                hidden.address(0).into(),
                partials.into(),
                (each as i32).into(),
            ],
        )?;
        self.launch(
            "rpe_backward",
            "rpe_weights_sum",
            [(r * r + r).div_ceil(THREADS), maps, 1],
            (THREADS, 0),
            &[
                plan.argument.clone(),
                partials.into(),
                gradients.address(0).into(),
                (parts as i32).into(),
            ],
        )
    }
}

impl<'a> Plan<'a> {
    fn new(shape: &'a RpeShape) -> Result<Self> {
        let unsupported = |reason| DeviceError::Unsupported {
            operation: "rpe",
            reason,
        };
        if shape.width > MOST_WIDTH || shape.layers + 1 > MOST_MAPS {
            return Err(unsupported(format!(
                "{} hidden layers of width {}; at most {} of {MOST_WIDTH} are supported",
                shape.layers,
                shape.width,
                MOST_MAPS - 1
            )));
        }
        // Few rows: more blocks, for there is little to do. Many: each weight is read less often.
        let each = if shape.rows() <= 2048 { 1 } else { 4 };
        Ok(Self {
            shape,
            argument: Argument::Struct(words(shape)),
            each,
            tile: each * (THREADS / shape.width),
            maps: shape.layers + 1,
            map: shape.rows() * shape.width,
        })
    }

    /// What the map after the hidden ones has as its input.
    fn last_a(&self, hidden: &F32) -> Address {
        hidden.address((2 * self.maps - 1) * self.map)
    }

    /// Its gradient.
    fn last_da(&self, hidden: &F32) -> Address {
        hidden.address(3 * self.maps * self.map)
    }

    fn before_act(&self, hidden: &F32) -> Address {
        hidden.address(4 * self.maps * self.map)
    }

    /// What the last map reads: its input, or the transform of that.
    fn read(&self, hidden: &F32) -> Address {
        match self.shape.input.bins() {
            Some(_) => hidden.address(self.responses()),
            None => self.last_a(hidden),
        }
    }

    /// Its gradient.
    fn d_read(&self, hidden: &F32) -> Address {
        match self.shape.input.bins() {
            Some(_) => hidden.address(self.responses() + self.shape.responses_len()),
            None => self.last_da(hidden),
        }
    }

    fn responses(&self) -> usize {
        4 * self.maps * self.map + self.shape.channels * self.shape.lags()
    }
}

/// The struct `Rpe` of rpe.cu.
fn words(shape: &RpeShape) -> Vec<u32> {
    let norm = match shape.norm {
        None => 0,
        Some(Norm::SimpleRms) => 1,
        Some(Norm::Layer) => 2,
    };
    let input = match shape.input {
        RpeInput::Scaled(length) => 1.0 / length as f32,
        RpeInput::Lag | RpeInput::Omega(_) | RpeInput::Cosine(_) | RpeInput::Warped { .. } => 1.0,
    };
    let warp = match shape.input {
        RpeInput::Warped { lambda, .. } => lambda.log2() as f32,
        _ => 0.0,
    };
    let act = |act: Activation| activation(act) as u32;
    let mut words = vec![
        shape.width as u32,
        shape.layers as u32,
        shape.channels as u32,
        shape.lags() as u32,
        shape.length as u32,
        u32::from(shape.causal),
        norm,
        act(shape.act),
        u32::from(shape.residual),
        u32::from(shape.bias),
        act(shape.kernel_act),
        f32::to_bits(input),
        shape.input.bins().unwrap_or(0) as u32,
        u32::from(matches!(shape.input, RpeInput::Cosine(_))),
        shape.rows() as u32,
        (shape.channels / shape.heads) as u32,
        f32::to_bits(shape.input.spacing() as f32),
        f32::to_bits(warp),
    ];
    let maps = std::iter::once(&shape.first_at).chain(&shape.hidden_at);
    push_offsets(&mut words, maps);
    push_offsets(&mut words, shape.norms_at.iter());
    words
}

/// As many offsets as there are, and zeros after them.
fn push_offsets<'a>(words: &mut Vec<u32>, offsets: impl Iterator<Item = &'a usize>) {
    let end = words.len() + MOST_MAPS;
    words.extend(offsets.take(MOST_MAPS).map(|&at| at as u32));
    words.resize(end, 0);
}

fn gamma_of(shape: &RpeShape, parameters: &F32) -> Address {
    shape.gamma_at.map_or(NOWHERE, |at| {
        expect("parameters", parameters.len(), at + shape.channels);
        parameters.address(at)
    })
}
