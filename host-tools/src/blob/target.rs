//! What a blob is packed for.

use toeplite::format::WeightOrder;

use crate::quantize::WeightType;

/// Cores whose kernels a blob's weights can be packed for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Target {
    /// Every core reads it.
    #[default]
    Portable,
    /// Cortex-M0 and M0+.
    M0,
    /// Cortex-M3.
    M3,
    /// Cortex-M4 and M4F.
    M4,
    /// Cortex-M7.
    M7,
    /// Cortex-M33 with DSP instructions.
    M33,
    /// Cortex-M55.
    M55,
    /// Cortex-M85.
    M85,
    /// 32-bit RISC-V.
    Rv32,
}

impl Target {
    /// The order of weights that the target's kernels read.
    pub fn order(self) -> WeightOrder {
        match self {
            Self::M4 | Self::M7 | Self::M33 => WeightOrder::Dual,
            // they read rows as they are
            Self::Portable | Self::M0 | Self::M3 | Self::M55 | Self::M85 | Self::Rv32 => {
                WeightOrder::Portable
            }
        }
    }
}

/// Numeric contracts of the runtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ContractName {
    /// Activations and states are f32.
    #[default]
    F32,
    /// Integers only, for cores without an FPU.
    Fixed,
}

/// How a blob stores its matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Type of the weights.
    pub weights: WeightType,
    /// For whose kernels they are packed.
    pub target: Target,
}

impl From<WeightType> for Storage {
    /// For every core.
    fn from(weights: WeightType) -> Self {
        Self {
            weights,
            target: Target::Portable,
        }
    }
}
