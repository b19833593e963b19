//! Products along the rows and along the columns of images.
//!
//! A sequence is an image, row by row: a row is a sequence of its own, and a kernel whose lags stand a
//! row apart goes along the columns. Each product is a gated Toeplitz unit; units of one gate add up, as
//! do their gradients: `u . y1 + u . y2 = u . (y1 + y2)`.

use super::workspace::{Gradients, Kept};
use crate::device::{Device, MixShape, Result};

/// Plans and scratch for one batch shape.
pub(super) struct ImageMixing<D: Device> {
    rows: D::Mix,
    columns: D::Mix,
    /// Along the columns: the kernel `[E, 2 pixels]`, the gated product `[E, T]`.
    kernel: D::F32,
    g: D::Act,
}

/// Gradients of what [`ImageMixing`] has besides a network of sequences.
pub(super) struct ImageGradients<D: Device> {
    /// Along the columns: of the kernel `[E, 2 pixels]`, of gate and values `[2E, T]`.
    kernel: D::F32,
    uv: D::Act,
}

/// `shape` along the rows and along the columns of images whose rows have so many pixels. Its support is
/// that of lags along either, whole images where it ends nowhere.
fn shapes(shape: MixShape, [rows, columns]: [usize; 2]) -> [MixShape; 2] {
    let along_rows = MixShape {
        batch: shape.batch * rows,
        length: columns,
        support: shape.support.min(columns),
        ..shape
    };
    let farthest = shape.support.min(rows) - 1;
    let along_columns = MixShape {
        support: farthest * columns + 1,
        ..shape
    };
    [along_rows, along_columns]
}

impl<D: Device> ImageMixing<D> {
    /// `shape` is that of whole images as sequences, `sides` their rows and columns.
    pub fn new(device: &D, shape: MixShape, sides: [usize; 2]) -> Result<Self> {
        let [rows, columns] = shapes(shape, sides);
        Ok(Self {
            rows: device.new_mix(rows)?,
            columns: device.new_mix(columns)?,
            kernel: device.new_f32(shape.channels * shape.lags())?,
            g: device.new_act(shape.channels * shape.tokens())?,
        })
    }

    /// From `kept.uv` to `kept.g` and the operators' products.
    pub fn forward(
        &mut self,
        device: &D,
        bias: Option<usize>,
        values: &D::F32,
        kept: &mut Kept<D>,
    ) -> Result<()> {
        let Kept {
            uv, g, operators, ..
        } = kept;
        let [rows, columns] = pair(operators);
        device.mix(
            &mut self.rows,
            &rows.kernel,
            values,
            bias,
            uv,
            &mut rows.y,
            g,
        )?;
        device.spread(&columns.kernel, &mut self.kernel)?;
        let (mix, own) = (&mut self.columns, &mut self.g);
        device.mix(mix, &self.kernel, values, bias, uv, &mut columns.y, own)?;
        device.add(&self.g, g)
    }

    /// From `by.g` to `by.uv` and `by.kernels`; the biases' gradients are added to `all`.
    pub fn backward(
        &mut self,
        device: &D,
        bias: Option<usize>,
        values: &D::F32,
        kept: &mut Kept<D>,
        by: &mut Gradients<D>,
        all: &mut D::F32,
    ) -> Result<()> {
        let Kept { uv, operators, .. } = kept;
        let [rows, columns] = pair(operators);
        let Gradients {
            g: dg,
            uv: duv,
            kernels,
            image,
            ..
        } = by;
        let [d_rows, d_columns] = pair(kernels);
        let own = image.as_mut().expect("prepared for networks of images");
        device.mix_backward(
            &mut self.rows,
            &rows.kernel,
            values,
            bias,
            uv,
            &rows.y,
            dg,
            duv,
            d_rows,
            all,
        )?;
        device.spread(&columns.kernel, &mut self.kernel)?;
        device.mix_backward(
            &mut self.columns,
            &self.kernel,
            values,
            bias,
            uv,
            &columns.y,
            dg,
            &mut own.uv,
            &mut own.kernel,
            all,
        )?;
        device.gather(&own.kernel, d_columns)?;
        device.add(&own.uv, duv)
    }
}

