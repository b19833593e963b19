//! fairseq's options as a [`Config`].
//!
//! The architecture's name fixes nothing: its function only fills in options that training may have
//! changed afterwards. Defaults for absent options are those of the layers' code (`getattr` in
//! `fairseq/modules/tnn/tnn_layer_v2.py` of the public fork), and options that the forward pass does
//! not look at are not looked at here either. Every option that it does look at is either translated
//! or refused.

use super::super::config::{
    Activation, Config, FORMAT, Norm, NormPosition, RpeInput, Task, ToeplitzConfig, ToeplitzKind,
    VERSION,
};
use super::error::FairseqError;
use super::namespace::{Options, count, is_none, missing};
use super::pickle::Value;

/// What the tensors say that the options do not.
pub(super) struct Embeddings {
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Whether input and output embedding share their data.
    pub share_data: bool,
}

/// Translates the options, refusing those that cannot be represented. Values are not yet validated.
pub(super) fn config(options: Options, embeddings: &Embeddings) -> Result<Config, FairseqError> {
    refuse_unknown_mathematics(options)?;
    let dim = options.count("decoder_embed_dim", None)?;
    refuse_projections(options, dim)?;
    if options.get("decoder_normalize_before").is_none() {
        return Err(missing("decoder_normalize_before"));
    }
    let prenorm = options.switch("decoder_normalize_before", false)?;
    let shared = options.switch("share_decoder_input_output_embed", false)?;
    let unscaled = options.switch("no_scale_embedding", false)?;
    let causal = options.switch("causal", true)?;
    Ok(Config {
        format: FORMAT.to_owned(),
        version: VERSION,
        task: if causal {
            Task::CausalLm
        } else {
            Task::MaskedLm
        },
        vocab_size: embeddings.vocab_size,
        dim,
        layers: options.count("decoder_layers", None)?,
        num_heads: options.count("decoder_attention_heads", None)?,
        expand_ratio: options.number("expand_ratio", 3.0)?,
        glu_dim: glu_dim(options, dim)?,
        causal,
        norm: layer_norm(options)?,
        prenorm,
        norm_position: (!prenorm).then_some(NormPosition::PostResidual),
        final_norm: final_norm(options, prenorm)?,
        embed_scale: if unscaled { 1.0 } else { (dim as f64).sqrt() },
        tie_embeddings: shared || embeddings.share_data,
        gtu_act: activation(options, "act_fun", "silu")?,
        glu_act: activation(options, "glu_act", "silu")?,
        glu_final_act: activation(options, "fina_act", "None")?,
        gtu_norm: options.switch("use_norm", false)?,
        bias: true,
        classifier: None,
        toeplitz: toeplitz(options)?,
        train_len: train_len(options)?,
    })
}

/// The architecture's name.
///
/// The first version of the layers (`tnn_lm`) must be refused by name: its tensors are called the same and
/// have the same shapes, but it normalises twice and adds the normalised input.
pub(super) fn arch(options: Options) -> Result<String, FairseqError> {
    let name = ["arch", "_name"]
        .into_iter()
        .find_map(|option| options.get(option)?.str());
    let arch = name.ok_or_else(|| missing("arch"))?.to_owned();
    let why = if arch.starts_with("tnn_v2") {
        return Ok(arch);
    } else if arch.starts_with("tnn") {
        "the first version of the layers normalises twice and adds the normalised input"
    } else {
        "what it computes is not known here"
    };
    Err(FairseqError::Architecture { arch, why })
}

fn toeplitz(options: Options) -> Result<ToeplitzConfig, FairseqError> {
    let decay = options.switch("use_decay", false)?;
    let learned_decay = options.switch("use_multi_decay", false)?;
    Ok(ToeplitzConfig {
        kind: ToeplitzKind::Tno,
        rpe_dim: options.count("rpe_embedding", Some(64))?,
        rpe_layers: options.count("rpe_layers", Some(6))?,
        rpe_act: activation(options, "rpe_act", "relu")?,
        rpe_norm: norm(options, "norm_type", "simplermsnorm")?,
        rpe_input: rpe_input(options)?,
        bins: None,
        rank: None,
        taps: None,
        warp: None,
        image: None,
        decay,
        learned_decay,
        // A fixed gamma is read from the tensors.
        decay_floor: if learned_decay {
            options.number("gamma", 0.99)?
        } else {
            0.0
        },
        act: activation(options, "act_type", "none")?,
        residual: options.switch("residual", false)?,
        normalize: options.switch("normalize", false)?,
    })
}

fn rpe_input(options: Options) -> Result<RpeInput, FairseqError> {
    match options.count("par_type", Some(1))? {
        1 => Ok(RpeInput::Lag),
        2 => Ok(RpeInput::Scaled),
        3 => Ok(RpeInput::Exp),
        _ => Err(refuse(options, "par_type", "the layers know 1, 2 and 3")),
    }
}

/// -1 means the width of the model.
fn glu_dim(options: Options, dim: usize) -> Result<usize, FairseqError> {
    match options.get("glu_dim").map(|node| node.value()) {
        None | Some(Value::Int(-1)) => Ok(dim),
        Some(_) => options.count("glu_dim", None),
    }
}

/// The layers' norms default to LayerNorm where those inside the GTU default to SimpleRMSNorm.
fn layer_norm(options: Options) -> Result<Norm, FairseqError> {
    if options.get("norm_type").is_none() && options.switch("use_norm", false)? {
        let why = "without norm_type, the GTU's norm is another one than the layer's";
        return Err(refuse(options, "use_norm", why));
    }
    norm(options, "norm_type", "layernorm")
}

