//! The command line that the host gives to the firmware: QEMU's `-append "WORDS"`.

use core::arch::asm;

/// What follows the name of the binary on the command line, read into `buffer`; empty if there is no
/// command line or if it does not fit.
pub fn command_line(buffer: &mut [u8]) -> Arguments<'_> {
    let mut block = [buffer.as_mut_ptr().expose_provenance(), buffer.len()];
    // SAFETY: the block holds a buffer that is ours alone for the call, and its length.
    let status = unsafe { get_command_line(&mut block) };
    let length = if status == 0 { block[1] } else { 0 };
    let line = buffer.get(..length).unwrap_or_default();
    let end = line.iter().position(|&byte| byte == 0).unwrap_or(line.len());
    let mut arguments = Arguments(line.get(..end).unwrap_or_default());
    arguments.next(); // the binary's own path
    arguments
}

/// SYS_GET_CMDLINE (0x15) of the semihosting specification: fills the buffer and sets the length to
/// what it wrote; 0 if it could. (The `semihosting` crate's function for it can panic.)
///
/// # Safety
/// The block must hold the address and the length of writable memory.
unsafe fn get_command_line(block: &mut [usize; 2]) -> usize {
    let mut operation_then_status = 0x15;
    // SAFETY: the semihosting trap changes that one register and the memory the caller vouches for.
    #[cfg(target_arch = "arm")]
    unsafe {
        asm!("bkpt #0xab", inout("r0") operation_then_status, in("r1") block, options(nostack));
    }
    // SAFETY: as above; the three instructions must be uncompressed and in one page.
    #[cfg(target_arch = "riscv32")]
    unsafe {
        asm!(
            ".balign 16",
            ".option push",
            ".option norvc",
            "slli zero, zero, 0x1f",
            "ebreak",
            "srai zero, zero, 0x7",
            ".option pop",
            inout("a0") operation_then_status, in("a1") block, options(nostack),
        );
    }
    operation_then_status
}

/// Words of a command line, separated by spaces.
#[derive(Clone, Copy)]
pub struct Arguments<'a>(&'a [u8]);

impl<'a> Arguments<'a> {
    /// The words of `line`.
    pub fn new(line: &'a [u8]) -> Self {
        Self(line)
    }

    /// All that has not been taken yet, spaces included.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }
}

impl<'a> Iterator for Arguments<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|&byte| byte != b' ')?;
        let line = self.0.get(start..)?;
        let end = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
        self.0 = line.get(end..).unwrap_or_default();
        line.get(..end)
    }
}
