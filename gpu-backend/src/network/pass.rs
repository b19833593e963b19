//! The forward and the backward pass.

use super::layer::{Layer, products};
use super::mixing::Mixing;
use super::workspace::{Gradients, Input, Kept, Operator, Workspace};
use super::{Network, Parameters};
use crate::device::{Device, HeadGradient, NormShape, Result};

/// What is masked in one step: by dropout, whose masks differ by layer and place, and behind the end
/// of sequences.
struct Masks<'a, D: Device> {
    p: f32,
    seed: &'a D::F32,
    /// Positions before the padding, of sequences of this length, where padding must be hidden.
    padding: Option<(&'a D::F32, usize)>,
}

// Not derived: that would ask for a device that is Copy.
impl<D: Device> Clone for Masks<'_, D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D: Device> Copy for Masks<'_, D> {}

/// Places of a network that dropout applies to, as streams of random numbers.
#[derive(Clone, Copy)]
enum Place {
    Embedding,
    Gtu(usize),
    Glu(usize),
}

impl<D: Device> Masks<'_, D> {
    /// Hides padding from the Toeplitz product of `uv`.
    fn hide_padding(&self, device: &D, uv: &mut D::Act) -> Result<()> {
        match self.padding {
            Some((counts, length)) => device.hide_padding(uv, counts, length),
            None => Ok(()),
        }
    }

    fn drop_out(&self, device: &D, place: Place, x: &mut D::Act) -> Result<()> {
        if self.p == 0.0 {
            return Ok(());
        }
        let stream = match place {
            Place::Embedding => 0,
            Place::Gtu(layer) => 1 + 2 * layer as u32,
            Place::Glu(layer) => 2 + 2 * layer as u32,
        };
        device.dropout(x, self.p, self.seed, stream)
    }
}

/// Sizes that every product of a pass needs.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    tokens: usize,
    dim: usize,
    channels: usize,
    glu: usize,
}

impl<D: Device> Network<D> {
    pub(super) fn sizes(&self, workspace: &Workspace<D>) -> Sizes {
        Sizes {
            tokens: workspace.positions(),
            dim: self.config.dim,
            channels: self.config.channels(),
            glu: self.config.glu_dim,
        }
    }

    /// The norm before the head.
    pub(super) fn final_norm(&self) -> NormShape {
        NormShape {
            norm: self.options.final_norm,
            width: self.config.dim,
            weight_at: self.layout.find("final_norm.weight").unwrap_or_default(),
        }
    }

    /// Offset of the head's weight: the embedding's, if they are tied.
    pub(super) fn head_at(&self) -> usize {
        self.layout
            .find("head.weight")
            .unwrap_or_else(|| self.layout.at("embed.weight"))
    }

    /// Computes the kernels of all layers: they depend on the parameters and the length alone.
    pub(super) fn kernels(&self, workspace: &mut Workspace<D>) -> Result<()> {
        for (layer, kept) in workspace.layers.iter().zip(&mut workspace.kept) {
            for (rpe, operator) in layer.rpes.iter().zip(&mut kept.operators) {
                let Operator { hidden, kernel, .. } = operator;
                self.device
                    .rpe(rpe, &self.parameters.values, hidden, kernel)?;
            }
        }
        Ok(())
    }

    /// From `workspace.tokens` to `workspace.last_norm`, by the kernels already computed; `p` is the
    /// probability of dropout.
    pub(super) fn forward(&self, workspace: &mut Workspace<D>, p: f32) -> Result<()> {
        let sizes = self.sizes(workspace);
        let Workspace {
            layers,
            kept,
            mix,
            input,
            last,
            last_norm,
            pooled,
            seed,
            counts,
            hides,
            length,
            ..
        } = workspace;
        let padding = counts.as_ref().filter(|_| *hides);
        let masks = Masks {
            p,
            seed: &*seed,
            padding: padding.map(|counts| (counts, *length)),
        };
        let first = kept.first_mut().map_or(&mut *last, |kept| &mut kept.x);
        self.enter(input, sizes, first)?;
        masks.drop_out(&self.device, Place::Embedding, first)?;
        for index in 0..layers.len() {
            let (now, next) = kept[index..].split_at_mut(1);
            let (kept, layer) = (&mut now[0], &layers[index]);
            let out = next.first_mut().map_or(&mut *last, |next| &mut next.x);
            self.mix_tokens(layer, index, sizes, kept, mix, masks)?;
            self.mix_features(layer, index, sizes, kept, out, masks)?;
        }
        let values = &self.parameters.values;
        self.device
            .norm(self.final_norm(), values, last, last_norm)?;
        match (pooled, counts) {
            (Some(pooled), Some(counts)) => {
                self.device.mean_pool(last_norm, counts, *length, pooled)
            }
            _ => Ok(()),
        }
    }

