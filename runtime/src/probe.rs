//! Who is told where a step is.

/// A part of the work for one token. Everything that [`Session::step`](crate::Session::step) does
/// belongs to one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Stage {
    /// The token's row of the embedding.
    Embedding,
    /// Norms, what goes into and out of the residual stream, and looking up a layer's weights.
    Norm,
    /// Activations and products, element by element.
    Gates,
    /// Products with the layers' matrices: quantization of the input, scales and biases included.
    Dense,
    /// The taps of the recurrences, and their past inputs.
    Fir,
    /// The modes of the recurrences.
    Recurrence,
    /// The product with the head's matrix.
    Head,
    /// Choosing a token. A session does not: whoever does may count it.
    #[cfg(feature = "profile")]
    Sampling,
}

/// Is told of every stage that begins.
pub trait Probe {
    /// The stage before ends, and `stage` begins.
    fn enter(&mut self, stage: Stage);
}

/// Nobody listens: a step without profiling.
impl Probe for () {
    #[inline(always)]
    fn enter(&mut self, _: Stage) {}
}
