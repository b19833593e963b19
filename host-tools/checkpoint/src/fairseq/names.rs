//! fairseq's tensor names.

/// What a tensor of fairseq's state dict is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A parameter, by its name in a native checkpoint.
    Parameter(String),
    /// Bookkeeping that no forward pass uses.
    Bookkeeping,
    /// Something that a TNN language model does not have.
    Unknown,
}

/// What the tensor called `name` is.
pub(super) fn meaning(name: &str) -> Meaning {
    let Some(name) = name.strip_prefix("decoder.") else {
        return Meaning::Unknown;
    };
    match name {
        "version" | "_float_tensor" | "embed_positions._float_tensor" => Meaning::Bookkeeping,
        "embed_tokens.weight" => Meaning::Parameter("embed.weight".to_owned()),
        "output_projection.weight" => Meaning::Parameter("head.weight".to_owned()),
        _ => match name.strip_prefix("layers.") {
            Some(rest) => layer(rest),
            None => match name.strip_prefix("layer_norm.") {
                Some(parameter) => Meaning::Parameter(format!("final_norm.{parameter}")),
                None => Meaning::Unknown,
            },
        },
    }
}

/// fairseq's names for the parts of a layer, and ours.
const PARTS: [(&str, &str); 4] = [
    ("self_attn.gtu.", "token_mixer."),
    ("glu.", "feature_mixer."),
    ("self_attn_layer_norm.", "token_norm."),
    ("final_layer_norm.", "feature_norm."),
];

/// `rest` is what follows "layers.".
fn layer(rest: &str) -> Meaning {
    let renamed = rest.split_once('.').and_then(|(index, part)| {
        let mut parts = PARTS.iter();
        parts.find_map(|(theirs, ours)| {
            Some(format!(
                "layers.{index}.{ours}{}",
                part.strip_prefix(theirs)?
            ))
        })
    });
    renamed.map_or(Meaning::Unknown, Meaning::Parameter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_part_are_translated() {
        for (theirs, ours) in [
            ("decoder.embed_tokens.weight", "embed.weight"),
            ("decoder.output_projection.weight", "head.weight"),
            ("decoder.layer_norm.bias", "final_norm.bias"),
            (
                "decoder.layers.11.self_attn.gtu.toep.rpe.layers.0.2.weight",
                "layers.11.token_mixer.toep.rpe.layers.0.2.weight",
            ),
            (
                "decoder.layers.0.glu.l3.bias",
                "layers.0.feature_mixer.l3.bias",
            ),
            (
                "decoder.layers.0.self_attn_layer_norm.scale",
                "layers.0.token_norm.scale",
            ),
            (
                "decoder.layers.0.final_layer_norm.weight",
                "layers.0.feature_norm.weight",
            ),
        ] {
            assert_eq!(meaning(theirs), Meaning::Parameter(ours.to_owned()));
        }
        assert_eq!(meaning("decoder.version"), Meaning::Bookkeeping);
        for unknown in [
            "encoder.layers.0.glu.l1.weight",
            "decoder.layers.0.self_attn.k_proj.weight",
            "decoder.layers.x",
            "decoder.project_in_dim.weight",
        ] {
            assert_eq!(meaning(unknown), Meaning::Unknown);
        }
    }
}
