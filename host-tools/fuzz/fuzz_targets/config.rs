//! `config.json`: whatever is accepted is valid and survives a round trip.

#![no_main]

use libfuzzer_sys::fuzz_target;
use toeplite_tools::checkpoint::{Config, expected_tensors};

fuzz_target!(|text: &[u8]| {
    if let Ok(config) = Config::from_json(text) {
        assert_eq!(
            Config::from_json(config.to_json().as_bytes()).unwrap(),
            config
        );
        assert!(!expected_tensors(&config).is_empty());
    }
});
