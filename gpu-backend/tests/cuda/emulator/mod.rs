//! A [`Machine`] on the CPU: the same kernels compiled by g++ with `shim.h`, memory of the host,
//! and matrix products by three loops.

use half::bf16;
use libloading::Library;
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use toeplite_train::device::cuda::machine::{
    Address, Argument, Element, Fault, Launch, Machine, Operands, Outcome, Product, Recorded,
};
use toeplite_train::device::cuda::mix::Limits;
use toeplite_train::device::cuda::sources::{COMMON, SOURCES};

type LaunchFunction =
    unsafe extern "C" fn(*const c_char, *const c_uint, c_uint, *mut *mut c_void, c_int) -> c_int;

/// The kernels on the CPU.
pub struct Emulator {
    library: Library,
    allocations: RefCell<HashMap<Address, Layout>>,
}

impl Emulator {
    /// Loads the kernels; each emulator has a copy of its own, for the shim has global state.
    pub fn new() -> Self {
        static BUILT: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
        let (folder, built) = BUILT.get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let built = build(folder.path());
            (folder, built)
        });
        // The loader takes two copies for two libraries.
        let copy = tempfile::NamedTempFile::new_in(folder.path()).unwrap();
        std::fs::copy(built, copy.path()).unwrap();
        // SAFETY: its initialisers fill a table of kernels.
        let library = unsafe { Library::new(copy.path()) }.unwrap();
        Self {
            library,
            allocations: RefCell::default(),
        }
    }
}

/// Compiles all kernels; returns the library.
fn build(folder: &Path) -> PathBuf {
    let shim = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cuda/emulator/shim.h");
    let mut text = format!("#include \"{}\"\n{COMMON}\n", shim.display());
    for (name, source) in SOURCES {
        let space = name.trim_end_matches(".cu");
        write!(
            text,
            "namespace of_{space} {{\n#line 1 \"{name}\"\n{source}\n}}\n"
        )
        .unwrap();
    }
    let (source, library) = (folder.join("kernels.cpp"), folder.join("kernels.so"));
    std::fs::write(&source, text).unwrap();
    let compiled = Command::new("g++")
        .args([
            "-std=c++17",
            "-O1",
            "-fno-strict-aliasing",
            // Static variables of inline functions (shared memory) would be one for all copies of the library.
            "-fno-gnu-unique",
            "-w",
            "-shared",
            "-fPIC",
            "-o",
        ])
        .args([&library, &source])
        .output()
        .expect("the tests of kernels need g++");
    let errors = String::from_utf8_lossy(&compiled.stderr);
    assert!(compiled.status.success(), "g++ failed:\n{errors}");
    library
}

impl Machine for Emulator {
    fn name(&self) -> String {
        "emulator".into()
    }

    fn allocate(&self, bytes: usize) -> Outcome<Address> {
        let layout = Layout::from_size_align(bytes.max(1), 256).unwrap();
        // SAFETY: the layout is not empty.
        let pointer = unsafe { alloc_zeroed(layout) };
        // Devices do not zero: what is not written is not a number.
        // SAFETY: the whole of the new allocation.
        unsafe { pointer.write_bytes(0xff, layout.size()) };
        let address = pointer as Address;
        self.allocations.borrow_mut().insert(address, layout);
        Ok(address)
    }

    unsafe fn free(&self, address: Address) {
        let layout = self.allocations.borrow_mut().remove(&address).unwrap();
        // SAFETY: it was allocated with this layout.
        unsafe { dealloc(address as *mut u8, layout) };
    }

    unsafe fn zero(&self, to: Address, bytes: usize) -> Outcome<()> {
        // SAFETY: the caller vouches for the range.
        unsafe { (to as *mut u8).write_bytes(0, bytes) };
        Ok(())
    }

