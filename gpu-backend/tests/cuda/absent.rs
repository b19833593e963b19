//! Where there is no CUDA, the program starts and says what is missing.

use toeplite_train::device::DeviceError;
use toeplite_train::device::cuda::{Cuda, Precision};

#[test]
fn what_is_missing_is_named() {
    match Cuda::open(0, Precision::Bf16) {
        // With a driver and the libraries this test has nothing to see.
        Ok(_) => {}
        Err(DeviceError::Unavailable { device, reason }) => {
            assert_eq!(device, "cuda:0");
            let known = ["driver", "cuBLASLt", "NVRTC", "CUDA devices", "capability"];
            assert!(known.iter().any(|word| reason.contains(word)), "{reason}");
        }
        Err(other) => panic!("{other}"),
    }
}
