//! The CPU in f32: rayon over rows and channels, loops compiled for the widest vectors.
//!
//! The same inputs give the same bits for any number of threads: sums are split by shape, and their
//! parts added in order.

mod activation;
mod blocks;
mod buffer;
mod collective;
mod dropout;
mod embed;
mod gate;
mod gemm;
mod image;
mod loss;
mod mix;
mod norm;
mod optimiser;
mod pool;
mod response;
mod rpe;
mod simd;
mod ski;
#[cfg(test)]
mod tests;

pub use buffer::{Buffer, Ids};
pub use collective::Exchange;
pub use mix::Mix;

use super::random::Stream;
use super::{
    Activation, AdamW, Device, DeviceError, Gemm, HeadGradient, IGNORE, MixShape, NormShape,
    Result, RpeShape, SkiOffsets, SkiShape,
};
use crate::data::Shard;
use buffer::Counter;
use std::ops::Range;
use std::sync::Arc;

/// This machine's processor. Cheap to clone: clones count memory together.
#[derive(Clone, Debug, Default)]
pub struct Cpu {
    memory: Arc<Counter>,
    exchange: Option<Arc<dyn Exchange>>,
}

impl Cpu {
    /// The processor; operations run in rayon's current thread pool.
    pub fn new() -> Self {
        Self::default()
    }

    /// The share of the processor that one of several processes has; they sum by `exchange`.
    pub fn member(exchange: Arc<dyn Exchange>) -> Self {
        Self {
            exchange: Some(exchange),
            ..Self::default()
        }
    }
}

/// Recording is not supported: there is no value of this type.
#[derive(Debug)]
pub enum Recording {}

fn no_recording<T>() -> Result<T> {
    Err(DeviceError::Unsupported {
        operation: "recording",
        reason: "the CPU has nothing to gain from it; run the operations".into(),
    })
}

/// The 2 x `half` biases at `at`, none without one.
fn biases(parameters: &[f32], at: Option<usize>, len: usize) -> &[f32] {
    at.map_or(&[], |at| &parameters[at..at + len])
}

fn biases_mut(gradients: &mut [f32], at: Option<usize>, len: usize) -> &mut [f32] {
    at.map_or(&mut [], |at| &mut gradients[at..at + len])
}

/// What both passes of SKI read.
fn ski_input<'a>(
    shape: SkiShape,
    kernel: &'a Buffer,
    parameters: &'a Buffer,
    at: SkiOffsets,
    uv: &'a Buffer,
) -> ski::Input<'a> {
    ski::Input {
        kernel: &kernel.data,
        taps: &parameters.data[at.taps..][..shape.channels * shape.taps],
        bias: biases(&parameters.data, at.bias, 2 * shape.channels),
        uv: &uv.data,
    }
}

impl Device for Cpu {
    type Act = Buffer;
    type F32 = Buffer;
    type Ids = Ids;
    type Mix = Mix;
    type Graph = Recording;

    fn name(&self) -> String {
        format!("CPU ({} threads, f32)", rayon::current_num_threads())
    }

    fn act_bytes(&self) -> usize {
        size_of::<f32>()
    }

    fn memory(&self) -> (usize, usize) {
        self.memory.read()
    }

    fn synchronize(&self) -> Result<()> {
        Ok(())
    }

    fn new_act(&self, len: usize) -> Result<Buffer> {
        Ok(Buffer::new(&self.memory, len))
    }

    fn new_f32(&self, len: usize) -> Result<Buffer> {
        Ok(Buffer::new(&self.memory, len))
    }

    fn new_ids(&self, len: usize, vocabulary: usize) -> Result<Ids> {
        Ok(Ids::new(&self.memory, len, vocabulary))
    }

    fn new_mix(&self, shape: MixShape) -> Result<Mix> {
        Ok(Mix::new(&self.memory, shape))
    }

    fn write_ids(&self, ids: &mut Ids, values: &[u32]) -> Result<()> {
        let vocabulary = ids.vocabulary();
        let unknown = |&(_, &id): &(usize, &u32)| id != IGNORE && id as usize >= vocabulary;
        if let Some((position, &token)) = values.iter().enumerate().find(unknown) {
            return Err(DeviceError::UnknownToken {
                token,
                position,
                vocabulary,
            });
        }
        ids.values.copy_from_slice(values);
        ids.sort();
        Ok(())
    }

