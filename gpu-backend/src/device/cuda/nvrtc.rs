//! NVRTC, the run-time compiler, loaded when it is needed.
//!
//! Not by cudarc's binding: that panics where the library is missing, knows no folder to look in,
//! and the tests compile with the library of a Python package, which is in none of the usual ones.

use libloading::{Library, Symbol};
use std::ffi::{CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::ptr;

/// Environment variable with a folder to look for NVRTC in.
pub const FOLDER: &str = "TOEPLITE_NVRTC";

type Handle = *mut c_void;
type Code = c_int;
type SizeOf = unsafe extern "C" fn(Handle, *mut usize) -> Code;
type TextOf = unsafe extern "C" fn(Handle, *mut c_char) -> Code;
type Destroy = unsafe extern "C" fn(*mut Handle) -> Code;

/// The loaded library.
pub struct Nvrtc {
    library: Library,
    /// NVRTC finds it by its name, so it must be loaded before where no search path has it.
    _builtins: Option<Library>,
    version: (c_int, c_int),
}

impl Nvrtc {
    /// Loads the library from the folder in [`FOLDER`], from where the system's loader looks, or
    /// from where CUDA's installers put it.
    ///
    /// # Errors
    /// A message that says where it was looked for.
    pub fn load() -> Result<Self, String> {
        let mut tried = Vec::new();
        for (folder, name) in candidates() {
            let path = folder
                .as_ref()
                .map_or_else(|| PathBuf::from(name), |folder| folder.join(name));
            let builtins = folder.as_deref().and_then(load_builtins);
            // SAFETY: loading NVRTC runs no code but its own initialisers.
            match unsafe { Library::new(&path) } {
                Ok(library) => return Self::of(library, builtins),
                // The message names the file, and says what is wrong with it if it is there.
                Err(error) => tried.push(error.to_string()),
            }
        }
        Err(format!(
            "NVRTC (libnvrtc.so of CUDA 12 or 13) is not found; tried: {}. {FOLDER} may name its \
             folder; `pip install nvidia-cuda-nvrtc` has it",
            tried.join("; ")
        ))
    }

    fn of(library: Library, builtins: Option<Library>) -> Result<Self, String> {
        let mut version = (0, 0);
        {
            type Version = unsafe extern "C" fn(*mut c_int, *mut c_int) -> Code;
            let function: Symbol<Version> = symbol(&library, b"nvrtcVersion")?;
            // SAFETY: both pointers are to integers that live through the call.
            check(
                unsafe { function(&mut version.0, &mut version.1) },
                "nvrtcVersion",
            )?;
        }
        Ok(Self {
            library,
            _builtins: builtins,
            version,
        })
    }

    /// Major and minor version.
    pub fn version(&self) -> (i32, i32) {
        self.version
    }

    /// Compiles a source to a cubin for `architecture` (for example `sm_90`); also returns what the
    /// compiler said. Threads may compile at the same time.
    ///
    /// # Errors
    /// The compiler's messages.
    pub fn compile(
        &self,
        name: &str,
        source: &str,
        architecture: &str,
        options: &[&str],
    ) -> Result<(Vec<u8>, String), String> {
        let program = Program::new(self, name, source)?;
        let options: Vec<CString> = std::iter::once(format!("--gpu-architecture={architecture}"))
            .chain(options.iter().map(|option| (*option).to_string()))
            .map(|option| CString::new(option).map_err(|error| error.to_string()))
            .collect::<Result<_, _>>()?;
        let pointers: Vec<_> = options.iter().map(|option| option.as_ptr()).collect();
        type Compile = unsafe extern "C" fn(Handle, c_int, *const *const c_char) -> Code;
        let compile: Symbol<Compile> = symbol(&self.library, b"nvrtcCompileProgram")?;
        // SAFETY: the program is alive, and so are the strings that the pointers lead to.
        let code = unsafe { compile(program.handle, pointers.len() as c_int, pointers.as_ptr()) };
        let log = program.text(b"nvrtcGetProgramLogSize", b"nvrtcGetProgramLog")?;
        let log = String::from_utf8_lossy(&log)
            .trim_end_matches('\0')
            .to_string();
        check(code, "compiling").map_err(|error| format!("{name}: {error}\n{log}"))?;
        Ok((program.text(b"nvrtcGetCUBINSize", b"nvrtcGetCUBIN")?, log))
    }
}

/// A program within NVRTC.
struct Program<'a> {
    nvrtc: &'a Nvrtc,
    handle: Handle,
}

