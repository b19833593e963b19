//! Matrix products by cuBLASLt.

use super::machine::{Address, Element, Fault, Operands, Outcome, Product};
use cudarc::cublaslt::result::{self as lt, CublasError};
use cudarc::cublaslt::sys::{
    cublasComputeType_t, cublasLtEpilogue_t, cublasLtHandle_t, cublasLtMatmulDesc_t,
    cublasLtMatmulDescAttributes_t as DescAttribute, cublasLtMatmulHeuristicResult_t,
    cublasLtMatmulPreference_t, cublasLtMatmulPreferenceAttributes_t as PrefAttribute,
    cublasLtMatrixLayout_t, cudaDataType, cudaStream_t,
};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::c_void;
use std::mem::size_of_val;
use std::ptr;

/// Bytes of cuBLASLt's workspace.
pub const WORKSPACE: usize = 64 << 20;

/// A handle, and the plans of all products so far.
pub struct Products {
    handle: cublasLtHandle_t,
    workspace: Address,
    stream: cudaStream_t,
    plans: RefCell<HashMap<Key, Plan>>,
}

/// What algorithms are chosen by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    product: Product,
    bias: bool,
    /// Of A, B and C in bytes, at most 256.
    alignments: [u32; 3],
}

/// Descriptors and the algorithm of one product. Ours are row-major, cuBLASLt's column-major:
/// `C = A B` is planned as `C^T = B^T A^T`, so its first operand is our B.
struct Plan {
    descriptor: cublasLtMatmulDesc_t,
    first: cublasLtMatrixLayout_t,
    second: cublasLtMatrixLayout_t,
    result: cublasLtMatrixLayout_t,
    chosen: cublasLtMatmulHeuristicResult_t,
}

impl Products {
    /// Products on a stream, with [`WORKSPACE`] bytes at `workspace`.
    pub fn new(stream: cudaStream_t, workspace: Address) -> Outcome<Self> {
        let handle = lt::create_handle().map_err(fault)?;
        let plans = RefCell::default();
        Ok(Self {
            handle,
            workspace,
            stream,
            plans,
        })
    }

    /// Starts a product.
    ///
    /// # Safety
    /// The operands are matrices of the product's shape on the device of the current context.
    pub unsafe fn multiply(&self, product: &Product, operands: &Operands) -> Outcome<()> {
        let key = Key::of(product, operands);
        let mut plans = self.plans.borrow_mut();
        let plan = match plans.entry(key) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(Plan::new(self.handle, &key)?)
            }
        };
        if let Some(bias) = operands.bias {
            plan.describe(DescAttribute::CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias)?;
        }
        let (one, beta) = (1f32, if product.accumulate { 1f32 } else { 0f32 });
        // SAFETY: descriptors and handle are alive; the caller vouches for the operands.
        unsafe {
            lt::matmul(
                self.handle,
                plan.descriptor,
                (&raw const one).cast(),
                (&raw const beta).cast(),
                operands.b as *const c_void,
                plan.first,
                operands.a as *const c_void,
                plan.second,
                operands.added_to() as *const c_void,
                plan.result,
                operands.c as *mut c_void,
                plan.result,
                &plan.chosen.algo,
                self.workspace as *mut c_void,
                WORKSPACE,
                self.stream,
            )
        }
        .map_err(fault)
    }
}

impl Drop for Products {
    fn drop(&mut self) {
        self.plans.borrow_mut().clear();
        // SAFETY: the handle is ours, and nothing uses it after this.
        let _ = unsafe { lt::destroy_handle(self.handle) };
    }
}

impl Key {
    fn of(product: &Product, operands: &Operands) -> Self {
        // The bias and the addend are read in the same vectors as C is written.
        let c = operands.c | operands.added_to() | operands.bias.unwrap_or(0);
        Self {
            product: *product,
            bias: operands.bias.is_some(),
            alignments: [operands.a, operands.b, c].map(|address| {
                let free_bits = address.trailing_zeros().min(8);
                1 << free_bits
            }),
        }
    }
}

