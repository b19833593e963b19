//! Instructions of a token on a device, foretold from its sizes.
//!
//! The coefficients are fitted to what `cargo xtask bench` counts in QEMU; the test below holds them
//! against the recorded counts of whole tokens, to 4 %.

use crate::blob::{ContractName, Target, WeightType};
use crate::checkpoint::Config;
use crate::quantize::MatrixName;
use toeplite::kernel::dense::int4;

/// Cores whose instructions are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Core {
    /// Cortex-M0 and M0+, contract `fixed`.
    M0,
    /// Cortex-M3, contract `fixed`.
    M3,
    /// Cortex-M4F, and M7 and M33, which run the same kernels; contract `f32`.
    M4,
    /// Cortex-M55 and M85, contract `f32`.
    M55,
    /// 32-bit RISC-V, contract `fixed`.
    Rv32,
}

impl Core {
    /// The core of a conversion: the target's. Models for every core are counted on a Cortex-M4F, of the
    /// contract `fixed` on a Cortex-M0.
    ///
    /// Nothing where a core without an FPU would run the contract `f32`, or where nobody counted.
    pub fn of(target: Target, contract: ContractName) -> Option<Self> {
        let core = match (target, contract) {
            (Target::Portable, ContractName::F32) => Self::M4,
            (Target::Portable, ContractName::Fixed) => Self::M0,
            (Target::M0, _) => Self::M0,
            (Target::M3, _) => Self::M3,
            (Target::M4 | Target::M7 | Target::M33, _) => Self::M4,
            (Target::M55 | Target::M85, _) => Self::M55,
            (Target::Rv32, _) => Self::Rv32,
        };
        let counted = match core {
            Self::M4 | Self::M55 => ContractName::F32,
            Self::M0 | Self::M3 | Self::Rv32 => ContractName::Fixed,
        };
        (counted == contract).then_some(core)
    }

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::M0 => "Cortex-M0",
            Self::M3 => "Cortex-M3",
            Self::M4 => "Cortex-M4F",
            Self::M55 => "Cortex-M55",
            Self::Rv32 => "RV32",
        }
    }

    fn rates(self) -> &'static Rates {
        match self {
            Self::M0 => &M0,
            Self::M3 => &M3,
            Self::M4 => &M4,
            Self::M55 => &M55,
            Self::Rv32 => &RV32,
        }
    }
}

/// Instructions of the stages of a token.
struct Rates {
    /// Of a product, for each type: a multiplication, a row.
    f32: [f64; 2],
    int8: [f64; 2],
    int4: [f64; 2],
    /// More for a row of the head.
    logit: f64,
    /// Quantization of a product's input: a column, a call. In the contract `fixed` it belongs to norms and
    /// gates.
    input: [f64; 2],
    /// A value of an activation or of a product of gates.
    gate: f64,
    /// Norms and the residual stream: a layer, a number of its width, a number of the last norm.
    norm: [f64; 3],
    /// A number of the embedding's row, the row.
    embedding: [f64; 2],
    /// Taps: a channel, a channel and tap, a channel and tap beyond a multiple of four.
    taps: [f64; 3],
    /// Modes: a channel, a channel and state.
    modes: [f64; 2],
}

const M4: Rates = Rates {
    f32: [4.25, 4.0],
    int8: [0.867, 13.75],
    int4: [1.136, 13.5],
    logit: 0.0,
    input: [7.4, 268.0],
    gate: 27.9,
    norm: [2082.0, 25.9, 30.3],
    embedding: [21.5, 359.0],
    taps: [3.3, 1.08, 2.1],
    modes: [2.9, 4.4],
};

const M55: Rates = Rates {
    f32: [5.1, 4.8],
    int8: [0.155, 3.6],
    int4: [0.31, 3.5],
    logit: 0.0,
    input: [1.93, 417.0],
    gate: 26.9,
    norm: [1888.0, 23.8, 26.0],
    embedding: [6.1, 295.0],
    taps: [3.3, 1.08, 2.1],
    modes: [2.9, 4.4],
};

const M0: Rates = Rates {
    f32: [0.0, 0.0],
    int8: [3.532, 13.4],
    int4: [3.36, 47.0],
    logit: 12.2,
    input: [0.0, 0.0],
    gate: 50.9,
    norm: [6208.0, 118.5, 52.4],
    embedding: [17.1, 0.0],
    taps: [11.7, 12.6, 0.0],
    modes: [-5.0, 31.1],
};

const M3: Rates = Rates {
    f32: [0.0, 0.0],
    int8: [2.313, 9.0],
    int4: [2.06, 37.0],
    logit: 9.7,
    input: [0.0, 0.0],
    gate: 33.8,
    norm: [4050.0, 75.0, 37.3],
    embedding: [13.2, 0.0],
    taps: [8.3, 5.3, 0.0],
    modes: [-4.0, 22.0],
};

