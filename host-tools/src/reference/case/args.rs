//! Constructor arguments of the official modules, and the configuration that they stand for.

use crate::checkpoint::config::{
    Activation, Config, FORMAT, Norm, RpeInput, Task, ToeplitzConfig, ToeplitzKind, VERSION,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An official module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Module {
    /// The Toeplitz operator.
    Tno,
    /// The Toeplitz operator given by its frequency response.
    TnoFD,
    /// The gated Toeplitz unit.
    Gtu,
    /// A whole layer.
    TnnLayer,
}

/// A module's arguments in this crate's terms.
#[derive(Clone, Debug)]
pub(super) enum ModuleArgs {
    Tno(OperatorArgs),
    TnoFD(OperatorArgs),
    Gtu(Box<Config>),
    TnnLayer(Box<Config>),
}

impl ModuleArgs {
    /// Reads the arguments of `module`; absent ones have the official constructor's defaults.
    pub(super) fn parse(module: Module, args: Value) -> Result<Self, String> {
        let wrong = |error: serde_json::Error| format!("arguments of {module:?}: {error}");
        Ok(match module {
            Module::Tno => {
                let args: TnoArgs = serde_json::from_value(args).map_err(wrong)?;
                Self::Tno(args.into())
            }
            Module::TnoFD => {
                let args: TnoFdArgs = serde_json::from_value(args).map_err(wrong)?;
                Self::TnoFD(args.into())
            }
            Module::Gtu => {
                let args: GtuArgs = serde_json::from_value(args).map_err(wrong)?;
                Self::Gtu(Box::new(args.config()?))
            }
            Module::TnnLayer => {
                let args: LayerArgs = serde_json::from_value(args).map_err(wrong)?;
                Self::TnnLayer(Box::new(args.config()?))
            }
        })
    }

    pub(super) fn module(&self) -> Module {
        match self {
            Self::Tno(_) => Module::Tno,
            Self::TnoFD(_) => Module::TnoFD,
            Self::Gtu(_) => Module::Gtu,
            Self::TnnLayer(_) => Module::TnnLayer,
        }
    }
}

/// An operator's arguments in this crate's terms.
#[derive(Clone, Debug)]
pub(super) struct OperatorArgs {
    pub(super) heads: usize,
    pub(super) head_dim: usize,
    pub(super) causal: bool,
    pub(super) bias: bool,
    pub(super) toeplitz: ToeplitzConfig,
}

impl From<TnoArgs> for OperatorArgs {
    fn from(args: TnoArgs) -> Self {
        Self {
            heads: args.h,
            head_dim: args.dim,
            causal: args.causal,
            bias: args.bias,
            toeplitz: args.toeplitz(),
        }
    }
}

/// Arguments of `TnoFD`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TnoFdArgs {
    h: usize,
    dim: usize,
    rpe_dim: usize,
    #[serde(default)]
    causal: bool,
    #[serde(default)]
    residual: bool,
    #[serde(default = "relu")]
    act: ActName,
    #[serde(default = "yes")]
    bias: bool,
    #[serde(default = "three_layers")]
    layers: usize,
    #[serde(default = "simple_rms_norm")]
    norm_type: NormName,
}

impl From<TnoFdArgs> for OperatorArgs {
    fn from(args: TnoFdArgs) -> Self {
        Self {
            heads: args.h,
            head_dim: args.dim,
            causal: args.causal,
            bias: args.bias,
            toeplitz: ToeplitzConfig {
                kind: ToeplitzKind::Fd,
                rpe_dim: args.rpe_dim,
                rpe_layers: args.layers,
                rpe_act: args.act.0,
                rpe_norm: args.norm_type.0,
                rpe_input: RpeInput::Omega,
                bins: None,
                rank: None,
                taps: None,
                warp: None,
                image: None,
                decay: false,
                learned_decay: false,
                decay_floor: 0.0,
                act: Activation::None,
                residual: args.residual,
                normalize: false,
            },
        }
    }
}