    /// The residual stream's start: rows of the embedding, or a linear map of frames.
    fn enter(&self, input: &Input<D>, sizes: Sizes, x: &mut D::Act) -> Result<()> {
        let (device, copy) = (&self.device, &self.parameters.copy);
        match input {
            Input::Tokens(ids) => {
                let scale = self.config.embed_scale as f32;
                device.embed(ids, copy, self.layout.at("embed.weight"), scale, x)
            }
            Input::Frames(frames) => {
                let frame = self.config.frame_dim().unwrap_or_default();
                let weight = (copy, self.layout.at("frames.weight"));
                let bias = self.layout.find("frames.bias").map(|at| (copy, at));
                let shape = products::frames(sizes.dim, sizes.tokens, frame);
                device.gemm(shape, (frames, 0), weight, bias, x)
            }
        }
    }

    /// `z = x + GTU(norm(x))`.
    fn mix_tokens(
        &self,
        layer: &Layer,
        index: usize,
        sizes: Sizes,
        kept: &mut Kept<D>,
        mix: &mut Mixing<D>,
        masks: Masks<'_, D>,
    ) -> Result<()> {
        let (device, Parameters { values, copy, .. }) = (&self.device, &self.parameters);
        let Sizes {
            tokens: t,
            dim: d,
            channels: e,
            ..
        } = sizes;
        device.norm(layer.token_norm, values, &kept.x, &mut kept.x_norm)?;
        let enter = products::enter(2 * e, t, d);
        device.gemm(
            enter,
            (copy, layer.uv_at),
            (&kept.x_norm, 0),
            None,
            &mut kept.uv,
        )?;
        masks.hide_padding(device, &mut kept.uv)?;
        mix.forward(device, layer, values, kept)?;
        masks.drop_out(device, Place::Gtu(index), &mut kept.g)?;
        let bias = layer.o_bias_at.map(|at| (copy, at));
        let (leave, x, z) = (products::leave(d, t, e), &kept.x, &mut kept.z);
        device.gemm_add(leave, (&kept.g, 0), (copy, layer.o_at), bias, x, z)
    }

    /// `out = z + GLU(norm(z))`.
    fn mix_features(
        &self,
        layer: &Layer,
        index: usize,
        sizes: Sizes,
        kept: &mut Kept<D>,
        out: &mut D::Act,
        masks: Masks<'_, D>,
    ) -> Result<()> {
        let (device, Parameters { values, copy, .. }) = (&self.device, &self.parameters);
        let Sizes {
            tokens: t,
            dim: d,
            glu: g,
            ..
        } = sizes;
        device.norm(layer.feature_norm, values, &kept.z, &mut kept.z_norm)?;
        let enter = products::enter(2 * g, t, d);
        device.gemm(
            enter,
            (copy, layer.l12_at),
            (&kept.z_norm, 0),
            None,
            &mut kept.h,
        )?;
        let act = self.options.glu_act;
        device.gate(act, values, layer.l12_bias_at, t, &kept.h, &mut kept.a)?;
        masks.drop_out(device, Place::Glu(index), &mut kept.a)?;
        let bias = layer.l3_bias_at.map(|at| (copy, at));
        let (leave, z) = (products::leave(d, t, g), &kept.z);
        device.gemm_add(leave, (&kept.a, 0), (copy, layer.l3_at), bias, z, out)
    }

    /// Loss of `workspace.targets`, not divided by their number, and all its gradients, after
    /// [`Network::forward`].
    ///
    /// With `reduce`, a layer's gradients are summed over all processes while those of the layers
    /// below are computed.
    pub(super) fn backward(
        &mut self,
        workspace: &mut Workspace<D>,
        p: f32,
        reduce: bool,
    ) -> Result<()> {
        // Padding has no gradient: nothing that is asked for depends on it.
        let masks = Masks {
            p,
            seed: &workspace.seed,
            padding: None,
        };
        let sizes = self.sizes(workspace);
        let (head_at, norm) = (self.head_at(), self.final_norm());
        let Some(gradients) = &mut workspace.gradients else {
            unreachable!("prepared before every training step");
        };
        let Self {
            device,
            parameters,
            sums,
            ..
        } = self;
        let head = HeadGradient {
            scale: 1.0,
            dx: gradients.pooled.as_mut().unwrap_or(&mut gradients.norm),
            gradients: &mut parameters.gradients,
            weight_at: head_at,
        };
        device.head_loss(
            &parameters.copy,
            head_at,
            self.config.outputs(),
            workspace.pooled.as_ref().unwrap_or(&workspace.last_norm),
            &workspace.targets,
            sums,
            Some(head),
        )?;
        if let (Some(pooled), Some(counts)) = (&gradients.pooled, &workspace.counts) {
            device.mean_pool_backward(pooled, counts, workspace.length, &mut gradients.norm)?;
        }
        device.copy(&gradients.zero, &mut gradients.x)?;
        let Gradients { x, norm: dy, .. } = gradients;
        let (values, all) = (&parameters.values, &mut parameters.gradients);
        device.norm_backward(norm, values, &workspace.last, dy, x, all)?;
        let layers = workspace.layers.iter().zip(&mut workspace.kept);
        for (index, (layer, kept)) in layers.enumerate().rev() {
            let mut pass = Backward {
                device,
                parameters,
                layer,
                index,
                sizes,
                masks,
            };
            pass.features(self.options.glu_act, kept, gradients)?;
            pass.tokens(&mut workspace.mix, kept, gradients)?;
            if reduce {
                let range = self.layout.layer(index);
                device.reduce_start(&mut parameters.gradients, range)?;
            }
        }
        masks.drop_out(device, Place::Embedding, &mut gradients.x)?;
        let all = &mut parameters.gradients;
        match &workspace.input {
            Input::Tokens(ids) => {
                let scale = self.config.embed_scale as f32;
                let at = self.layout.at("embed.weight");
                device.embed_backward(ids, &gradients.x, scale, all, at)?;
            }
            Input::Frames(frames) => {
                let frame = self.config.frame_dim().unwrap_or_default();
                let shape = products::frames_gradient(sizes.dim, sizes.tokens, frame);
                let (dx, at) = (&gradients.x, self.layout.at("frames.weight"));
                device.gemm_gradient(shape, (dx, 0), (frames, 0), all, at)?;
                if let Some(at) = self.layout.find("frames.bias") {
                    device.column_sums(dx, sizes.dim, all, at)?;
                }
            }
        }
        if !reduce {
            return Ok(());
        }
        let layers = self.layout.layer(0).start..self.layout.layer(self.config.layers - 1).end;
        for range in [0..layers.start, layers.end..self.layout.trained().end] {
            device.reduce_start(&mut parameters.gradients, range)?;
        }
        device.reduce_finish()
    }
}

