//! Model blobs (`.toep`): quantizing, writing, reading. The format is documented in
//! [`toeplite::format`].

mod any;
mod file;
mod fixed;
mod quantize;
mod writer;

pub use any::{AnyModel, Logits};
pub use file::{Blob, BlobFileError, SessionMemory, Staged, write_atomically};
pub use fixed::write_fixed;
pub use quantize::{QuantizedRows, WeightType, quantize_rows};
pub use writer::{WriteError, can_stream, write};
