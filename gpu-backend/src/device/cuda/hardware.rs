//! A CUDA device through cudarc.
//!
//! cudarc loads CUDA's libraries when they are first used, and panics where they are missing; so
//! [`Hardware::open`] loads them before, and says which one is not there.

use super::cache;
use super::machine::{
    Address, Argument, Fault, Launch, Machine, Operands, Outcome, Product, Recorded,
};
use super::nvrtc::Nvrtc;
use super::products::{Products, WORKSPACE};
use cudarc::driver::sys::CUgraphInstantiate_flags;
use cudarc::driver::sys::{
    CUdevice_attribute_enum as CUdevice_attribute, CUfunction, CUfunction_attribute, CUresult,
    CUstreamCaptureMode,
};
use cudarc::driver::{
    CudaContext, CudaFunction, CudaGraph, CudaModule, CudaStream, DriverError, result,
};
use cudarc::nvrtc::Ptx;
use libloading::Library;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

/// Shared memory that a block gets without asking.
const SHARED_WITHOUT_ASKING: u32 = 48 << 10;

/// Copies from the host up to this size are staged by the driver, and do not wait for the stream.
const STAGED: usize = 64 << 10;

/// A device with its stream, its kernels and cuBLASLt.
pub struct Hardware {
    name: String,
    // Dropped before the stream and the context that they use.
    products: Products,
    functions: RefCell<HashMap<String, Function>>,
    modules: Vec<Arc<CudaModule>>,
    nvrtc: Nvrtc,
    architecture: String,
    workspace: Address,
    stream: Arc<CudaStream>,
    context: Arc<CudaContext>,
}

struct Function {
    handle: CudaFunction,
    /// Dynamic shared memory that it may use so far.
    shared: u32,
}

impl Hardware {
    /// Device number `index`; `tf32` lets f32 matrix products round their factors to 10 bits.
    ///
    /// # Errors
    /// What is missing.
    pub fn open(index: usize, tf32: bool) -> Result<Self, String> {
        if !load(&["libcuda.so.1", "libcuda.so"]) {
            return Err("the NVIDIA driver (libcuda.so.1) is not installed".into());
        }
        if !load(&["libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"]) {
            return Err(
                "cuBLASLt (libcublasLt.so of CUDA 12 or 13) is not found; LD_LIBRARY_PATH \
                        may name its folder"
                    .into(),
            );
        }
        let nvrtc = Nvrtc::load()?;
        let said = |error: DriverError| format!("the driver says {error}");
        result::init().map_err(said)?;
        let count = CudaContext::device_count().map_err(said)?;
        if index >= count as usize {
            return Err(format!(
                "there are {count} CUDA devices here, counted from 0"
            ));
        }
        let context = CudaContext::new(index).map_err(said)?;
        let (major, minor) = context.compute_capability().map_err(said)?;
        if major < 8 {
            return Err(format!(
                "its compute capability is {major}.{minor}; 8.0 (A100) or later is needed"
            ));
        }
        // SAFETY: only cudarc's own slices need event tracking; buffers here are raw addresses,
        // used on one stream.
        unsafe { context.disable_event_tracking() };
        let architecture = format!("sm_{major}{minor}");
        let cubins = cache::cubins(&nvrtc, &architecture, cache::folder().as_deref())?;
        let modules = cubins
            .into_iter()
            .map(|cubin| context.load_module(Ptx::from_binary(cubin)).map_err(said))
            .collect::<Result<_, _>>()?;
        let stream = context.new_stream().map_err(said)?;
        let outcome = |fault: Fault| format!("{fault:?}");
        // SAFETY: a context is current on this thread.
        let workspace = unsafe { result::malloc_sync(WORKSPACE) }.map_err(said)?;
        let products =
            Products::new(stream.cu_stream().cast(), workspace, tf32).map_err(outcome)?;
        Ok(Self {
            name: context.name().map_err(said)?,
            products,
            functions: RefCell::default(),
            modules,
            nvrtc,
            architecture,
            workspace,
            stream,
            context,
        })
    }

