//! The five semihosting calls that are needed, without a path that panics (those of the
//! `semihosting` crate have some). Numbers and blocks are those of Arm's semihosting specification,
//! which RISC-V shares.

use core::arch::asm;
use core::ffi::CStr;

const SYS_OPEN: usize = 0x01;
const SYS_WRITE: usize = 0x05;
const SYS_READ: usize = 0x06;
const SYS_GET_CMDLINE: usize = 0x15;
const SYS_EXIT_EXTENDED: usize = 0x20;
/// `ADP_Stopped_ApplicationExit`.
const APPLICATION_EXIT: usize = 0x20026;

/// Which of the host's streams the special file `:tt` is.
#[derive(Clone, Copy)]
pub enum Stream {
    /// Opened for writing, mode `w`.
    Output = 4,
    /// Opened for appending, mode `a`.
    Error = 8,
}

/// Opens a stream for [`write`]; `None` if the host refuses.
pub fn open(stream: Stream) -> Option<usize> {
    open_as(c":tt", stream as usize)
}

/// Opens a file for [`read`]ing; `None` if the host refuses.
pub fn open_file(path: &CStr) -> Option<usize> {
    const READ_BINARY: usize = 1;
    open_as(path, READ_BINARY)
}

fn open_as(name: &CStr, mode: usize) -> Option<usize> {
    let mut block = [name.as_ptr().expose_provenance(), mode, name.count_bytes()];
    // SAFETY: the block holds a string that ends with a zero, the mode and the string's length.
    let handle = unsafe { call(SYS_OPEN, block.as_mut_ptr()) };
    (handle != usize::MAX).then_some(handle)
}

/// Writes to an open stream; returns how many bytes, from the end, were *not* written.
pub fn write(handle: usize, bytes: &[u8]) -> usize {
    let mut block = [handle, bytes.as_ptr().expose_provenance(), bytes.len()];
    // SAFETY: the block holds a handle, and address and length of bytes that are only read.
    unsafe { call(SYS_WRITE, block.as_mut_ptr()) }
}

/// Reads from an open file; returns how many bytes, from the end, were *not* read.
pub fn read(handle: usize, bytes: &mut [u8]) -> usize {
    let mut block = [handle, bytes.as_mut_ptr().expose_provenance(), bytes.len()];
    // SAFETY: the block holds a handle, and address and length of bytes that are ours for the call.
    unsafe { call(SYS_READ, block.as_mut_ptr()) }
}

/// Reads the command line into `buffer` and returns its length; nothing if it does not fit.
pub fn command_line(buffer: &mut [u8]) -> Option<usize> {
    let mut block = [buffer.as_mut_ptr().expose_provenance(), buffer.len()];
    // SAFETY: the block holds address and length of a buffer that is ours for the call.
    let status = unsafe { call(SYS_GET_CMDLINE, block.as_mut_ptr()) };
    let [_, length] = block;
    (status == 0).then_some(length)
}

/// Ends the emulation with an exit status.
pub fn exit(status: u8) -> ! {
    let mut block = [APPLICATION_EXIT, usize::from(status)];
    loop {
        // SAFETY: the block holds the reason and the status.
        unsafe { call(SYS_EXIT_EXTENDED, block.as_mut_ptr()) };
    }
}

/// # Safety
/// The block must be what the operation expects, and the memory that it names valid.
unsafe fn call(operation: usize, block: *mut usize) -> usize {
    let result;
    // SAFETY: the trap changes the result register and memory that the caller vouches for.
    #[cfg(target_arch = "arm")]
    unsafe {
        asm!("bkpt #0xab", inout("r0") operation => result, in("r1") block, options(nostack));
    }
    // SAFETY: as above. The three instructions must be uncompressed and in one page.
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
            inout("a0") operation => result, in("a1") block, options(nostack),
        );
    }
    result
}
