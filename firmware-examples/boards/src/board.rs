//! The boards and which of them was chosen.

/// What the firmware has to know of its board at run time.
#[derive(Clone, Copy)]
pub struct Board {
    /// Name of the feature, and of the QEMU machine (`virt-rv32` is `virt` of qemu-system-riscv32).
    pub name: &'static str,
    /// The processor core.
    pub core: &'static str,
    /// Rate of the SysTick timer, in Hz; 0 where there is none.
    pub systick_hz: u32,
    /// `S` of `-icount shift=S` in the board's runner: an instruction takes `2^S` virtual
    /// nanoseconds. Chosen so that SysTick advances by more than two ticks an instruction.
    pub icount_shift: u32,
}

const fn board(
    name: &'static str,
    core: &'static str,
    systick_hz: u32,
    icount_shift: u32,
) -> Board {
    Board {
        name,
        core,
        systick_hz,
        icount_shift,
    }
}

const CHOSEN: &[Board] = &[
    #[cfg(feature = "mps2-an386")]
    board("mps2-an386", "Cortex-M4F", 25_000_000, 7),
    #[cfg(feature = "mps2-an500")]
    board("mps2-an500", "Cortex-M7", 25_000_000, 7),
    #[cfg(feature = "mps3-an547")]
    board("mps3-an547", "Cortex-M55", 32_000_000, 7),
    #[cfg(feature = "lm3s6965evb")]
    board("lm3s6965evb", "Cortex-M3", 12_500_000, 8),
    #[cfg(feature = "microbit")]
    board("microbit", "Cortex-M0", 16_000_000, 7),
    #[cfg(feature = "virt-rv32")]
    board("virt-rv32", "RV32IMAC", 0, 0),
];

/// The board that this binary is built for.
pub const BOARD: Board = match CHOSEN {
    [board] => *board,
    [] => panic!(
        "choose a board: --no-default-features --features mps2-an386 (or mps2-an500, mps3-an547, \
         lm3s6965evb, microbit, virt-rv32)"
    ),
    _ => panic!(
        "choose one board only: a second board needs --no-default-features, since mps2-an386 is \
         the default"
    ),
};
