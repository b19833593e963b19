//! The kernels' sources: `gpu-backend/kernels/*.cu`, one operation a file.

/// What is put before each source; NVRTC then needs no header.
pub const COMMON: &str = include_str!("../../../kernels/common.cuh");

/// Name and text of each file of kernels.
pub const SOURCES: &[(&str, &str)] = &[
    // Those that compile longest first: they start first.
    ("rpe.cu", include_str!("../../../kernels/rpe.cu")),
    (
        "response.cu",
        concat!(
            include_str!("../../../kernels/dft.cuh"),
            include_str!("../../../kernels/response.cu"),
        ),
    ),
    ("ski.cu", include_str!("../../../kernels/ski.cu")),
    ("norm.cu", include_str!("../../../kernels/norm.cu")),
    ("gate.cu", include_str!("../../../kernels/gate.cu")),
    (
        "cross_entropy.cu",
        include_str!("../../../kernels/cross_entropy.cu"),
    ),
    ("embed.cu", include_str!("../../../kernels/embed.cu")),
    (
        "optimiser.cu",
        include_str!("../../../kernels/optimiser.cu"),
    ),
    (
        "column_sums.cu",
        include_str!("../../../kernels/column_sums.cu"),
    ),
    ("product.cu", include_str!("../../../kernels/product.cu")),
    ("pool.cu", include_str!("../../../kernels/pool.cu")),
    ("image.cu", include_str!("../../../kernels/image.cu")),
    ("dropout.cu", include_str!("../../../kernels/dropout.cu")),
    ("reduce.cu", include_str!("../../../kernels/reduce.cu")),
];

/// Options of every compilation besides the architecture.
pub const OPTIONS: &[&str] = &[
    "--std=c++17",
    "-default-device",
    "--extra-device-vectorization",
];

/// The whole text of one source, as the compiler sees it.
pub fn complete(name: &str, text: &str) -> String {
    format!("{COMMON}\n#line 1 \"{name}\"\n{text}")
}
