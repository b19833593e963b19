//! The memory map is esp-hal's; the flash's partitions are in partitions.csv.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for script in ["-Tdefmt.x", "-Tlinkall.x"] {
        println!("cargo:rustc-link-arg-bins={script}");
    }
}