    /// The stream on which everything happens.
    pub fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    /// Compiles a source (or takes it from the cache) and loads it: for kernels that are made for
    /// one shape.
    ///
    /// # Errors
    /// What the compiler or the driver says.
    pub fn module(
        &self,
        name: &str,
        source: &str,
        options: &[&str],
    ) -> Result<Arc<CudaModule>, String> {
        let folder = cache::folder();
        let cubin = cache::cubin(
            &self.nvrtc,
            name,
            source,
            &self.architecture,
            options,
            folder.as_deref(),
        )?;
        let loaded = self.context.load_module(Ptx::from_binary(cubin));
        loaded.map_err(|error| format!("the driver says {error}"))
    }

    /// Multiprocessors; bytes of shared memory that a block may have, and that a multiprocessor has.
    ///
    /// # Errors
    /// What the driver says.
    pub fn limits(&self) -> Result<[usize; 3], DriverError> {
        let attribute = |attribute| {
            self.context
                .attribute(attribute)
                .map(|value| value as usize)
        };
        Ok([
            attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
            attribute(
                CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR,
            )?,
        ])
    }

    /// The kernel of this name, allowed to use so much dynamic shared memory.
    fn function(&self, name: &str, shared: u32) -> Outcome<CUfunction> {
        let mut functions = self.functions.borrow_mut();
        if !functions.contains_key(name) {
            let found = self
                .modules
                .iter()
                .find_map(|module| module.load_function(name).ok());
            let handle = found.ok_or_else(|| Fault::Other(format!("there is no kernel {name}")))?;
            let shared = SHARED_WITHOUT_ASKING;
            functions.insert(name.to_string(), Function { handle, shared });
        }
        let function = functions.get_mut(name).expect("it was just put there");
        if shared > function.shared {
            let attribute = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            let outcome = function.handle.set_attribute(attribute, shared as i32);
            outcome.map_err(fault)?;
            function.shared = shared;
        }
        Ok(function.handle.cu_function())
    }

    fn bind(&self) -> Outcome<()> {
        self.context.bind_to_thread().map_err(fault)
    }
}

impl Drop for Hardware {
    fn drop(&mut self) {
        let _ = self.context.bind_to_thread();
        let _ = self.stream.synchronize();
        // SAFETY: nothing runs any more, and no product is started after this.
        let _ = unsafe { result::free_sync(self.workspace) };
    }
}

