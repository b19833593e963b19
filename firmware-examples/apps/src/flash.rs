//! The part of a board's flash that a model is written to apart from the firmware.
#![allow(unsafe_code)]

/// What the region `MODEL` of `memory.x` holds: from the linker's symbol `_model_start` to `_model_end`. Firmware alone has
/// these symbols.
#[cfg(target_os = "none")]
pub fn partition() -> &'static [u8] {
    unsafe extern "C" {
        // addresses: what lies behind them is no variable's
        static _model_start: [u8; 0];
        static _model_end: [u8; 0];
    }
    let (start, end) = (&raw const _model_start, &raw const _model_end);
    // an end before its start is an empty partition
    let length = end.addr().saturating_sub(start.addr());
    // SAFETY: `memory.x` defines both symbols as the bounds of `MODEL`, one region of flash or RAM shorter than 2 GiB, which can be
    // read as soon as the program starts, begins at another address than zero, and is no other region's part: no variable
    // lies there. Nobody writes it while the program runs. Bytes need no alignment, and every value is good.
    unsafe { core::slice::from_raw_parts(start.cast(), length) }
}

/// Bytes of session memory for whatever model the partition has: as many as `chosen` says (digits; TOEPLITE_SESSION_BYTES at
/// build time), or half as many again as the model compiled in needs.
///
/// # Panics
/// In a `const` this is an error of compilation: `chosen` is no number, or less than `needed`.
pub const fn session_bytes(chosen: Option<&str>, needed: usize) -> usize {
    let Some(chosen) = chosen else {
        return (needed + needed / 2).next_multiple_of(16);
    };
    let Ok(bytes) = usize::from_str_radix(chosen, 10) else {
        panic!("TOEPLITE_SESSION_BYTES is no number");
    };
    assert!(
        bytes >= needed,
        "TOEPLITE_SESSION_BYTES is less than the model compiled in needs"
    );
    bytes.next_multiple_of(16)
}
