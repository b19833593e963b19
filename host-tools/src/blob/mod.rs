//! Model blobs (`.toep`): writing.