impl Machine for Rc<Hardware> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn allocate(&self, bytes: usize) -> Outcome<Address> {
        self.bind()?;
        // SAFETY: the context is current.
        unsafe { result::malloc_sync(bytes.max(1)) }.map_err(fault)
    }

    unsafe fn free(&self, address: Address) {
        if self.bind().is_ok() {
            // What was started may still use it: its users are done on the host, not on the device.
            let _ = self.synchronize();
            // SAFETY: the caller vouches for the address.
            let _ = unsafe { result::free_sync(address) };
        }
    }

    unsafe fn zero(&self, to: Address, bytes: usize) -> Outcome<()> {
        self.bind()?;
        if bytes == 0 {
            return Ok(());
        }
        // SAFETY: the caller vouches for the range.
        unsafe { result::memset_d8_async(to, 0, bytes, self.stream.cu_stream()) }.map_err(fault)
    }

    unsafe fn write(&self, to: Address, bytes: &[u8]) -> Outcome<()> {
        self.bind()?;
        let piece = if bytes.len() > 16 * STAGED {
            bytes.len()
        } else {
            STAGED
        };
        for (i, part) in bytes.chunks(piece).enumerate() {
            let to = to + (i * piece) as Address;
            // SAFETY: the caller vouches for the range; pageable memory of the host has been read
            // when this returns.
            unsafe { result::memcpy_htod_async(to, part, self.stream.cu_stream()) }
                .map_err(fault)?;
        }
        Ok(())
    }

    unsafe fn read(&self, from: Address, bytes: &mut [u8]) -> Outcome<()> {
        self.bind()?;
        if !bytes.is_empty() {
            // SAFETY: the caller vouches for the range.
            unsafe { result::memcpy_dtoh_async(bytes, from, self.stream.cu_stream()) }
                .map_err(fault)?;
        }
        self.synchronize()
    }

    unsafe fn copy(&self, from: Address, to: Address, bytes: usize) -> Outcome<()> {
        self.bind()?;
        // SAFETY: the caller vouches for the ranges.
        unsafe { result::memcpy_dtod_async(to, from, bytes, self.stream.cu_stream()) }
            .map_err(fault)
    }

    unsafe fn launch(&self, launch: &Launch) -> Outcome<()> {
        self.bind()?;
        let function = self.function(launch.kernel, launch.shared)?;
        let mut arguments: Vec<_> = launch.arguments.iter().map(Argument::as_ptr).collect();
        let [x, y, z] = launch.grid;
        // SAFETY: the function is loaded as long as `self` lives; the caller vouches for the
        // arguments, which the driver copies before it returns.
        unsafe {
            result::launch_kernel(
                function,
                (x, y, z),
                (launch.block, 1, 1),
                launch.shared,
                self.stream.cu_stream(),
                &mut arguments,
            )
        }
        .map_err(|error| named(error, launch))
    }

    unsafe fn multiply(&self, product: &Product, operands: &Operands) -> Outcome<()> {
        self.bind()?;
        // SAFETY: the caller vouches for the operands.
        unsafe { self.products.multiply(product, operands) }
    }

    fn synchronize(&self) -> Outcome<()> {
        self.stream.synchronize().map_err(fault)
    }

    fn begin_record(&self) -> Outcome<bool> {
        // Other threads may allocate meanwhile.
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        self.stream.begin_capture(mode).map_err(fault)?;
        Ok(true)
    }

    fn end_record(&self) -> Outcome<Box<dyn Recorded>> {
        let flags = CUgraphInstantiate_flags(0);
        let graph = self.stream.end_capture(flags).map_err(fault)?;
        let graph = graph.ok_or_else(|| Fault::Other("nothing was recorded".into()))?;
        graph.upload().map_err(fault)?;
        Ok(Box::new(graph))
    }
}

impl Recorded for CudaGraph {
    unsafe fn replay(&self) -> Outcome<()> {
        self.launch().map_err(fault)
    }
}

/// Loads a library for good, by the first name that is found; cudarc then finds it loaded.
fn load(names: &[&str]) -> bool {
    let folders = ["CUDA_PATH", "CUDA_HOME"]
        .into_iter()
        .filter_map(std::env::var_os)
        .map(|root| Path::new(&root).join("lib64"))
        .chain(["/usr/local/cuda/lib64".into()]);
    let in_folders = folders.flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    let paths = names
        .iter()
        .map(|name| Path::new(name).to_path_buf())
        .chain(in_folders);
    for path in paths {
        // SAFETY: CUDA's libraries run no code but their own initialisers when they are loaded.
        if let Ok(library) = unsafe { Library::new(path) } {
            std::mem::forget(library);
            return true;
        }
    }
    false
}

/// What the driver said, as the operations report it.
pub(super) fn fault(error: DriverError) -> Fault {
    if error.0 == CUresult::CUDA_ERROR_OUT_OF_MEMORY {
        return Fault::OutOfMemory;
    }
    Fault::Other(format!("the driver says {error}"))
}

fn named(error: DriverError, launch: &Launch) -> Fault {
    match fault(error) {
        Fault::Other(reason) => Fault::Other(format!(
            "kernel {} on {:?} blocks of {} threads: {reason}",
            launch.kernel, launch.grid, launch.block
        )),
        full => full,
    }
}