impl Plan {
    fn new(handle: cublasLtHandle_t, key: &Key) -> Outcome<Self> {
        let product = &key.product;
        let compute = cublasComputeType_t::CUBLAS_COMPUTE_32F;
        let mut plan = Self {
            descriptor: lt::create_matmul_desc(compute, cudaDataType::CUDA_R_32F).map_err(fault)?,
            first: ptr::null_mut(),
            second: ptr::null_mut(),
            result: ptr::null_mut(),
            // SAFETY: plain numbers; overwritten by `choose` before the plan is used.
            chosen: unsafe { std::mem::zeroed() },
        };
        let [stride_a, stride_b, stride_c] = product.strides;
        plan.first = layout(
            product.input,
            product.transpose_b,
            product.n,
            product.k,
            stride_b,
        )?;
        plan.second = layout(
            product.input,
            product.transpose_a,
            product.k,
            product.m,
            stride_a,
        )?;
        plan.result = layout(product.output, false, product.n, product.m, stride_c)?;
        // CUBLAS_OP_N is 0, CUBLAS_OP_T is 1.
        let operation = i32::from;
        plan.describe(
            DescAttribute::CUBLASLT_MATMUL_DESC_TRANSA,
            &operation(product.transpose_b),
        )?;
        plan.describe(
            DescAttribute::CUBLASLT_MATMUL_DESC_TRANSB,
            &operation(product.transpose_a),
        )?;
        if key.bias {
            plan.describe(
                DescAttribute::CUBLASLT_MATMUL_DESC_EPILOGUE,
                &cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS,
            )?;
        }
        plan.choose(handle, key)?;
        Ok(plan)
    }

    /// Sets an attribute of the descriptor.
    fn describe<T: Copy>(&self, attribute: DescAttribute, value: &T) -> Outcome<()> {
        let value_pointer = (&raw const *value).cast();
        // SAFETY: the descriptor is alive, and `value` is of the attribute's type.
        unsafe {
            lt::set_matmul_desc_attribute(
                self.descriptor,
                attribute,
                value_pointer,
                size_of_val(value),
            )
        }
        .map_err(fault)
    }

    fn choose(&mut self, handle: cublasLtHandle_t, key: &Key) -> Outcome<()> {
        let preference = Preference(lt::create_matmul_pref().map_err(fault)?);
        preference.set(
            PrefAttribute::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
            &WORKSPACE,
        )?;
        let [a, b, c] = key.alignments;
        for (attribute, alignment) in [
            (PrefAttribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, b),
            (PrefAttribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, a),
            (PrefAttribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, c),
            (PrefAttribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, c),
        ] {
            preference.set(attribute, &alignment)?;
        }
        // SAFETY: all descriptors are alive.
        self.chosen = unsafe {
            lt::get_matmul_algo_heuristic(
                handle,
                self.descriptor,
                self.first,
                self.second,
                self.result,
                self.result,
                preference.0,
            )
        }
        .map_err(|error| Fault::Other(format!("no algorithm for {:?}: {error}", key.product)))?;
        Ok(())
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        // SAFETY: the descriptors are ours, and products that were started have copied them.
        unsafe {
            let _ = lt::destroy_matmul_desc(self.descriptor);
            for layout in [self.first, self.second, self.result] {
                if !layout.is_null() {
                    let _ = lt::destroy_matrix_layout(layout);
                }
            }
        }
    }
}

/// Destroyed when it goes.
struct Preference(cublasLtMatmulPreference_t);

impl Preference {
    fn set<T: Copy>(&self, attribute: PrefAttribute, value: &T) -> Outcome<()> {
        let value_pointer = (&raw const *value).cast();
        // SAFETY: the preference is alive, and `value` is of the attribute's type.
        unsafe {
            lt::set_matmul_pref_attribute(self.0, attribute, value_pointer, size_of_val(value))
        }
        .map_err(fault)
    }
}

impl Drop for Preference {
    fn drop(&mut self) {
        // SAFETY: it is ours, and not used any more.
        let _ = unsafe { lt::destroy_matmul_pref(self.0) };
    }
}

/// Layout of an operand that is `[rows, columns]` in cuBLASLt's eyes, or stored transposed.
fn layout(
    element: Element,
    transposed: bool,
    rows: usize,
    columns: usize,
    stride: usize,
) -> Outcome<cublasLtMatrixLayout_t> {
    let kind = match element {
        Element::F32 => cudaDataType::CUDA_R_32F,
        Element::Bf16 => cudaDataType::CUDA_R_16BF,
    };
    let (rows, columns) = if transposed {
        (columns, rows)
    } else {
        (rows, columns)
    };
    lt::create_matrix_layout(kind, rows as u64, columns as u64, stride as i64).map_err(fault)
}

fn fault(error: CublasError) -> Fault {
    Fault::Other(format!("cuBLASLt: {error}"))
}
