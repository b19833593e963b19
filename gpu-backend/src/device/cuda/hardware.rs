//! A CUDA device through cudarc.
//!
//! cudarc loads CUDA's libraries when they are first used, and panics where they are missing; so
//! [`Hardware::open`] loads them before, and says which one is not there.

use super::cache;
use super::collective::{Collective, Membership};
use super::machine::{
    Address, Argument, Fault, Launch, Machine, Operands, Outcome, Product, Recorded,
};
use super::mix::Limits;
use super::nvrtc::Nvrtc;
use super::products::{Products, WORKSPACE};
use cudarc::driver::sys::{CUdevice_attribute, CUgraphInstantiate_flags};
use cudarc::driver::sys::{CUfunction, CUfunction_attribute, CUresult, CUstreamCaptureMode};
use cudarc::driver::{
    CudaContext, CudaFunction, CudaGraph, CudaModule, CudaStream, DriverError, result,
};
use cudarc::nvrtc::Ptx;
use libloading::Library;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::path::Path;
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
    modules: RefCell<Vec<Module>>,
    compiled: RefCell<HashSet<String>>,
    nvrtc: Nvrtc,
    architecture: String,
    limits: Limits,
    workspace: Address,
    collective: Option<Collective>,
    stream: Arc<CudaStream>,
    context: Arc<CudaContext>,
}

/// Loaded kernels, and their names: asking a module for one that it does not have is an error of the
/// driver, which tools report.
struct Module {
    names: HashSet<String>,
    module: Arc<CudaModule>,
}

impl Module {
    fn load(context: &Arc<CudaContext>, cubin: Vec<u8>) -> Result<Self, DriverError> {
        Ok(Self {
            names: kernels(&cubin),
            module: context.load_module(Ptx::from_binary(cubin))?,
        })
    }
}

/// The kernels of a cubin: an ELF file with a section `.text.NAME` for each.
fn kernels(cubin: &[u8]) -> HashSet<String> {
    const SECTION: &[u8] = b".text.";
    let starts = (0..cubin.len()).filter(|&at| cubin[at..].starts_with(SECTION));
    let name = |at: usize| {
        let bytes = cubin[at + SECTION.len()..].iter();
        bytes
            .take_while(|b| **b != 0)
            .map(|b| char::from(*b))
            .collect()
    };
    starts.map(name).collect()
}

struct Function {
    handle: CudaFunction,
    /// Dynamic shared memory that it may use so far.
    shared: u32,
}

impl Hardware {
    /// How many devices this machine has.
    ///
    /// # Errors
    /// The driver is missing, or what it says.
    pub fn count() -> Result<usize, String> {
        if !load(&["libcuda.so.1", "libcuda.so"]) {
            return Err("the NVIDIA driver (libcuda.so.1) is not installed".into());
        }
        let said = |error: DriverError| format!("the driver says {error}");
        result::init().map_err(said)?;
        Ok(CudaContext::device_count().map_err(said)? as usize)
    }

