//! Plans of FFTs, for `f32` and `f64` alone.
//!
//! A crate of its own because every crate that calls realfft's generic planner compiles all of
//! rustfft's algorithms anew: more than a million lines of intermediate code. Here they are
//! compiled once; other crates see trait objects.
//!
//! ```
//! let plan = toeplite_fft::plan::<f64>(8);
//! let mut x = vec![1.0; 8];
//! let mut bins = plan.forward.make_output_vec();
//! plan.forward.process(&mut x, &mut bins).expect("lengths of the plan");
//! assert_eq!(bins[0].re, 8.0);
//! ```

use realfft::RealFftPlanner;
pub use realfft::{ComplexToReal, FftNum, RealToComplex};
use rustfft::FftPlanner;
pub use rustfft::{Fft, num_complex::Complex};
use std::sync::Arc;

/// Both directions of a real FFT of one length; neither is scaled.
#[derive(Clone)]
pub struct Plan<T> {
    /// From `length` numbers to `length / 2 + 1` bins.
    pub forward: Arc<dyn RealToComplex<T>>,
    /// From `length / 2 + 1` bins to `length` times the numbers.
    pub inverse: Arc<dyn ComplexToReal<T>>,
}

/// Both directions of a complex FFT of one length; neither is scaled.
#[derive(Clone)]
pub struct ComplexPlan<T> {
    /// From numbers to bins.
    pub forward: Arc<dyn Fft<T>>,
    /// From bins to `length` times the numbers.
    pub inverse: Arc<dyn Fft<T>>,
}

/// A type that FFTs are compiled for.
pub trait Scalar: FftNum {
    /// The plan for `length` numbers.
    fn plan(length: usize) -> Plan<Self>;
    /// The plan for `length` complex numbers.
    fn plan_complex(length: usize) -> ComplexPlan<Self>;
}

/// The plan for `length` numbers, at least one.
pub fn plan<T: Scalar>(length: usize) -> Plan<T> {
    T::plan(length)
}

/// The plan for `length` complex numbers, at least one.
pub fn plan_complex<T: Scalar>(length: usize) -> ComplexPlan<T> {
    T::plan_complex(length)
}

macro_rules! scalar {
    ($t:ty) => {
        impl Scalar for $t {
            fn plan(length: usize) -> Plan<$t> {
                let mut planner = RealFftPlanner::<$t>::new();
                Plan {
                    forward: planner.plan_fft_forward(length),
                    inverse: planner.plan_fft_inverse(length),
                }
            }

            fn plan_complex(length: usize) -> ComplexPlan<$t> {
                let mut planner = FftPlanner::<$t>::new();
                ComplexPlan {
                    forward: planner.plan_fft_forward(length),
                    inverse: planner.plan_fft_inverse(length),
                }
            }
        }
    };
}

scalar!(f32);
scalar!(f64);
