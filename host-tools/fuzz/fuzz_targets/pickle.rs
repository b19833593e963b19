//! The pickle reader, and the accessors that its users call.

#![no_main]

use libfuzzer_sys::fuzz_target;
use toeplite_tools::checkpoint::fairseq::pickle::{self, Node};

fn look(node: Node, depth: usize) {
    assert!(!node.describe().is_empty());
    if depth == 0 {
        return;
    }
    for element in node.elements().into_iter().flatten() {
        look(element, depth - 1);
    }
    if let Some(mapping) = node.mapping() {
        for (key, value) in mapping.iter().take(100) {
            assert!(mapping.get(key).is_some());
            look(value, depth - 1);
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(pickle) = pickle::parse(bytes) {
        look(pickle.root(), 2);
    }
});
