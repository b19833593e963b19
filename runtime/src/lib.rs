//! Streams a converted Toeplitz neural network, one token at a time.
#![no_std]
#![forbid(unsafe_code)]