impl<'a> Program<'a> {
    fn new(nvrtc: &'a Nvrtc, name: &str, source: &str) -> Result<Self, String> {
        type Create = unsafe extern "C" fn(
            *mut Handle,
            *const c_char,
            *const c_char,
            c_int,
            *const *const c_char,
            *const *const c_char,
        ) -> Code;
        let create: Symbol<Create> = symbol(&nvrtc.library, b"nvrtcCreateProgram")?;
        let text = CString::new(source).map_err(|error| error.to_string())?;
        let name = CString::new(name).map_err(|error| error.to_string())?;
        let mut handle = ptr::null_mut();
        // SAFETY: the strings live through the call, which copies them; there are no headers.
        let code = unsafe {
            create(
                &mut handle,
                text.as_ptr(),
                name.as_ptr(),
                0,
                ptr::null(),
                ptr::null(),
            )
        };
        check(code, "nvrtcCreateProgram")?;
        Ok(Self { nvrtc, handle })
    }

    /// What a pair of functions for length and bytes returns.
    fn text(&self, length: &[u8], bytes: &[u8]) -> Result<Vec<u8>, String> {
        let size_of: Symbol<SizeOf> = symbol(&self.nvrtc.library, length)?;
        let mut size = 0;
        // SAFETY: the program is alive, and `size` is written to.
        check(unsafe { size_of(self.handle, &mut size) }, "NVRTC's result")?;
        let mut text = vec![0u8; size];
        let text_of: Symbol<TextOf> = symbol(&self.nvrtc.library, bytes)?;
        // SAFETY: there is room for as many bytes as NVRTC said there are.
        let code = unsafe { text_of(self.handle, text.as_mut_ptr().cast()) };
        check(code, "NVRTC's result")?;
        Ok(text)
    }
}

impl Drop for Program<'_> {
    fn drop(&mut self) {
        if let Ok(destroy) = symbol::<Destroy>(&self.nvrtc.library, b"nvrtcDestroyProgram") {
            // SAFETY: the program was created by this library, and is not used afterwards.
            unsafe { destroy(&mut self.handle) };
        }
    }
}

fn symbol<'a, T>(library: &'a Library, name: &[u8]) -> Result<Symbol<'a, T>, String> {
    // SAFETY: the types at the call sites are those of NVRTC's documentation.
    unsafe { library.get(name) }.map_err(|error| error.to_string())
}

fn check(code: Code, what: &str) -> Result<(), String> {
    if code == 0 {
        return Ok(());
    }
    Err(format!("{what} failed with NVRTC's code {code}"))
}

/// Folders (`None`: where the system's loader looks) and names of the library.
fn candidates() -> Vec<(Option<PathBuf>, &'static str)> {
    const NAMES: [&str; 3] = ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"];
    let mut folders = Vec::new();
    if let Some(folder) = std::env::var_os(FOLDER) {
        folders.push(Some(PathBuf::from(folder)));
    }
    folders.push(None);
    for variable in ["CUDA_PATH", "CUDA_HOME"] {
        if let Some(root) = std::env::var_os(variable) {
            folders.push(Some(Path::new(&root).join("lib64")));
        }
    }
    folders.push(Some("/usr/local/cuda/lib64".into()));
    folders
        .into_iter()
        .flat_map(|folder| NAMES.map(|name| (folder.clone(), name)))
        .collect()
}

fn load_builtins(folder: &Path) -> Option<Library> {
    let files = std::fs::read_dir(folder).ok()?;
    let file = files.flatten().map(|entry| entry.path()).find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("libnvrtc-builtins.so") && !name.contains(".alt")
    })?;
    // SAFETY: the library holds data for NVRTC, and runs no code but its own initialisers.
    unsafe { Library::new(file) }.ok()
}