    /// Device number `index`.
    ///
    /// # Errors
    /// What is missing.
    pub fn open(index: usize) -> Result<Self, String> {
        let count = Self::count()?;
        if index >= count {
            return Err(format!(
                "there are {count} CUDA devices here, counted from 0"
            ));
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
        let cache = crate::cache::folder();
        let architecture = format!("sm_{major}{minor}");
        let cubins = cache::cubins(&nvrtc, &architecture, cache.as_deref())?;
        let modules = cubins
            .into_iter()
            .map(|cubin| Module::load(&context, cubin).map_err(said))
            .collect::<Result<Vec<_>, _>>()?;
        let stream = context.new_stream().map_err(said)?;
        let outcome = |fault: Fault| format!("{fault:?}");
        // SAFETY: a context is current on this thread.
        let workspace = unsafe { result::malloc_sync(WORKSPACE) }.map_err(said)?;
        let products = Products::new(stream.cu_stream().cast(), workspace).map_err(outcome)?;
        Ok(Self {
            name: context.name().map_err(said)?,
            products,
            functions: RefCell::default(),
            modules: RefCell::new(modules),
            compiled: RefCell::default(),
            nvrtc,
            architecture,
            limits: limits(&context).map_err(said)?,
            workspace,
            collective: None,
            stream,
            context,
        })
    }

    /// Joins the processes that train together; returns when all have.
    ///
    /// # Errors
    /// What is missing, or what NCCL says.
    pub fn join(&mut self, member: Membership) -> Result<(), String> {
        self.collective = Some(Collective::join(&self.context, member)?);
        Ok(())
    }

    /// The kernel of this name, allowed to use so much dynamic shared memory.
    fn function(&self, name: &str, shared: u32) -> Outcome<CUfunction> {
        let mut functions = self.functions.borrow_mut();
        if !functions.contains_key(name) {
            let modules = self.modules.borrow();
            let found = modules.iter().find(|module| module.names.contains(name));
            let found = found.ok_or_else(|| Fault::Other(format!("there is no kernel {name}")))?;
            let handle = found.module.load_function(name).map_err(fault)?;
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
        unsafe { self.free(self.workspace) };
    }
}

impl Machine for Hardware {
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

    fn limits(&self) -> Limits {
        self.limits
    }

    fn compile(&self, name: &str, text: &str, options: &[String]) -> Outcome<()> {
        let key = options.join(" ");
        if self.compiled.borrow().contains(&key) {
            return Ok(());
        }
        self.bind()?;
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        let folder = crate::cache::folder();
        let (nvrtc, architecture) = (&self.nvrtc, &self.architecture);
        let cubin = cache::cubin(nvrtc, name, text, &options, architecture, folder.as_deref());
        let cubin = cubin.map_err(Fault::Other)?;
        let module = Module::load(&self.context, cubin).map_err(fault)?;
        self.modules.borrow_mut().push(module);
        // Only now: what failed to compile must fail again when it is asked for again.
        self.compiled.borrow_mut().insert(key);
        Ok(())
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

    unsafe fn reduce_start(&self, at: Address, len: usize) -> Outcome<()> {
        let Some(collective) = &self.collective else {
            return Ok(());
        };
        self.bind()?;
        // SAFETY: the caller vouches for the memory.
        unsafe { collective.start(&self.stream, at, len) }
    }

    fn reduce_finish(&self) -> Outcome<()> {
        match &self.collective {
            Some(collective) => collective.finish(&self.stream),
            None => Ok(()),
        }
    }

    fn synchronize(&self) -> Outcome<()> {
        self.stream.synchronize().map_err(fault)?;
        self.collective.as_ref().map_or(Ok(()), Collective::check)
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

fn limits(context: &Arc<CudaContext>) -> Result<Limits, DriverError> {
    let read = |attribute| context.attribute(attribute).map(|value| value as usize);
    Ok(Limits {
        multiprocessors: read(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        shared_per_block: read(
            CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
        )?,
        shared_per_multiprocessor: read(
            CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR,
        )?,
    })
}

/// Loads a library for good, by the first name that is found; cudarc then finds it loaded.
fn load(names: &[&str]) -> bool {
    find(names).map(std::mem::forget).is_some()
}

/// A library by the first name that is found.
pub(super) fn find(names: &[&str]) -> Option<Library> {
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
    let mut found = paths.filter_map(|path| {
        // SAFETY: CUDA's libraries run no code but their own initialisers when they are loaded.
        unsafe { Library::new(path) }.ok()
    });
    found.next()
}

fn fault(error: DriverError) -> Fault {
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

#[cfg(test)]
mod tests {
    use super::kernels;

    #[test]
    fn kernels_are_named_by_their_sections() {
        let cubin = b"\x7fELF\0.text.norm_bf16_v\0.nv.info\0.text.gate_f32_s\0.text";
        let names = kernels(cubin);
        assert_eq!(names.len(), 2);
        assert!(names.contains("norm_bf16_v") && names.contains("gate_f32_s"));
    }
}
