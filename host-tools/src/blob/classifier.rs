//! What the blob of a classifier has beside a language model's.

use super::writer::{Section, Source, WriteError, flushed};
use crate::checkpoint::config::{self, Config};
use toeplite::classifier::Pooling;

/// The sections of [`format::Classifier`](toeplite::format::Classifier); none of a language model.
pub(super) fn sections(source: &Source<'_>) -> Result<Vec<Section>, WriteError> {
    let config = &source.checkpoint.config;
    let (Some(classifier), Some(options)) = (&config.classifier, options(config)) else {
        return Ok(Vec::new());
    };
    let bias = match (classifier.frame_dim, config.bias) {
        (None, _) => Vec::new(),
        (Some(_), true) => source.vector("frames.bias", config.dim)?,
        (Some(_), false) => vec![0.0; config.dim],
    };
    Ok(vec![options, Section::f32(bias.into_iter().map(flushed))])
}

/// Classes, pooling and numbers of a frame; nothing of a language model.
pub(super) fn options(config: &Config) -> Option<Section> {
    let classifier = config.classifier.as_ref()?;
    let pooling = match classifier.pooling {
        config::Pooling::Mean => Pooling::Mean,
        config::Pooling::Last => Pooling::Last,
    };
    let frame_dim = classifier.frame_dim.unwrap_or(0);
    Some(Section::u32([
        classifier.classes as u32,
        pooling as u32,
        frame_dim as u32,
        0,
    ]))
}