const RV32: Rates = Rates {
    f32: [0.0, 0.0],
    int8: [3.344, 9.2],
    int4: [3.605, 41.0],
    logit: 10.8,
    input: [0.0, 0.0],
    gate: 39.6,
    norm: [4901.0, 93.9, 49.5],
    embedding: [13.4, 0.0],
    taps: [11.8, 8.25, 0.0],
    modes: [1.0, 20.9],
};

/// A step of a network on a core: a token's logits, without choosing the next token.
pub struct Step {
    rates: &'static Rates,
    dim: f64,
    channels: f64,
    glu_dim: f64,
    layers: f64,
    tied: bool,
}

impl Step {
    /// Of a network of `config` on `core`.
    pub fn new(config: &Config, core: Core) -> Self {
        Self {
            rates: core.rates(),
            dim: config.dim as f64,
            channels: config.channels() as f64,
            glu_dim: config.glu_dim as f64,
            layers: config.layers as f64,
            tied: config.tie_embeddings,
        }
    }

    /// Of the product with a matrix `[rows, columns]`, its input's quantization included.
    pub fn product(&self, name: MatrixName, rows: usize, columns: usize, of: WeightType) -> u64 {
        if name == MatrixName::Embedding && !self.tied {
            return 0; // one row is looked up
        }
        let rates = self.rates;
        let ([each, row], input, columns) = match of {
            WeightType::F32 => (rates.f32, [0.0; 2], columns),
            WeightType::Int8 => (rates.int8, rates.input, columns),
            // groups are filled up with zeros
            WeightType::Int4 => (
                rates.int4,
                rates.input,
                columns.next_multiple_of(int4::COLUMNS),
            ),
        };
        let logit = match name {
            MatrixName::Layer(..) => 0.0,
            MatrixName::Embedding | MatrixName::Head => rates.logit,
        };
        let (rows, columns) = (rows as f64, columns as f64);
        (rows * (each * columns + row + logit) + input[0] * columns + input[1]) as u64
    }

    /// Of a layer's recurrence.
    pub fn recurrence(&self, taps: usize, order: usize) -> u64 {
        let ([none, tap, loose], [no_mode, state]) = (self.rates.taps, self.rates.modes);
        let taps = none + tap * taps as f64 + loose * (taps % 4) as f64;
        let modes = match order {
            0 => 0.0,
            order => no_mode + state * order as f64,
        };
        (self.channels * (taps + modes)) as u64
    }

    /// Of all that is no product with a matrix and no recurrence.
    pub fn beside(&self) -> u64 {
        let rates = self.rates;
        let [norm, norm_number, last] = rates.norm;
        let gates = rates.gate * (2.0 * self.channels + self.glu_dim);
        let layer = norm + norm_number * self.dim + gates;
        let [number, lookup] = rates.embedding;
        (self.layers * layer + (last + number) * self.dim + lookup) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::test_kernels::bundled;
    use crate::convert::{Method, convert_layers};
    use crate::reference::testing;
    use serde_json::Value;

    /// Instructions of a step of a bundled model, with int8 weights and the orders of the default tolerance.
    fn foretold(model: &str, core: Core) -> f64 {
        let checkpoint = testing::checkpoint(model);
        let step = Step::new(&checkpoint.config, core);
        let weights = crate::blob::nearest(&checkpoint, |_| WeightType::Int8).unwrap();
        let products = weights.matrices().map(|(name, matrix)| {
            let (rows, columns) = matrix.dim();
            step.product(name, rows, columns, WeightType::Int8)
        });
        let layers = convert_layers(&bundled(model), &Method::default()).unwrap();
        let recurrences = layers
            .iter()
            .map(|layer| step.recurrence(layer.modal.fir_len(), layer.modal.order()));
        (products.sum::<u64>() + recurrences.sum::<u64>() + step.beside()) as f64
    }

    #[test]
    fn tokens_take_what_is_foretold() {
        let record = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../firmware-examples/bench/counts.json"
        );
        let record: Value = serde_json::from_slice(&std::fs::read(record).unwrap()).unwrap();
        let cores = [Core::M0, Core::M3, Core::M4, Core::M55, Core::Rv32];
        let mut compared = 0;
        for row in record["tokens"].as_array().unwrap() {
            let text = |key: &str| row[key].as_str().unwrap();
            let contract = match text("contract") {
                "f32" => ContractName::F32,
                _ => ContractName::Fixed,
            };
            let target = <Target as clap::ValueEnum>::from_str(text("target"), true).unwrap();
            let Some(core) = Core::of(target, contract) else {
                continue; // f32 without an FPU
            };
            let counted = row["instructions"].as_f64().unwrap();
            let counted = counted - row["stages"]["sampling"].as_f64().unwrap();
            let found = foretold(text("model"), core);
            assert!(
                (found / counted - 1.0).abs() < 0.04,
                "{row}: {found} for {counted}"
            );
            assert!(cores.contains(&core));
            compared += 1;
        }
        assert_eq!(compared, 6);
    }
}
