//! A pickle reader that executes nothing.
//!
//! A pickle is a program for a small stack machine whose instructions build values; two of them
//! look up classes by name and call them, which is how a pickle runs foreign code. Here a call is
//! only written down ([`Object`]): whoever needs its result looks at the class name and interprets
//! the arguments itself. So a class that nobody asks for does no harm, known or not.
//!
//! Memory is bounded: values are at most one an instruction and at most [`MAX_VALUES`], and every
//! length that the file claims is compared with the bytes that are left before it is used.

mod cursor;
mod error;
mod machine;
pub(super) mod opcode;
#[cfg(test)]
mod tests;
mod value;

pub use error::{PickleError, PickleErrorKind};
pub use value::{Global, Mapping, Node, Object, Pickle, Value, ValueId};

/// Largest pickle that is read, in bytes. Parameters are stored beside the pickle, so even those of
/// large models have less than one megabyte.
pub const MAX_BYTES: usize = 64 << 20;
/// Most values that a pickle may build.
pub const MAX_VALUES: usize = 4 << 20;

/// Reads a pickle of protocol 2 to 5.
///
/// # Errors
/// [`PickleError`] for everything that is not such a pickle. There is no input that panics.
pub fn parse(bytes: &[u8]) -> Result<Pickle, PickleError> {
    machine::run(bytes)
}