/// Arguments of `Tno`, and `normalize` of its `forward`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TnoArgs {
    h: usize,
    dim: usize,
    rpe_dim: usize,
    #[serde(default)]
    causal: bool,
    #[serde(default)]
    use_decay: bool,
    #[serde(default)]
    use_multi_decay: bool,
    #[serde(default)]
    residual: bool,
    #[serde(default = "relu")]
    act: ActName,
    #[serde(default)]
    par_type: ParType,
    #[serde(default = "gamma_999")]
    gamma: f64,
    #[serde(default = "yes")]
    bias: bool,
    #[serde(default)]
    act_type: ActName,
    #[serde(default = "three_layers")]
    layers: usize,
    #[serde(default = "simple_rms_norm")]
    norm_type: NormName,
    #[serde(default)]
    normalize: bool,
}

impl TnoArgs {
    fn toeplitz(&self) -> ToeplitzConfig {
        ToeplitzConfig {
            kind: ToeplitzKind::Tno,
            rpe_dim: self.rpe_dim,
            rpe_layers: self.layers,
            rpe_act: self.act.0,
            rpe_norm: self.norm_type.0,
            rpe_input: self.par_type.0,
            bins: None,
            rank: None,
            taps: None,
            warp: None,
            image: None,
            decay: self.use_decay,
            learned_decay: self.use_multi_decay,
            decay_floor: self.gamma,
            act: self.act_type.0,
            residual: self.residual,
            normalize: self.normalize,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GtuArgs {
    embed_dim: usize,
    num_heads: usize,
    #[serde(default = "yes")]
    bias: bool,
    #[serde(default = "silu")]
    act_fun: ActName,
    #[serde(default)]
    causal: bool,
    #[serde(default = "three")]
    expand_ratio: f64,
    #[serde(default)]
    resi_param: bool,
    #[serde(default)]
    use_norm: bool,
    #[serde(default = "simple_rms_norm")]
    norm_type: NormName,
    #[serde(default)]
    use_decay: bool,
    #[serde(default)]
    use_multi_decay: bool,
    #[serde(default = "three_layers")]
    rpe_layers: usize,
    #[serde(default = "rpe_512")]
    rpe_embedding: usize,
    #[serde(default = "relu")]
    rpe_act: ActName,
    #[serde(default)]
    normalize: bool,
    #[serde(default)]
    par_type: ParType,
    #[serde(default)]
    residual: bool,
    #[serde(default = "gamma_99")]
    gamma: f64,
    #[serde(default)]
    act_type: ActName,
}

impl GtuArgs {
    /// The configuration of a network of which this is a GTU; what does not touch the GTU is
    /// neutral.
    fn config(self) -> Result<Config, String> {
        if self.resi_param {
            return Err("resi_param is not defined: the official module fails with it".into());
        }
        let toeplitz = TnoArgs {
            h: self.num_heads,
            dim: 0,
            rpe_dim: self.rpe_embedding,
            causal: self.causal,
            use_decay: self.use_decay,
            use_multi_decay: self.use_multi_decay,
            residual: self.residual,
            act: self.rpe_act,
            par_type: self.par_type,
            gamma: self.gamma,
            bias: self.bias,
            act_type: self.act_type,
            layers: self.rpe_layers,
            norm_type: self.norm_type,
            normalize: self.normalize,
        };
        Ok(Config {
            format: FORMAT.into(),
            version: VERSION,
            task: if self.causal {
                Task::CausalLm
            } else {
                Task::MaskedLm
            },
            vocab_size: 0,
            dim: self.embed_dim,
            layers: 1,
            num_heads: self.num_heads,
            expand_ratio: self.expand_ratio,
            glu_dim: 0,
            causal: self.causal,
            norm: self.norm_type.0,
            prenorm: true,
            norm_position: None,
            final_norm: Norm::None,
            embed_scale: 1.0,
            tie_embeddings: true,
            gtu_act: self.act_fun.0,
            glu_act: Activation::None,
            glu_final_act: Activation::None,
            gtu_norm: self.use_norm,
            bias: self.bias,
            classifier: None,
            toeplitz: toeplitz.toeplitz(),
            train_len: 0,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LayerArgs {
    dim: usize,
    num_heads: usize,
    rpe_embedding: usize,
    glu_dim: usize,
    #[serde(default = "yes")]
    prenorm: bool,
    #[serde(default = "simple_rms_norm")]
    norm_type: NormName,
    #[serde(default)]
    causal: bool,
    #[serde(default = "silu")]
    gtu_act: ActName,
    #[serde(default = "three")]
    expand_ratio: f64,
    #[serde(default)]
    use_decay: bool,
    #[serde(default = "gamma_999")]
    gamma: f64,
    #[serde(default = "relu")]
    rpe_act: ActName,
    #[serde(default = "three_layers")]
    rpe_layers: usize,
    #[serde(default = "silu")]
    glu_act: ActName,
}

impl LayerArgs {
    fn config(self) -> Result<Config, String> {
        let gtu = GtuArgs {
            embed_dim: self.dim,
            num_heads: self.num_heads,
            bias: true,
            act_fun: self.gtu_act,
            causal: self.causal,
            expand_ratio: self.expand_ratio,
            resi_param: false,
            use_norm: false,
            norm_type: self.norm_type,
            use_decay: self.use_decay,
            use_multi_decay: false,
            rpe_layers: self.rpe_layers,
            rpe_embedding: self.rpe_embedding,
            rpe_act: self.rpe_act,
            normalize: false,
            par_type: ParType::default(),
            residual: false,
            gamma: self.gamma,
            act_type: ActName::default(),
        };
        Ok(Config {
            glu_dim: self.glu_dim,
            prenorm: self.prenorm,
            glu_act: self.glu_act.0,
            ..gtu.config()?
        })
    }
}

fn yes() -> bool {
    true
}

fn relu() -> ActName {
    ActName(Activation::Relu)
}

fn silu() -> ActName {
    ActName(Activation::Silu)
}

fn simple_rms_norm() -> NormName {
    NormName(Norm::SimpleRmsNorm)
}

fn three() -> f64 {
    3.0
}

fn three_layers() -> usize {
    3
}

fn rpe_512() -> usize {
    512
}

fn gamma_99() -> f64 {
    0.99
}

fn gamma_999() -> f64 {
    0.999
}

/// An activation by its official name; any name that the official code does not know is the
/// identity there.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(from = "String")]
struct ActName(Activation);

impl From<String> for ActName {
    fn from(name: String) -> Self {
        let known = serde_json::from_value(Value::String(name));
        Self(known.unwrap_or(Activation::None))
    }
}

/// A norm by its official name; any name that the official code does not know is a LayerNorm
/// there, `none` included.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(from = "String")]
struct NormName(Norm);

impl From<String> for NormName {
    fn from(name: String) -> Self {
        Self(match name.as_str() {
            "simplermsnorm" => Norm::SimpleRmsNorm,
            "rmsnorm" => Norm::RmsNorm,
            "gatedrmsnorm" => Norm::GatedRmsNorm,
            "scalenorm" => Norm::ScaleNorm,
            _ => Norm::LayerNorm,
        })
    }
}

/// What the RPE is given, by its official number.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "u64")]
struct ParType(RpeInput);

impl Default for ParType {
    fn default() -> Self {
        Self(RpeInput::Lag)
    }
}

impl TryFrom<u64> for ParType {
    type Error = String;

    fn try_from(number: u64) -> Result<Self, String> {
        match number {
            1 => Ok(Self(RpeInput::Lag)),
            2 => Ok(Self(RpeInput::Scaled)),
            3 => Ok(Self(RpeInput::Exp)),
            _ => Err(format!("par_type {number} is not defined: it is 1, 2 or 3")),
        }
    }
}
