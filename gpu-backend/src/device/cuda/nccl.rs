//! NCCL, loaded when it is needed.
//!
//! Not by cudarc's binding: that panics where the library is missing, and does not look for
//! `libnccl.so.2`, the only name that it has without the files for developers.

use super::hardware::find;
use libloading::{Library, Symbol};
use std::ffi::{CStr, c_char, c_int, c_void};

/// Identity of a group of processes.
pub(super) type Id = [u8; 128];

#[repr(C)]
#[derive(Clone, Copy)]
struct UniqueId {
    internal: [c_char; 128],
}

type Code = c_int;
type Handle = *mut c_void;
type GetUniqueId = unsafe extern "C" fn(*mut UniqueId) -> Code;
type InitRank = unsafe extern "C" fn(*mut Handle, c_int, UniqueId, c_int) -> Code;
type AllReduce = unsafe extern "C" fn(
    *const c_void,
    *mut c_void,
    usize,
    c_int,
    c_int,
    Handle,
    *mut c_void,
) -> Code;
type OnCommunicator = unsafe extern "C" fn(Handle) -> Code;
type AsyncError = unsafe extern "C" fn(Handle, *mut Code) -> Code;
type ErrorString = unsafe extern "C" fn(Code) -> *const c_char;
type LastError = unsafe extern "C" fn(Handle) -> *const c_char;

/// Code of success.
const SUCCESS: Code = 0;
/// Code of a communicator that is at work on a call.
const IN_PROGRESS: Code = 7;
/// `ncclFloat32`.
const FLOAT32: c_int = 7;
/// `ncclSum`.
const SUM: c_int = 0;

/// The library's functions.
pub(super) struct Nccl {
    get_unique_id: GetUniqueId,
    init_rank: InitRank,
    all_reduce: AllReduce,
    abort: OnCommunicator,
    async_error: AsyncError,
    error_string: ErrorString,
    last_error: LastError,
}

impl Nccl {
    /// Loads the library for good.
    ///
    /// # Errors
    /// It is not installed, or too old.
    pub fn load() -> Result<Self, String> {
        let library = find(&["libnccl.so.2", "libnccl.so"]).ok_or(
            "NCCL (libnccl.so.2) is not found; LD_LIBRARY_PATH may name its folder, and \
             `pip install nvidia-nccl-cu13` has it",
        )?;
        // SAFETY: the types are those of nccl.h, the same in all versions from 2.13 on; the library
        // is never unloaded.
        unsafe {
            let nccl = Self {
                get_unique_id: symbol(&library, "ncclGetUniqueId")?,
                init_rank: symbol(&library, "ncclCommInitRank")?,
                all_reduce: symbol(&library, "ncclAllReduce")?,
                abort: symbol(&library, "ncclCommAbort")?,
                async_error: symbol(&library, "ncclCommGetAsyncError")?,
                error_string: symbol(&library, "ncclGetErrorString")?,
                last_error: symbol(&library, "ncclGetLastError")?,
            };
            std::mem::forget(library);
            Ok(nccl)
        }
    }

    /// The identity of a new group.
    pub fn unique_id(&self) -> Result<Id, String> {
        let mut id = UniqueId { internal: [0; 128] };
        // SAFETY: `id` lives through the call.
        let code = unsafe { (self.get_unique_id)(&mut id) };
        self.check(code)?;
        Ok(id.internal.map(|c| c as u8))
    }

    /// Joins a group with the device that is current on this thread; returns when all have joined.
    pub fn join(self, id: Id, rank: usize, ranks: usize) -> Result<Communicator, String> {
        let internal = id.map(|b| b as c_char);
        let mut handle: Handle = std::ptr::null_mut();
        // SAFETY: `handle` lives through the call.
        let code = unsafe {
            (self.init_rank)(
                &mut handle,
                ranks as c_int,
                UniqueId { internal },
                rank as c_int,
            )
        };
        self.check(code)?;
        Ok(Communicator { nccl: self, handle })
    }

    /// What a code means, with NCCL's account of what happened.
    fn check(&self, code: Code) -> Result<(), String> {
        if code == SUCCESS || code == IN_PROGRESS {
            return Ok(());
        }
        // SAFETY: both give strings that live on; a null communicator stands for this thread.
        let (what, last) = unsafe {
            (
                text((self.error_string)(code)),
                text((self.last_error)(std::ptr::null_mut())),
            )
        };
        let last = last.trim();
        let details = if last.is_empty() {
            String::new()
        } else {
            format!(" ({last})")
        };
        Err(format!(
            "NCCL says: {what}{details}; NCCL_DEBUG=INFO makes it say more"
        ))
    }
}

/// A process's place in a group.
pub(super) struct Communicator {
    nccl: Nccl,
    handle: Handle,
}

impl Communicator {
    /// Starts to sum `len` f32 in place, on a stream.
    ///
    /// # Safety
    /// They are within one allocation that lives until the sum is done; the stream is one of the
    /// device that joined.
    pub unsafe fn sum(
        &self,
        at: *mut c_void,
        len: usize,
        stream: *mut c_void,
    ) -> Result<(), String> {
        // SAFETY: the caller vouches for memory and stream.
        let code =
            unsafe { (self.nccl.all_reduce)(at, at, len, FLOAT32, SUM, self.handle, stream) };
        self.nccl.check(code)
    }

    /// What went wrong since, in NCCL's own threads.
    pub fn check(&self) -> Result<(), String> {
        let mut state = SUCCESS;
        // SAFETY: the communicator is alive, `state` lives through the call.
        let code = unsafe { (self.nccl.async_error)(self.handle, &mut state) };
        self.nccl.check(code)?;
        self.nccl.check(state)
    }
}

impl Drop for Communicator {
    fn drop(&mut self) {
        // Not `ncclCommDestroy`, which waits for what other processes may never do.
        // SAFETY: no sum is started after this.
        let _ = unsafe { (self.nccl.abort)(self.handle) };
    }
}

/// A function of the library.
///
/// # Safety
/// `F` is its type, and it is not called after the library is unloaded.
unsafe fn symbol<F: Copy>(library: &Library, name: &str) -> Result<F, String> {
    // SAFETY: the caller vouches for the type.
    let symbol: Result<Symbol<F>, _> = unsafe { library.get(name.as_bytes()) };
    let symbol = symbol.map_err(|_| format!("NCCL has no {name}: 2.13 or later is needed"))?;
    Ok(*symbol)
}

/// # Safety
/// A string that ends with a zero, or null.
unsafe fn text(string: *const c_char) -> String {
    if string.is_null() {
        return String::new();
    }
    // SAFETY: the caller vouches for it.
    let string = unsafe { CStr::from_ptr(string) };
    string.to_string_lossy().into_owned()
}