    fn write_f32(&self, to: &mut Buffer, at: usize, values: &[f32]) -> Result<()> {
        to.data[at..at + values.len()].copy_from_slice(values);
        Ok(())
    }

    fn read_f32(&self, from: &Buffer, range: Range<usize>) -> Result<Vec<f32>> {
        Ok(from.data[range].to_vec())
    }

    fn write_act(&self, to: &mut Buffer, at: usize, values: &[f32]) -> Result<()> {
        self.write_f32(to, at, values)
    }

    fn read_act(&self, from: &Buffer, range: Range<usize>) -> Result<Vec<f32>> {
        self.read_f32(from, range)
    }

    fn zero(&self, buffer: &mut Buffer, range: Range<usize>) -> Result<()> {
        buffer.data[range].fill(0.0);
        Ok(())
    }

    fn shard(&self) -> Shard {
        let exchange = self.exchange.as_ref();
        exchange.map_or(Shard::WHOLE, |exchange| exchange.shard())
    }

    fn reduce_start(&self, buffer: &mut Buffer, range: Range<usize>) -> Result<()> {
        collective::sum(self, &mut buffer.data[range])
    }

    fn copy(&self, from: &Buffer, to: &mut Buffer) -> Result<()> {
        to.data.copy_from_slice(&from.data);
        Ok(())
    }

    fn cast(&self, from: &Buffer, to: &mut Buffer, range: Range<usize>) -> Result<()> {
        to.data[range.clone()].copy_from_slice(&from.data[range]);
        Ok(())
    }

    fn begin_record(&self) -> Result<bool> {
        Ok(false)
    }

    fn end_record(&self) -> Result<Recording> {
        no_recording()
    }

    fn replay(&self, _graph: &Recording) -> Result<()> {
        no_recording()
    }

    fn gemm(
        &self,
        shape: Gemm,
        a: (&Buffer, usize),
        b: (&Buffer, usize),
        bias: Option<(&Buffer, usize)>,
        c: &mut Buffer,
    ) -> Result<()> {
        let (a, b) = (&a.0.data[a.1..], &b.0.data[b.1..]);
        let bias = bias.map(|(bias, at)| &bias.data[at..at + shape.n]);
        gemm::gemm(shape, a, b, bias, &mut c.data);
        Ok(())
    }

    fn gemm_gradient(
        &self,
        shape: Gemm,
        a: (&Buffer, usize),
        b: (&Buffer, usize),
        c: &mut Buffer,
        c_at: usize,
    ) -> Result<()> {
        let (a, b) = (&a.0.data[a.1..], &b.0.data[b.1..]);
        gemm::gemm_long(shape, a, b, &mut c.data[c_at..]);
        Ok(())
    }

    fn column_sums(
        &self,
        x: &Buffer,
        width: usize,
        sums: &mut Buffer,
        sums_at: usize,
    ) -> Result<()> {
        norm::column_sums(&x.data, width, &mut sums.data[sums_at..sums_at + width]);
        Ok(())
    }

    fn embed(
        &self,
        ids: &Ids,
        table: &Buffer,
        table_at: usize,
        scale: f32,
        x: &mut Buffer,
    ) -> Result<()> {
        embed::forward(ids, &table.data[table_at..], scale, &mut x.data);
        Ok(())
    }

    fn embed_backward(
        &self,
        ids: &Ids,
        dx: &Buffer,
        scale: f32,
        gradients: &mut Buffer,
        table_at: usize,
    ) -> Result<()> {
        embed::backward(ids, &dx.data, scale, &mut gradients.data[table_at..]);
        Ok(())
    }

    fn norm(
        &self,
        shape: NormShape,
        parameters: &Buffer,
        x: &Buffer,
        y: &mut Buffer,
    ) -> Result<()> {
        norm::forward(shape, &parameters.data, &x.data, &mut y.data);
        Ok(())
    }

