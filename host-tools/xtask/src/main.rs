//! `cargo xtask`: the one door for chores.

fn main() {}
