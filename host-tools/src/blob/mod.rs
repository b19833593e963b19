//! Model blobs (`.toep`): quantizing, writing, reading. The format is documented in
//! [`toeplite::format`].

mod any;
mod classifier;
mod file;
mod fixed;
mod pack;
mod recurrence;
mod target;
mod weights;
mod window;
mod writer;

pub use crate::quantize::{
    QuantizedGroups, QuantizedRows, WeightType, Weights, quantize_groups, quantize_rows,
};
pub use any::{AnyModel, Logits, StateBytes, StreamError};
pub use file::{Blob, BlobFileError, SessionMemory, Staged, write_atomically};
pub use fixed::{can_be_fixed, fixed_matrices, fixed_recurrence, write_fixed};
pub use pack::{pack_int4, pack_int8};
pub use recurrence::recurrence_bytes;
pub use target::{ContractName, Storage, Target};
pub use weights::{nearest, trained};
pub use window::write_window;
pub use writer::{WriteError, can_convert, write, write_weights};