    fn norm_backward(
        &self,
        shape: NormShape,
        parameters: &Buffer,
        x: &Buffer,
        dy: &Buffer,
        dx: &mut Buffer,
        gradients: &mut Buffer,
    ) -> Result<()> {
        let (x, dy) = (&x.data, &dy.data);
        norm::backward(
            shape,
            &parameters.data,
            x,
            dy,
            &mut dx.data,
            &mut gradients.data,
        );
        Ok(())
    }

    fn rpe(
        &self,
        shape: &RpeShape,
        parameters: &Buffer,
        hidden: &mut Buffer,
        kernel: &mut Buffer,
    ) -> Result<()> {
        rpe::forward(shape, &parameters.data, &mut hidden.data, &mut kernel.data);
        Ok(())
    }

    fn rpe_backward(
        &self,
        shape: &RpeShape,
        parameters: &Buffer,
        hidden: &mut Buffer,
        d_kernel: &mut Buffer,
        gradients: &mut Buffer,
    ) -> Result<()> {
        let (hidden, d_kernel) = (&mut hidden.data, &mut d_kernel.data);
        rpe::backward(
            shape,
            &parameters.data,
            hidden,
            d_kernel,
            &mut gradients.data,
        );
        Ok(())
    }

    fn mix(
        &self,
        mix: &mut Mix,
        kernel: &Buffer,
        parameters: &Buffer,
        bias_at: Option<usize>,
        uv: &Buffer,
        y: &mut Buffer,
        g: &mut Buffer,
    ) -> Result<()> {
        let bias = biases(&parameters.data, bias_at, mix.rows());
        let input = mix::Input {
            kernel: &kernel.data,
            bias,
            uv: &uv.data,
        };
        mix::forward(mix, input, &mut y.data, &mut g.data);
        Ok(())
    }

    fn mix_backward(
        &self,
        mix: &mut Mix,
        kernel: &Buffer,
        parameters: &Buffer,
        bias_at: Option<usize>,
        uv: &Buffer,
        y: &Buffer,
        dg: &Buffer,
        duv: &mut Buffer,
        d_kernel: &mut Buffer,
        gradients: &mut Buffer,
    ) -> Result<()> {
        let bias = biases(&parameters.data, bias_at, mix.rows());
        let input = mix::Input {
            kernel: &kernel.data,
            bias,
            uv: &uv.data,
        };
        let to = mix::Gradients {
            duv: &mut duv.data,
            d_kernel: &mut d_kernel.data,
            d_bias: biases_mut(&mut gradients.data, bias_at, mix.rows()),
        };
        mix::backward(mix, input, &y.data, &dg.data, to);
        Ok(())
    }

    fn ski(
        &self,
        shape: SkiShape,
        kernel: &Buffer,
        parameters: &Buffer,
        at: SkiOffsets,
        uv: &Buffer,
        y: &mut Buffer,
        g: &mut Buffer,
    ) -> Result<()> {
        let input = ski_input(shape, kernel, parameters, at, uv);
        ski::forward(shape, input, &mut y.data, &mut g.data);
        Ok(())
    }

    fn ski_backward(
        &self,
        shape: SkiShape,
        kernel: &Buffer,
        parameters: &Buffer,
        at: SkiOffsets,
        uv: &Buffer,
        y: &Buffer,
        dg: &Buffer,
        duv: &mut Buffer,
        d_kernel: &mut Buffer,
        gradients: &mut Buffer,
    ) -> Result<()> {
        let input = ski_input(shape, kernel, parameters, at, uv);
        let gradients = &mut gradients.data;
        // Taps and biases may lie in either order: the taps' are summed beside, not in place.
        let mut taps = gradients[at.taps..][..shape.channels * shape.taps].to_vec();
        let to = ski::Gradients {
            duv: &mut duv.data,
            d_kernel: &mut d_kernel.data,
            d_taps: &mut taps,
            d_bias: biases_mut(gradients, at.bias, 2 * shape.channels),
        };
        ski::backward(shape, input, &y.data, &dg.data, to);
        gradients[at.taps..][..taps.len()].copy_from_slice(&taps);
        Ok(())
    }

