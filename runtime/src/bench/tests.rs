extern crate std;
use super::*;
use crate::kernel::dense::{dual, int4};
use std::collections::BTreeMap;
use std::vec::Vec;

#[derive(Default)]
struct Recorder {
    counted: Vec<Case>,
    hashes: BTreeMap<&'static str, u64>,
}

impl Meter for Recorder {
    fn count(&mut self, case: Case, work: impl FnOnce()) {
        self.counted.push(case);
        work();
    }

    fn result(&mut self, case: Case, hash: u64) {
        assert_eq!(self.counted.last(), Some(&case));
        assert_eq!(self.hashes.insert(case.name, hash), None, "{}", case.name);
    }
}

fn run<const WORDS: usize>(contract: Contract) -> Recorder {
    let mut recorder = Recorder::default();
    Buffers::<WORDS>::new().run(contract, &mut recorder);
    recorder
}

const ALL: usize = MOST_WORDS;
const FEW: usize = state_words(FEW_CHANNELS);

#[test]
fn every_case_computes_something_of_its_own() {
    for contract in [Contract::F32, Contract::Fixed] {
        let all = run::<ALL>(contract);
        assert_eq!(all.counted.len(), all.hashes.len());
        let zeros: Vec<u64> = (0..=512).map(|n| hash(&[0.0; 512][..n])).collect();
        let mut seen = BTreeMap::new();
        for (name, hash) in &all.hashes {
            assert!(!zeros.contains(hash), "{name} computes zeros or nothing");
            if !name.starts_with("sampling") {
                assert_eq!(seen.insert(hash, name), None, "{name}");
            }
        }
        assert!(all.hashes.contains_key("recurrence 384x4+8"));
    }
}

#[test]
fn cases_of_one_name_are_those_of_the_contract_that_is_asked_for() {
    let of = |contract, name: &str| {
        let all = run::<ALL>(contract);
        let case = all.counted.iter().find(|case| case.name == name);
        (case.map(|case| case.contract), all.hashes[name])
    };
    for name in [
        "int8 256x256",
        "int4 64x64",
        "recurrence 384x4+8",
        "gates 384",
    ] {
        let (floats, integers) = (of(Contract::F32, name), of(Contract::Fixed, name));
        assert_eq!(floats.0, Some(Contract::F32));
        assert_eq!(integers.0, Some(Contract::Fixed));
        assert_ne!(floats.1, integers.1, "{name}");
    }
    let name = "product int8 256x256";
    assert_eq!(of(Contract::F32, name), of(Contract::Fixed, name));
    assert_eq!(of(Contract::Fixed, "f32 64x64").0, Some(Contract::F32));
}

#[test]
fn small_memories_take_the_small_recurrence_no_long_heads_and_all_else_unchanged() {
    for contract in [Contract::F32, Contract::Fixed] {
        let (mut all, mut few) = (run::<ALL>(contract), run::<FEW>(contract));
        assert!(all.hashes.remove("recurrence 384x4+8").is_some());
        assert!(few.hashes.remove("recurrence 96x4+8").is_some());
        all.hashes.retain(|name, _| !name.starts_with("fir "));
        assert_eq!(all.hashes, few.hashes);
    }
}

/// Weights come back as they were laid, at the ends of odd shapes, too.
#[test]
fn packed_matrices_hold_the_integers() {
    const ROWS: usize = 7;
    const COLUMNS: usize = 37;
    const LANES: usize = Packing::Dual.bytes(ROWS, COLUMNS) / 2;
    const WORDS: usize = INT4.bytes(ROWS, COLUMNS) / 4;
    let lanes = data::dual_lanes::<LANES>(ROWS, COLUMNS);
    let words = data::int4_words::<WORDS>(ROWS, COLUMNS);
    assert_eq!(int4::fault(INT4, &words, ROWS, COLUMNS), None);
    for (row, integers) in data::integers(ROWS * COLUMNS, 0)
        .chunks(COLUMNS)
        .enumerate()
    {
        let expected: Vec<i32> = integers.iter().map(|w| (*w).into()).collect();
        let found = dual::row(bytemuck::cast_slice(&lanes), row, COLUMNS);
        assert_eq!(found.take(COLUMNS).collect::<Vec<_>>(), expected);
        let found = int4::row(INT4, bytemuck::cast_slice(&words), row, COLUMNS);
        for (column, (found, w)) in found.zip(expected).enumerate() {
            let chunk =
                (row / int4::ROWS * COLUMNS.div_ceil(int4::COLUMNS)) + column / int4::COLUMNS;
            let scale = int4::scale(&words.as_chunks().0[chunk], row);
            assert!(scale >= 128);
            assert_eq!(found, scale * (w / 17), "{row} {column}");
        }
    }
}
