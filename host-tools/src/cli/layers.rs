//! How converted layers are shown.

use super::output;
use crate::convert::layer::LayerConversion;
use crate::convert::modal::Modal;
use anyhow::Result;
use serde_json::{Value, json};

/// The layers of a network.
pub struct Converted {
    /// Over lags from 0 on.
    pub forward: Vec<LayerConversion>,
    /// Over lags below zero; none of a causal network.
    pub backward: Vec<LayerConversion>,
}

impl Converted {
    /// All recurrences, layer by layer, with the layer's number and, where there are two, the direction.
    pub fn named(&self) -> impl Iterator<Item = (String, &LayerConversion)> {
        self.forward.iter().enumerate().flat_map(|(i, forward)| {
            let backward = self.backward.get(i);
            let name = match backward {
                None => i.to_string(),
                Some(_) => format!("{i} forward"),
            };
            let backward = backward.map(|l| (format!("{i} backward"), l));
            [(name, forward)].into_iter().chain(backward)
        })
    }

    /// The recurrences, forward and backward.
    pub fn modals(&self) -> [Vec<Modal>; 2] {
        [&self.forward, &self.backward].map(|l| l.iter().map(|l| l.modal.clone()).collect())
    }

    /// The layers as programs read them.
    pub fn json(&self) -> Vec<Value> {
        let mut layers: Vec<Value> = self.forward.iter().map(json).collect();
        for (layer, backward) in layers.iter_mut().zip(&self.backward) {
            layer["backward"] = json(backward);
        }
        layers
    }
}

/// A table of the layers, with what each changes in the predictions where that is known.
pub fn print(layers: &Converted, losses: Option<&[f64]>) -> Result<()> {
    let loss = |i: usize| losses.and_then(|losses| losses.get(i));
    let rows = layers.named().enumerate().map(|(i, (name, l))| {
        [
            name,
            l.method.name().into(),
            l.modal.fir_len().to_string(),
            l.modal.order().to_string(),
            format!("{:.1e}", l.kernel_error.median),
            format!("{:.1e}", l.kernel_error.rms),
            format!("{:.1e}", l.kernel_error.max),
            l.certificate
                .relative()
                .map_or("-".into(), |relative| format!("{:.1e}", relative.hinf)),
            l.ratio().map_or("-".into(), |ratio| format!("{ratio:.2}")),
            loss(i).map_or("-".into(), |loss| format!("{loss:.1e}")),
        ]
    });
    let header = [
        "layer",
        "method",
        "taps",
        "order",
        "kernel error: median",
        "rms",
        "worst channel",
        "peak over frequency",
        "/ best possible",
        "bits lost",
    ];
    Ok(output::line(output::table(header, rows))?)
}

/// A layer as programs read it.
pub fn json(layer: &LayerConversion) -> Value {
    let e = layer.kernel_error;
    json!({
        "method": layer.method.name(),
        "taps": layer.modal.fir_len(),
        "order": layer.modal.order(),
        "kernel_error": { "median": e.median, "rms": e.rms, "max": e.max },
        "measured_lags": layer.measured_lags,
        "bound": bound(layer),
        "lower_bound": layer.lower_bound,
        "ratio": layer.ratio(),
        "warnings": layer.warnings,
    })
}

/// The certificate: of the worst channel, of the layer as one operator, and of every channel.
pub fn bound(layer: &LayerConversion) -> Value {
    let c = &layer.certificate;
    json!({
        "l1": c.worst_l1(),
        "l2": c.worst_l2(),
        "hinf": c.hinf,
        "lags": c.lags,
        "relative": c.relative(),
        "channels": { "l1": c.l1, "l2": c.l2, "hinf": c.hinf_channels },
    })
}