fn final_norm(options: Options, prenorm: bool) -> Result<Norm, FairseqError> {
    if !prenorm || options.switch("no_decoder_final_norm", false)? {
        return Ok(Norm::None);
    }
    match norm(options, "final_layernorm", "layernorm")? {
        known @ (Norm::LayerNorm | Norm::SimpleRmsNorm) => Ok(known),
        _ => Err(refuse(
            options,
            "final_layernorm",
            "the decoder knows layernorm and simplermsnorm",
        )),
    }
}

fn norm(options: Options, option: &str, default: &'static str) -> Result<Norm, FairseqError> {
    match options.name(option, default)? {
        "simplermsnorm" => Ok(Norm::SimpleRmsNorm),
        "rmsnorm" => Ok(Norm::RmsNorm),
        "gatedrmsnorm" => Ok(Norm::GatedRmsNorm),
        "scalenorm" => Ok(Norm::ScaleNorm),
        "layernorm" => Ok(Norm::LayerNorm),
        _ => Err(refuse(
            options,
            option,
            "no norm of the TNN layers has this name",
        )),
    }
}

fn activation(
    options: Options,
    option: &str,
    default: &'static str,
) -> Result<Activation, FairseqError> {
    match options.name(option, default)? {
        "silu" => Ok(Activation::Silu),
        "relu" => Ok(Activation::Relu),
        "gelu" => Ok(Activation::Gelu),
        "elu" => Ok(Activation::Elu),
        "sigmoid" => Ok(Activation::Sigmoid),
        "leak" => Ok(Activation::LeakyRelu),
        "1+elu" => Ok(Activation::OnePlusElu),
        "2+elu" => Ok(Activation::TwoPlusElu),
        "none" | "None" => Ok(Activation::None),
        "exp" => Err(refuse(
            options,
            option,
            "fairseq subtracts the largest value before this exp, so that channels depend on each other",
        )),
        _ => Err(refuse(
            options,
            option,
            "no supported activation has this name",
        )),
    }
}

fn train_len(options: Options) -> Result<usize, FairseqError> {
    for option in ["tokens_per_sample", "max_target_positions"] {
        let found = options
            .get(option)
            .or_else(|| options.in_section("task", option));
        if let Some(node) = found.filter(|node| !is_none(*node)) {
            return count(option, node);
        }
    }
    Err(missing("tokens_per_sample"))
}

/// Options that, switched on, change the network into one that [`Config`] cannot describe.
const OFF: [(&str, &str); 5] = [
    ("adaptive_input", "needs adaptive embeddings"),
    ("character_embeddings", "needs a character network"),
    ("layernorm_embedding", "needs a norm after the embedding"),
    ("resi_param", "needs a weighted shortcut"),
    ("cross_self_attention", "needs an encoder"),
];

fn refuse_unknown_mathematics(options: Options) -> Result<(), FairseqError> {
    for (option, why) in OFF {
        if options.is_set(option) && options.switch(option, false)? {
            return Err(refuse(options, option, why));
        }
    }
    for option in ["base_layers", "quant_noise_pq", "quant_noise_scalar"] {
        if options.is_set(option) && options.number(option, 0.0)? != 0.0 {
            return Err(refuse(options, option, "changes what the layers compute"));
        }
    }
    for (option, why) in [
        ("adaptive_softmax_cutoff", "needs an adaptive softmax"),
        (
            "decoder_layers_to_keep",
            "the file may hold layers that are to be left out",
        ),
    ] {
        if options.is_set(option) && !options.name(option, "")?.is_empty() {
            return Err(refuse(options, option, why));
        }
    }
    for (option, known, why) in [
        ("gtu_type", 2, "only the second version of the GTU is known"),
        ("glu_type", 1, "only the first version of the GLU is known"),
    ] {
        if options.count(option, Some(known))? != known {
            return Err(refuse(options, option, why));
        }
    }
    // fairseq takes the biases of the GLU only, so neither setting of `Config::bias` describes it.
    if !options.switch("bias", true)? {
        return Err(refuse(
            options,
            "bias",
            "the GLU has no biases but the other maps have",
        ));
    }
    refuse_positions(options)
}

fn refuse_positions(options: Options) -> Result<(), FairseqError> {
    let without = [
        "no_token_positional_embeddings",
        "no_decoder_token_positional_embeddings",
    ];
    for option in without {
        if options.switch(option, false)? {
            return Ok(());
        }
    }
    let why = "positional embeddings are added to the tokens', which a streaming model cannot do";
    Err(refuse(options, without[0], why))
}

/// Embeddings of another width than the layers need a linear map between them.
fn refuse_projections(options: Options, dim: usize) -> Result<(), FairseqError> {
    for option in ["decoder_input_dim", "decoder_output_dim"] {
        if options.count(option, Some(dim))? != dim {
            let why = "the embedding is not as wide as the layers (decoder_embed_dim)";
            return Err(refuse(options, option, why));
        }
    }
    Ok(())
}

fn refuse(options: Options, option: &str, why: &'static str) -> FairseqError {
    let value = options
        .get(option)
        .map_or_else(|| "absent".to_owned(), |node| node.describe());
    FairseqError::Option {
        option: option.to_owned(),
        value,
        why,
    }
}
