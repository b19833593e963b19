//! From a prompt to text, by a model of either numeric contract.

#[cfg(feature = "partition")]
use crate::partition::{self, Origin, Refusal};
use toeplite::{MemoryError, ModelError, SelfTestError, StepError, Token, fixed, sample};

/// A byte-level model has at least so many tokens, the bytes first.
#[cfg(feature = "partition")]
const BYTES: usize = 256;

/// A language model of a numeric contract.
pub trait Model<'a>: Copy {
    /// A sequence that it writes.
    type Session<'m>: Session;

    /// Checks a blob.
    ///
    /// # Errors
    /// What is wrong with it.
    fn from_bytes(bytes: &'a [u8]) -> Result<Self, ModelError>;

    /// Bytes of memory that a session needs.
    fn memory_needed(&self) -> usize;

    /// Tokens that it knows.
    fn vocab_size(&self) -> usize;

    /// A session at the start of a sequence.
    ///
    /// # Errors
    /// The memory is too small or not aligned.
    fn session<'m>(&self, memory: &'m mut [u8]) -> Result<Self::Session<'m>, MemoryError>;
}

/// A sequence being written.
pub trait Session {
    /// Draws tokens.
    type Sampler;

    /// Runs the known-answer test.
    ///
    /// # Errors
    /// Other logits than the host's.
    fn self_test(&mut self) -> Result<(), SelfTestError>;

    /// Takes the beginning of a text.
    ///
    /// # Errors
    /// There is none, or a token is not known.
    fn prefill(&mut self, prompt: impl Iterator<Item = u8>) -> Result<(), StepError>;

    /// Takes a token.
    ///
    /// # Errors
    /// It is not known.
    fn step(&mut self, token: Token) -> Result<(), StepError>;

    /// Draws the next token.
    fn sample(&self, sampler: &mut Self::Sampler) -> Token;
}

macro_rules! contract {
    ($model:ty, $session:ty, $sampler:ty) => {
        impl<'a> Model<'a> for $model {
            type Session<'m> = $session;

            fn from_bytes(bytes: &'a [u8]) -> Result<Self, ModelError> {
                <$model>::from_bytes(bytes)
            }

            fn memory_needed(&self) -> usize {
                self.memory_needed()
            }

            fn vocab_size(&self) -> usize {
                self.vocab_size()
            }

            fn session<'m>(&self, memory: &'m mut [u8]) -> Result<Self::Session<'m>, MemoryError> {
                self.session(memory)
            }
        }

        impl<'a, 'm> Session for $session {
            type Sampler = $sampler;

            fn self_test(&mut self) -> Result<(), SelfTestError> {
                self.self_test()
            }

            fn prefill(&mut self, prompt: impl Iterator<Item = u8>) -> Result<(), StepError> {
                self.prefill(prompt).map(|_| ())
            }

            fn step(&mut self, token: Token) -> Result<(), StepError> {
                self.step(token).map(|_| ())
            }

            fn sample(&self, sampler: &mut $sampler) -> Token {
                sampler.sample(self.logits())
            }
        }
    };
}

contract!(
    toeplite::Model<'a>,
    toeplite::Session<'a, 'm>,
    sample::Sampler
);
contract!(
    fixed::Model<'a>,
    fixed::Session<'a, 'm>,
    fixed::sample::Sampler
);

#[cfg(feature = "partition")]
/// The model of the image in `partition`, if all is good, or `built_in`. Its session fits `memory`, and it passed its
/// known-answer test, if it is that of the partition.
pub fn choose<'a, M: Model<'a>>(
    partition: &'a [u8],
    built_in: M,
    memory: &mut [u8],
) -> (M, Origin) {
    match stored(partition, memory) {
        Ok(model) => (model, Origin::Partition),
        Err(refusal) => (built_in, Origin::BuiltIn(refusal)),
    }
}

#[cfg(feature = "partition")]
fn stored<'a, M: Model<'a>>(partition: &'a [u8], memory: &mut [u8]) -> Result<M, Refusal> {
    let model = M::from_bytes(partition::image(partition)?.model())?;
    let vocabulary = model.vocab_size();
    if vocabulary < BYTES {
        return Err(Refusal::NoText { vocabulary });
    }
    let needed = model.memory_needed();
    let session = model.session(memory);
    let mut session = session.map_err(|error| partition::memory(error, needed))?;
    session.self_test().map_err(|_| Refusal::SelfTest)?;
    Ok(model)
}

/// Does the steps of a text: so that they can be counted.
pub trait Steps<S: Session> {
    /// [`Session::step`].
    ///
    /// # Errors
    /// Those of the session.
    fn step(&mut self, session: &mut S, token: Token) -> Result<(), StepError>;

    /// [`Session::sample`].
    fn sample(&mut self, session: &S, sampler: &mut S::Sampler) -> Token;
}

/// Steps that are not counted.
impl<S: Session> Steps<S> for () {
    fn step(&mut self, session: &mut S, token: Token) -> Result<(), StepError> {
        session.step(token)
    }

    fn sample(&mut self, session: &S, sampler: &mut S::Sampler) -> Token {
        session.sample(sampler)
    }
}

/// Gives the `tokens` tokens that the model appends to `prompt` to `each`, one after the other.
///
/// # Errors
/// The prompt is empty, or has a token that the model does not know.
pub fn generate<S: Session>(
    session: &mut S,
    sampler: &mut S::Sampler,
    prompt: impl Iterator<Item = u8>,
    tokens: u32,
    steps: &mut impl Steps<S>,
    mut each: impl FnMut(Token),
) -> Result<(), StepError> {
    session.prefill(prompt)?;
    let mut token = session.sample(sampler);
    for _ in 0..tokens {
        each(token);
        steps.step(session, token)?;
        token = steps.sample(session, sampler);
    }
    Ok(())
}
