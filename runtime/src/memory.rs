//! Aligned memory for sessions and aligned bytes for models.

use crate::error::MemoryError;
use crate::format::ALIGNMENT;
use bytemuck::AnyBitPattern;

/// `BYTES` bytes of session memory at an aligned address.
///
/// `toeplite convert --meta` writes the size that a model needs as a constant.
///
/// ```
/// static MEMORY_BYTES: usize = 4096;
/// let mut memory = toeplite::Memory::<4096>::new();
/// assert_eq!(memory.as_mut_slice().len(), MEMORY_BYTES);
/// ```
#[repr(C, align(16))]
pub struct Memory<const BYTES: usize>([u8; BYTES]);

impl<const BYTES: usize> Memory<BYTES> {
    /// Zeroed memory; in a `static` it lies in `.bss` and takes no flash.
    pub const fn new() -> Self {
        Self([0; BYTES])
    }

    /// The bytes, to hand to [`Model::session`](crate::Model::session).
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl<const BYTES: usize> Default for Memory<BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

/// The whole words of `memory`, which must be aligned and have at least `needed` bytes.
pub(crate) fn words<T: AnyBitPattern + bytemuck::NoUninit>(
    memory: &mut [u8],
    needed: usize,
) -> Result<&mut [T], MemoryError> {
    let found = memory.len();
    let remainder = memory.as_ptr().addr() % ALIGNMENT;
    if remainder != 0 {
        return Err(MemoryError::Misaligned { remainder });
    }
    let too_small = MemoryError::TooSmall { needed, found };
    let whole = found - found % size_of::<T>().max(1);
    let memory = memory.get_mut(..whole).filter(|_| found >= needed);
    bytemuck::try_cast_slice_mut(memory.ok_or(too_small)?).map_err(|_| too_small)
}

/// Takes the first `n` off `rest`; nothing if there are fewer.
pub(crate) fn take<'s, T>(rest: &mut &'s mut [T], n: usize) -> &'s mut [T] {
    match core::mem::take(rest).split_at_mut_checked(n) {
        Some((first, after)) => {
            *rest = after;
            first
        }
        None => &mut [],
    }
}

/// Bytes at an address that [`Model::from_bytes`](crate::Model::from_bytes) accepts; see
/// [`include_aligned!`](crate::include_aligned).
#[repr(C, align(16))]
pub struct Aligned<B: ?Sized>(
    /// The bytes.
    pub B,
);

/// Like `include_bytes!`, as `&'static [u8]` at an aligned address.
///
/// ```no_run
/// # macro_rules! include_bytes { ($path:expr) => { &[0u8; 4] } }
/// static MODEL: &[u8] = toeplite::include_aligned!("model.toep");
/// let model = toeplite::Model::from_bytes(MODEL).unwrap();
/// ```
#[macro_export]
macro_rules! include_aligned {
    ($path:expr $(,)?) => {{
        static ALIGNED: &$crate::Aligned<[u8]> = &$crate::Aligned(*include_bytes!($path));
        &ALIGNED.0
    }};
}
