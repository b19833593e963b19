//! What the operations need of hardware: memory, kernel launches, matrix products, recording.
//!
//! [`Hardware`](super::hardware::Hardware) is a CUDA device. The tests have another, which runs the
//! same kernels, compiled for the CPU, under the same host code.

use super::mix::Limits;
use std::ffi::c_void;

/// What went wrong below the operations.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// No memory is left.
    OutOfMemory,
    /// What the library said.
    Other(String),
}

/// What the calls of a [`Machine`] return.
pub type Outcome<T> = Result<T, Fault>;

/// An address in the machine's memory.
pub type Address = u64;

/// An argument of a kernel.
#[derive(Clone, Debug)]
pub enum Argument {
    /// A pointer or `size_t`.
    Word(u64),
    /// An `int`, an `unsigned` or the bits of a `float`.
    Half(u32),
    /// A struct of 4-byte fields.
    Struct(Vec<u32>),
}

impl Argument {
    /// Where the value lies, as kernel launches want it.
    pub fn as_ptr(&self) -> *mut c_void {
        match self {
            Self::Word(value) => (value as *const u64).cast_mut().cast(),
            Self::Half(value) => (value as *const u32).cast_mut().cast(),
            Self::Struct(words) => words.as_ptr().cast_mut().cast(),
        }
    }
}

impl From<u64> for Argument {
    fn from(value: u64) -> Self {
        Self::Word(value)
    }
}

impl From<usize> for Argument {
    fn from(value: usize) -> Self {
        Self::Word(value as u64)
    }
}

impl From<i32> for Argument {
    fn from(value: i32) -> Self {
        Self::Half(value as u32)
    }
}

impl From<u32> for Argument {
    fn from(value: u32) -> Self {
        Self::Half(value)
    }
}

impl From<f32> for Argument {
    fn from(value: f32) -> Self {
        Self::Half(value.to_bits())
    }
}

/// A kernel with its grid and arguments.
#[derive(Clone, Debug)]
pub struct Launch<'a> {
    /// Name of the kernel.
    pub kernel: &'a str,
    /// Blocks.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub block: u32,
    /// Bytes of dynamic shared memory.
    pub shared: u32,
    /// In the order of the kernel's parameters.
    pub arguments: &'a [Argument],
}

/// Type of the elements of a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// 32 bits.
    F32,
    /// 16 bits, the upper half of an f32.
    Bf16,
}

impl Element {
    /// Bytes of an element.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }
}

/// `C = op(A) op(B) (+ addend) (+ bias)`, row-major, accumulated in f32: see [`Gemm`](crate::device::Gemm).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Product {
    /// Rows of C.
    pub m: usize,
    /// Columns of C.
    pub n: usize,
    /// Terms of each sum.
    pub k: usize,
    /// Whether A is stored as `[k, m]`.
    pub transpose_a: bool,
    /// Whether B is stored as `[n, k]`.
    pub transpose_b: bool,
    /// Whether the product is added to the addend: what C holds, unless the operands name another.
    pub accumulate: bool,
    /// Elements from one row of A, as stored, to the next; likewise of B and C.
    pub strides: [usize; 3],
    /// Type of A and B.
    pub input: Element,
    /// Type of C.
    pub output: Element,
}

/// The operands of a [`Product`].
#[derive(Clone, Copy, Debug)]
pub struct Operands {
    /// A.
    pub a: Address,
    /// B.
    pub b: Address,
    /// `[n]` of the type of C, added to each row.
    pub bias: Option<Address>,
    /// Another matrix of the shape, stride and type of C that the product is added to.
    pub addend: Option<Address>,
    /// C.
    pub c: Address,
}

impl Operands {
    /// What the product is added to, where it is added.
    pub fn added_to(&self) -> Address {
        self.addend.unwrap_or(self.c)
    }
}

/// What was recorded; it holds addresses, not buffers.
pub trait Recorded {
    /// Starts it.
    ///
    /// # Safety
    /// All memory that it uses is still allocated.
    unsafe fn replay(&self) -> Outcome<()>;
}

/// Memory, launches, matrix products and recording of one device; everything happens in the order
/// of the calls.
pub trait Machine {
    /// Name for reports.
    fn name(&self) -> String;

    /// Memory for `bytes` bytes, aligned to 256.
    fn allocate(&self, bytes: usize) -> Outcome<Address>;

    /// Gives back what [`Machine::allocate`] returned.
    ///
    /// # Safety
    /// Nothing uses it any more.
    unsafe fn free(&self, address: Address);

    /// Zeroes bytes.
    ///
    /// # Safety
    /// They are within one allocation.
    unsafe fn zero(&self, to: Address, bytes: usize) -> Outcome<()>;

    /// Writes bytes of the host; they may be overwritten when this returns.
    ///
    /// # Safety
    /// They fit one allocation.
    unsafe fn write(&self, to: Address, bytes: &[u8]) -> Outcome<()>;

    /// Waits for all that was started, and reads bytes.
    ///
    /// # Safety
    /// They are within one allocation.
    unsafe fn read(&self, from: Address, bytes: &mut [u8]) -> Outcome<()>;

    /// Copies bytes.
    ///
    /// # Safety
    /// Both ranges are within allocations, and do not overlap.
    unsafe fn copy(&self, from: Address, to: Address, bytes: usize) -> Outcome<()>;

    /// What one block of a kernel may use.
    fn limits(&self) -> Limits;

    /// Compiles the kernels of a file that is compiled for one shape at a time, unless that is done;
    /// their names are then known to [`Machine::launch`].
    fn compile(&self, name: &str, text: &str, options: &[String]) -> Outcome<()>;

    /// Starts a kernel.
    ///
    /// # Safety
    /// The arguments are those of the kernel, and lead to memory that it may use.
    unsafe fn launch(&self, launch: &Launch) -> Outcome<()>;

    /// Starts a matrix product.
    ///
    /// # Safety
    /// The operands are matrices of the product's shape.
    unsafe fn multiply(&self, product: &Product, operands: &Operands) -> Outcome<()>;

    /// Starts to sum f32 over all processes that train together, beside what is started next.
    ///
    /// # Safety
    /// They are within one allocation that lives until [`Machine::reduce_finish`].
    unsafe fn reduce_start(&self, _at: Address, _len: usize) -> Outcome<()> {
        Ok(())
    }

    /// What is started next waits for all sums.
    fn reduce_finish(&self) -> Outcome<()> {
        Ok(())
    }

    /// Waits for all that was started.
    fn synchronize(&self) -> Outcome<()>;

    /// Starts recording; `false` if the machine cannot.
    fn begin_record(&self) -> Outcome<bool>;

    /// Ends recording.
    fn end_record(&self) -> Outcome<Box<dyn Recorded>>;
}
