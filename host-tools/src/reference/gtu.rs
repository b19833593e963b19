//! The gated Toeplitz unit: a layer's token mixing.

use super::activation::activate;
use super::toeplitz::Toeplitz;
use super::{AsTrained, Linear, Maps, NormLayer, Params, Place, Real, ReferenceError};
use crate::checkpoint::config::{Activation, Config, Norm};
use ndarray::{Array2, ArrayView2};

/// `o(norm(act(u_proj x) * operator(act(v_proj x))))`.
#[derive(Clone, Debug)]
pub struct Gtu<T> {
    u_proj: Linear<T>,
    v_proj: Linear<T>,
    o: Linear<T>,
    act: Activation,
    toep: Toeplitz<T>,
    norm: NormLayer<T>,
}

impl<T: Real> Gtu<T> {
    /// Reads `u_proj`, `v_proj`, `o`, `toep` and, where `gtu_norm` is set, `norm`.
    ///
    /// # Errors
    /// A tensor is missing or has another shape; there are no heads or channels.
    pub fn from_params(config: &Config, params: &Params) -> Result<Self, ReferenceError> {
        let (dim, heads) = (config.dim, config.num_heads);
        if heads == 0 {
            return Err(ReferenceError::Zero { what: "num_heads" });
        }
        let channels = config.channels();
        let norm = if config.gtu_norm {
            config.norm
        } else {
            Norm::None
        };
        let linear = |name: &str, inputs, outputs| {
            Linear::from_params(&params.sub(name), inputs, outputs, config.bias)
        };
        Ok(Self {
            u_proj: linear("u_proj", dim, channels)?,
            v_proj: linear("v_proj", dim, channels)?,
            o: linear("o", channels, dim)?,
            act: config.gtu_act,
            toep: Toeplitz::from_params(
                &config.toeplitz,
                heads,
                channels / heads,
                config.causal,
                config.bias,
                &params.sub("toep"),
            )?,
            norm: NormLayer::from_params(norm, &params.sub("norm"), channels)?,
        })
    }

    /// The Toeplitz operator.
    pub fn toeplitz(&self) -> &Toeplitz<T> {
        &self.toep
    }

    /// `[n, dim]` to `[n, dim]`, with `mix` for the Toeplitz product of `[n, channels]`.
    pub fn forward(&self, x: &Array2<T>, mix: impl Fn(ArrayView2<T>) -> Array2<T>) -> Array2<T> {
        let Ok(y) = self.forward_with(x, mix, &mut AsTrained);
        y
    }

    /// [`forward`](Self::forward) with `maps` for the linear maps.
    ///
    /// # Errors
    /// Those of `maps`.
    pub fn forward_with<M: Maps<T>>(
        &self,
        x: &Array2<T>,
        mix: impl Fn(ArrayView2<T>) -> Array2<T>,
        maps: &mut M,
    ) -> Result<Array2<T>, M::Error> {
        let [mut u, mut v] = maps.apply(Place::GtuIn, [&self.u_proj, &self.v_proj], x)?;
        activate(self.act, &mut u);
        activate(self.act, &mut v);
        u *= &self.toep.apply(v.view(), mix);
        self.norm.apply(&mut u);
        let [y] = maps.apply(Place::GtuOut, [&self.o], &u)?;
        Ok(y)
    }
}
