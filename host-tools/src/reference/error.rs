//! What can be wrong with a network, its inputs, or what stands in for its token mixing.

/// Why the reference network could not be built or run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Logits of tokens are asked for of a network that gives a class for a whole sequence.
    #[error(
        "this checkpoint is a classifier: it has one answer for a whole sequence, no logits after each token; give it \
         clips with a class each"
    )]
    Classifier,
    /// A class is asked for of a language model.
    #[error(
        "this checkpoint is a language model: it has logits after each token, no class for a sequence; give it a text"
    )]
    NoClassifier,
    /// Tokens for a network of frames.
    #[error("the network reads frames of {width} numbers, not tokens")]
    ReadsFrames {
        /// Numbers of a frame.
        width: usize,
    },
    /// Frames for a network of tokens.
    #[error("the network reads tokens, not frames")]
    ReadsTokens,
    /// Operators along the rows and the columns of an image.
    #[error(
        "this checkpoint's operators are along the rows and columns of an image (toeplitz.image): a classifier of \
         sequences alone can be computed and converted here; toeplite-train eval evaluates this one"
    )]
    Image,
    /// Frames of another width.
    #[error("the network reads frames of {expected} numbers, these have {found}")]
    Frames {
        /// Numbers of a frame that the network reads.
        expected: usize,
        /// Numbers of these.
        found: usize,
    },
    /// A parameter that the configuration asks for is absent.
    #[error("tensor `{name}` is missing: the configuration asks for it")]
    MissingTensor {
        /// Full name.
        name: String,
    },
    /// A parameter has another shape than the configuration says.
    #[error("tensor `{name}` has shape {found:?}, but the configuration needs {expected:?}")]
    TensorShape {
        /// Full name.
        name: String,
        /// Shape by the configuration.
        expected: Vec<usize>,
        /// Shape as stored.
        found: Vec<usize>,
    },
    /// A configuration without a single head, channel or lag to work on.
    #[error("`{what}` is zero: the network would have nothing to compute")]
    Zero {
        /// The configuration's word for the quantity.
        what: &'static str,
    },
    /// The sequence has no tokens.
    #[error("the sequence is empty: give at least one token")]
    EmptySequence,
    /// A token is not in the vocabulary.
    #[error("token {token} at position {position} is outside the vocabulary of {vocab}")]
    Token {
        /// The token.
        token: u32,
        /// Where it stands.
        position: usize,
        /// Tokens that the network knows.
        vocab: usize,
    },
    /// The token mixing does not fit the network.
    #[error(
        "the token mixing has {found_layers} layers of {found_channels} channels, the network \
         {layers} of {channels}: convert the same checkpoint"
    )]
    Mixer {
        /// Layers of the network.
        layers: usize,
        /// Channels of every layer's Toeplitz operator.
        channels: usize,
        /// Layers of the mixing.
        found_layers: usize,
        /// Channels of the mixing.
        found_channels: usize,
    },
    /// The parts of a modal form or of a set of kernels contradict each other.
    #[error("layer {layer}: `{what}` has {found} where {expected} are needed")]
    MixerShape {
        /// Layer, from 0.
        layer: usize,
        /// The part.
        what: &'static str,
        /// Entries needed.
        expected: usize,
        /// Entries found.
        found: usize,
    },
}

/// That a part of a layer's mixing has as many entries as it needs.
pub(super) fn expect_len(
    layer: usize,
    what: &'static str,
    expected: usize,
    found: usize,
) -> Result<(), ReferenceError> {
    if expected == found {
        return Ok(());
    }
    Err(ReferenceError::MixerShape {
        layer,
        what,
        expected,
        found,
    })
}
