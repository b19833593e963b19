//! The CPU in f32.