    unsafe fn write(&self, to: Address, bytes: &[u8]) -> Outcome<()> {
        // SAFETY: the caller vouches for the range.
        unsafe { (to as *mut u8).copy_from(bytes.as_ptr(), bytes.len()) };
        Ok(())
    }

    unsafe fn read(&self, from: Address, bytes: &mut [u8]) -> Outcome<()> {
        // SAFETY: the caller vouches for the range.
        unsafe { bytes.as_mut_ptr().copy_from(from as *const u8, bytes.len()) };
        Ok(())
    }

    unsafe fn copy(&self, from: Address, to: Address, bytes: usize) -> Outcome<()> {
        // SAFETY: the caller vouches for the ranges.
        unsafe { (to as *mut u8).copy_from(from as *const u8, bytes) };
        Ok(())
    }

    fn limits(&self) -> Limits {
        Limits::H100
    }

    fn compile(&self, name: &str, _text: &str, _options: &[String]) -> Outcome<()> {
        let reason = format!("{name} is compiled for single shapes: tests/mix.rs runs it");
        Err(Fault::Other(reason))
    }

    unsafe fn launch(&self, launch: &Launch) -> Outcome<()> {
        // SAFETY: this is the function's type in shim.h.
        let run = unsafe { self.library.get::<LaunchFunction>(b"emulator_launch") }.unwrap();
        let name = CString::new(launch.kernel).unwrap();
        let mut arguments: Vec<_> = launch.arguments.iter().map(Argument::as_ptr).collect();
        // SAFETY: the caller vouches for the arguments; the shim checks their number.
        let code = unsafe {
            run(
                name.as_ptr(),
                launch.grid.as_ptr(),
                launch.block,
                arguments.as_mut_ptr(),
                arguments.len() as c_int,
            )
        };
        match code {
            0 => Ok(()),
            1 => Err(Fault::Other(format!("no kernel {}", launch.kernel))),
            _ => Err(Fault::Other(format!("parameters of {}", launch.kernel))),
        }
    }

    unsafe fn multiply(&self, product: &Product, operands: &Operands) -> Outcome<()> {
        let [stride_a, stride_b, stride_c] = product.strides;
        // SAFETY (of all accesses): the caller vouches for the operands.
        let at = |matrix, kind, i| unsafe { element(matrix, kind, i) };
        for i in 0..product.m {
            for j in 0..product.n {
                let mut sum = 0f64;
                for k in 0..product.k {
                    let a = if product.transpose_a {
                        k * stride_a + i
                    } else {
                        i * stride_a + k
                    };
                    let b = if product.transpose_b {
                        j * stride_b + k
                    } else {
                        k * stride_b + j
                    };
                    sum += at(operands.a, product.input, a) * at(operands.b, product.input, b);
                }
                let c = i * stride_c + j;
                if let Some(bias) = operands.bias {
                    sum += at(bias, product.output, j);
                }
                if product.accumulate {
                    sum += at(operands.added_to(), product.output, c);
                }
                // SAFETY: as above.
                unsafe {
                    match product.output {
                        Element::F32 => *(operands.c as *mut f32).add(c) = sum as f32,
                        Element::Bf16 => *(operands.c as *mut bf16).add(c) = bf16::from_f64(sum),
                    }
                }
            }
        }
        Ok(())
    }

    fn synchronize(&self) -> Outcome<()> {
        Ok(())
    }

    fn begin_record(&self) -> Outcome<bool> {
        Ok(false)
    }

    fn end_record(&self) -> Outcome<Box<dyn Recorded>> {
        Err(Fault::Other("nothing is recorded".into()))
    }
}

/// Element `i` of a matrix.
unsafe fn element(matrix: Address, kind: Element, i: usize) -> f64 {
    // SAFETY: the caller vouches for the matrix.
    unsafe {
        match kind {
            Element::F32 => f64::from(*(matrix as *const f32).add(i)),
            Element::Bf16 => (*(matrix as *const bf16).add(i)).to_f64(),
        }
    }
}
