//! End-to-end tests live in `tests/`: checkpoints are converted by the `toeplite` command, firmware
//! is built and run in QEMU. `cargo xtask setup` installs what they need.