/// The backward pass of one layer: `gradients.x` holds the gradient of its output before, of its
/// input after.
struct Backward<'a, D: Device> {
    device: &'a D,
    parameters: &'a mut Parameters<D>,
    layer: &'a Layer,
    index: usize,
    sizes: Sizes,
    masks: Masks<'a, D>,
}

impl<D: Device> Backward<'_, D> {
    fn features(
        &mut self,
        act: crate::device::Activation,
        kept: &Kept<D>,
        by: &mut Gradients<D>,
    ) -> Result<()> {
        let Sizes {
            tokens: t,
            dim: d,
            glu: g,
            ..
        } = self.sizes;
        let (device, layer) = (self.device, self.layer);
        let Parameters {
            values,
            copy,
            gradients: all,
        } = &mut *self.parameters;
        if let Some(at) = layer.l3_bias_at {
            device.column_sums(&by.x, d, all, at)?;
        }
        let back = products::leave_backward(d, t, g);
        device.gemm(back, (copy, layer.l3_at), (&by.x, 0), None, &mut by.a)?;
        let weight = products::leave_gradient(d, t, g);
        device.gemm_gradient(weight, (&by.x, 0), (&kept.a, 0), all, layer.l3_at)?;
        self.masks
            .drop_out(device, Place::Glu(self.index), &mut by.a)?;
        let bias = layer.l12_bias_at;
        device.gate_backward(act, values, bias, t, &kept.h, &by.a, &mut by.h, all)?;
        let weight = products::enter_gradient(2 * g, t, d);
        device.gemm_gradient(weight, (&by.h, 0), (&kept.z_norm, 0), all, layer.l12_at)?;
        let back = products::enter_backward(2 * g, t, d);
        device.gemm(back, (&by.h, 0), (copy, layer.l12_at), None, &mut by.norm)?;
        let norm = layer.feature_norm;
        device.norm_backward(norm, values, &kept.z, &by.norm, &mut by.x, all)
    }

    fn tokens(
        &mut self,
        mix: &mut Mixing<D>,
        kept: &mut Kept<D>,
        by: &mut Gradients<D>,
    ) -> Result<()> {
        let Sizes {
            tokens: t,
            dim: d,
            channels: e,
            ..
        } = self.sizes;
        let (device, layer) = (self.device, self.layer);
        let Parameters {
            values,
            copy,
            gradients: all,
        } = &mut *self.parameters;
        if let Some(at) = layer.o_bias_at {
            device.column_sums(&by.x, d, all, at)?;
        }
        let back = products::leave_backward(d, t, e);
        device.gemm(back, (copy, layer.o_at), (&by.x, 0), None, &mut by.g)?;
        let weight = products::leave_gradient(d, t, e);
        device.gemm_gradient(weight, (&by.x, 0), (&kept.g, 0), all, layer.o_at)?;
        self.masks
            .drop_out(device, Place::Gtu(self.index), &mut by.g)?;
        mix.backward(device, layer, values, kept, by, all)?;
        let operators = kept.operators.iter_mut().zip(&mut by.kernels);
        for (rpe, (operator, kernel)) in layer.rpes.iter().zip(operators) {
            device.rpe_backward(rpe, values, &mut operator.hidden, kernel, all)?;
        }
        let weight = products::enter_gradient(2 * e, t, d);
        device.gemm_gradient(weight, (&by.uv, 0), (&kept.x_norm, 0), all, layer.uv_at)?;
        let back = products::enter_backward(2 * e, t, d);
        device.gemm(back, (&by.uv, 0), (copy, layer.uv_at), None, &mut by.norm)?;
        let norm = layer.token_norm;
        device.norm_backward(norm, values, &kept.x, &by.norm, &mut by.x, all)
    }
}
