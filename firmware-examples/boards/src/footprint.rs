//! How much flash, static RAM and stack the binary takes.

use core::ptr;

unsafe extern "C" {
    static __stext: u8;
    static __sidata: u8;
    static __sdata: u8;
    static __edata: u8;
    static __ebss: u8;
    static __euninit: u8;
    static _stack_start: u8;
    #[cfg(target_arch = "arm")]
    static __vector_table: u8;
}

fn address(symbol: *const u8) -> usize {
    symbol.addr()
}

/// Bytes from the start of the flash to the end of what is stored there: vectors, code, constants
/// (the model among them), initial values of variables.
pub fn flash_bytes() -> usize {
    #[cfg(target_arch = "arm")]
    let start = &raw const __vector_table;
    #[cfg(target_arch = "riscv32")]
    let start = &raw const __stext;
    let data = address(&raw const __edata).wrapping_sub(address(&raw const __sdata));
    address(&raw const __sidata)
        .wrapping_add(data)
        .wrapping_sub(address(start))
}

/// Bytes of RAM for variables, initialized and zeroed ones; the stack comes on top.
pub fn static_ram_bytes() -> usize {
    address(&raw const __euninit).wrapping_sub(address(&raw const __sdata))
}

/// A word that is unlikely on a stack.
const PAINT: u32 = 0xC0DE_F00D;
/// Words left unpainted below the caller's frame.
const MARGIN: usize = 32;
/// No more than this is painted, bytes: deeper stacks are reported as this.
const DEEPEST: usize = 32 * 1024;

/// High-water mark of the stack.
pub struct Stack {
    /// First painted word.
    bottom: *mut u32,
    /// Painted words.
    words: usize,
}

impl Stack {
    /// Paints the free stack below the caller. Call it early in `main`, once.
    #[inline(never)]
    pub fn paint() -> Self {
        let here = 0u32;
        let end = (&raw const here).wrapping_sub(MARGIN).addr();
        let floor = (address(&raw const __euninit) + 3) & !3;
        let start = floor.max(end.saturating_sub(DEEPEST) & !3);
        let words = end.saturating_sub(start) / 4;
        let bottom = ptr::with_exposed_provenance_mut::<u32>(start);
        for word in 0..words {
            // SAFETY: above all variables and below this frame: nobody's memory until a deeper call.
            unsafe { bottom.wrapping_add(word).write_volatile(PAINT) };
        }
        Self { bottom, words }
    }

    /// Most bytes of stack that were in use since painting.
    pub fn peak_bytes(&self) -> usize {
        let untouched = (0..self.words)
            // SAFETY: the words that `paint` wrote; reading them is harmless whoever used them since.
            .take_while(|&word| unsafe { self.bottom.wrapping_add(word).read_volatile() } == PAINT)
            .count();
        address(&raw const _stack_start)
            .wrapping_sub(self.bottom.addr())
            .wrapping_sub(4 * untouched)
    }
}