    fn gate(
        &self,
        act: Activation,
        parameters: &Buffer,
        bias_at: Option<usize>,
        tokens: usize,
        h: &Buffer,
        a: &mut Buffer,
    ) -> Result<()> {
        let bias = biases(&parameters.data, bias_at, 2 * a.data.len() / tokens);
        gate::forward(act, bias, tokens, &h.data, &mut a.data);
        Ok(())
    }

    fn gate_backward(
        &self,
        act: Activation,
        parameters: &Buffer,
        bias_at: Option<usize>,
        tokens: usize,
        h: &Buffer,
        da: &Buffer,
        dh: &mut Buffer,
        gradients: &mut Buffer,
    ) -> Result<()> {
        let channels = da.data.len() / tokens;
        let bias = biases(&parameters.data, bias_at, 2 * channels);
        let d_bias = biases_mut(&mut gradients.data, bias_at, 2 * channels);
        gate::backward(act, bias, tokens, (&h.data, &da.data), &mut dh.data, d_bias);
        Ok(())
    }

    fn dropout(&self, x: &mut Buffer, p: f32, seed: &Buffer, stream: u32) -> Result<()> {
        let stream = Stream::new([seed.data[0], seed.data[1]], stream);
        dropout::dropout(&mut x.data, p, stream);
        Ok(())
    }

    fn mean_pool(&self, x: &Buffer, counts: &Buffer, length: usize, y: &mut Buffer) -> Result<()> {
        pool::forward(&x.data, &counts.data, length, &mut y.data);
        Ok(())
    }

    fn mean_pool_backward(
        &self,
        dy: &Buffer,
        counts: &Buffer,
        length: usize,
        dx: &mut Buffer,
    ) -> Result<()> {
        pool::backward(&dy.data, &counts.data, length, &mut dx.data);
        Ok(())
    }

    fn hide_padding(&self, uv: &mut Buffer, counts: &Buffer, length: usize) -> Result<()> {
        pool::hide(&mut uv.data, &counts.data, length);
        Ok(())
    }

    fn spread(&self, from: &Buffer, to: &mut Buffer) -> Result<()> {
        image::spread(&from.data, &mut to.data);
        Ok(())
    }

    fn gather(&self, from: &Buffer, to: &mut Buffer) -> Result<()> {
        image::gather(&from.data, &mut to.data);
        Ok(())
    }

    fn add(&self, from: &Buffer, to: &mut Buffer) -> Result<()> {
        blocks::add(&from.data, &mut to.data);
        Ok(())
    }

    fn head_loss(
        &self,
        weights: &Buffer,
        weight_at: usize,
        classes: usize,
        x: &Buffer,
        targets: &Ids,
        sums: &mut Buffer,
        backward: Option<HeadGradient<'_, Self>>,
    ) -> Result<()> {
        if targets.values.is_empty() {
            return Ok(());
        }
        let width = x.data.len() / targets.values.len();
        let weight = &weights.data[weight_at..][..classes * width];
        let head = loss::Head {
            weight,
            classes,
            width,
        };
        let backward = backward.map(|to| loss::Gradient {
            scale: to.scale,
            dx: &mut to.dx.data,
            d_weight: &mut to.gradients.data[to.weight_at..][..classes * width],
        });
        let more = loss::head_loss(head, &x.data, &targets.values, backward);
        let more = [more.loss, more.targets, more.right];
        for (sum, more) in sums.data.iter_mut().zip(more) {
            *sum = (f64::from(*sum) + more) as f32;
        }
        Ok(())
    }

    fn sum_squares(
        &self,
        x: &Buffer,
        range: Range<usize>,
        sums: &mut Buffer,
        at: usize,
    ) -> Result<()> {
        sums.data[at] += optimiser::sum_squares(&x.data[range]);
        Ok(())
    }

    fn adamw(&self, state: AdamW<'_, Self>, range: Range<usize>, decay: bool) -> Result<()> {
        let elements = optimiser::State {
            parameters: &mut state.parameters.data[range.clone()],
            copy: &mut state.copy.data[range.clone()],
            gradients: &state.gradients.data[range.clone()],
            first: &mut state.first.data[range.clone()],
            second: &mut state.second.data[range],
        };
        optimiser::adamw(elements, &state.hyper.data, decay);
        Ok(())
    }
}