impl<D: Device> ImageGradients<D> {
    /// For so many channels, images of so many pixels and tokens of all images.
    pub fn new(device: &D, channels: usize, pixels: usize, tokens: usize) -> Result<Self> {
        Ok(Self {
            kernel: device.new_f32(channels * 2 * pixels)?,
            uv: device.new_act(2 * channels * tokens)?,
        })
    }
}

/// What belongs to the rows and to the columns.
fn pair<T>(both: &mut [T]) -> &mut [T; 2] {
    both.try_into()
        .expect("networks of images have two operators a layer")
}

#[cfg(test)]
mod tests {
    use super::super::workspace::Operator;
    use super::*;
    use crate::device::Activation;
    use crate::device::checks::Random;
    use crate::device::cpu::Cpu;

    const SIDES: [usize; 2] = [3, 5];
    const PIXELS: usize = SIDES[0] * SIDES[1];
    const CHANNELS: usize = 2;
    const BATCH: usize = 2;

    fn buffer(values: &[f32]) -> <Cpu as Device>::F32 {
        let mut buffer = Cpu::new().new_f32(values.len()).unwrap();
        Cpu::new().write_f32(&mut buffer, 0, values).unwrap();
        buffer
    }

    fn operator(kernel: &[f32]) -> Operator<Cpu> {
        Operator {
            y: buffer(&[0.0; CHANNELS * BATCH * PIXELS]),
            kernel: buffer(kernel),
            hidden: buffer(&[]),
        }
    }

    /// `lag` of a channel's kernel, in circular order.
    fn lag(kernel: &[f32], length: usize, channel: usize, lag: isize) -> f64 {
        let column = lag.rem_euclid(2 * length as isize) as usize;
        kernel[channel * 2 * length + column].into()
    }

    /// Row by row and column by column, as the definition says.
    #[test]
    fn every_pixel_sees_its_row_and_its_column() {
        let mut random = Random::new(3);
        let along_rows = random.values(CHANNELS * 2 * SIDES[1]);
        let along_columns = random.values(CHANNELS * 2 * SIDES[0]);
        let uv = random.values(2 * CHANNELS * BATCH * PIXELS);
        let mut kept = Kept::<Cpu> {
            x: buffer(&[]),
            x_norm: buffer(&[]),
            uv: buffer(&uv),
            g: buffer(&[0.0; CHANNELS * BATCH * PIXELS]),
            z: buffer(&[]),
            z_norm: buffer(&[]),
            h: buffer(&[]),
            a: buffer(&[]),
            operators: vec![operator(&along_rows), operator(&along_columns)],
        };
        let shape = MixShape {
            batch: BATCH,
            length: PIXELS,
            channels: CHANNELS,
            causal: false,
            act: Activation::None,
            gated: true,
            support: PIXELS,
        };
        let device = Cpu::new();
        let mut mixing = ImageMixing::new(&device, shape, SIDES).unwrap();
        let values = buffer(&[]);
        mixing.forward(&device, None, &values, &mut kept).unwrap();
        let g = device.read_f32(&kept.g, 0..CHANNELS * BATCH * PIXELS);
        let [rows, columns] = SIDES.map(|side| side as isize);
        for (i, got) in g.unwrap().into_iter().enumerate() {
            let (channel, image, pixel) = (i / PIXELS / BATCH, i - i % PIXELS, i % PIXELS);
            let (row, column) = ((pixel / SIDES[1]) as isize, (pixel % SIDES[1]) as isize);
            let v = |row: isize, column: isize| {
                let at = image + (row * columns + column) as usize;
                f64::from(uv[CHANNELS * BATCH * PIXELS + at])
            };
            let of_row: f64 = (0..columns)
                .map(|c| lag(&along_rows, SIDES[1], channel, column - c) * v(row, c))
                .sum();
            let of_column: f64 = (0..rows)
                .map(|r| lag(&along_columns, SIDES[0], channel, row - r) * v(r, column))
                .sum();
            let want = f64::from(uv[i]) * (of_row + of_column);
            assert!((f64::from(got) - want).abs() < 1e-5, "{i}: {got} {want}");
        }
    }
}
