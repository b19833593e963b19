//! The `toeplite` command.

fn main() {}
