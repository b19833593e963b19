//! The logic of applications on boards, without a board: samples, losses, lines, memory, rates.
#![allow(missing_docs)]

use apps::flash::session_bytes;
use apps::keyword::{Material, Memory, Names, choose};
use apps::line::{LENGTH, Line};
use apps::microphone::{Leveller, Losses, Pace};
use apps::partition::{Origin, Refusal};
use proptest::prelude::*;
use toeplite_audio::{self as audio, Config, SharedLogMel, Tables};
use toeplite_tests::{bytes_config, checkpoint, layers_of, small_classifier_config};
use toeplite_tools::blob::{AnyModel, Blob, WeightType, write};
use toeplite_tools::checkpoint::FrontEnd;
use toeplite_tools::checkpoint::config::{
    Activation, ClassifierConfig, Config as Network, Pooling,
};
use toeplite_tools::image::{Beside, Image, features};

#[test]
fn a_resting_microphone_is_silent() {
    for bits in [8, 12, 14] {
        let mut leveller = Leveller::new(bits);
        let heard: Vec<_> = (0..2000)
            .map(|_| leveller.sample(1 << (bits - 1)))
            .collect();
        assert!(heard.iter().all(|sample| *sample == 0), "{bits} bits");
    }
}

/// Of each converter a number one above the middle is one step of its own in 16 bits.
#[test]
fn samples_fill_sixteen_bits() {
    for (bits, step) in [(8, 256), (12, 16), (14, 4)] {
        let middle = 1 << (bits - 1);
        assert_eq!(Leveller::new(bits).sample(middle + 1), step);
        assert_eq!(Leveller::new(bits).sample(middle - 3), -3 * step);
        // the ends of its range, and numbers that it cannot give
        assert_eq!(Leveller::new(bits).sample(0), i16::MIN);
        let most = (i32::from(middle) - 1) * i32::from(step);
        assert_eq!(i32::from(Leveller::new(bits).sample(2 * middle - 1)), most);
        assert_eq!(i32::from(Leveller::new(bits).sample(u16::MAX)), most);
    }
}

#[test]
fn what_is_beyond_sixteen_bits_is_clamped() {
    for bits in [8, 12, 14] {
        let mut leveller = Leveller::new(bits);
        let most = (1 << bits) - 1;
        // rests at the lower end: the upper one is twice as far as a sample goes
        (0..20_000).for_each(|_| _ = leveller.sample(0));
        assert_eq!(leveller.sample(most), i16::MAX, "{bits} bits");
        (0..20_000).for_each(|_| _ = leveller.sample(most));
        assert_eq!(leveller.sample(0), i16::MIN, "{bits} bits");
    }
}

/// A step of the resting voltage fades by 1 - 1/512 a sample: the reference is the recursion in f64.
#[test]
fn a_step_of_the_resting_voltage_fades() {
    for (bits, step) in [(8, 256.0), (12, 16.0), (14, 4.0)] {
        let mut leveller = Leveller::new(bits);
        let (offset, middle) = (20.0, f64::from(1 << (bits - 1)));
        let mut rest = middle;
        for i in 0..6000 {
            let error = middle + offset - rest;
            rest += error / 512.0;
            let found = f64::from(leveller.sample((middle + offset) as u16)) / step;
            // the resting voltage is rounded down to a whole number
            assert!(
                (found - error).abs() <= 1.0,
                "{bits} bits, {i}: {found}, not {error}"
            );
        }
        assert!(leveller.sample((middle + offset) as u16) <= step as i16);
    }
}

proptest! {
    /// Its memory does not overflow, whatever comes.
    #[test]
    fn any_numbers_are_levelled(bits in 8u32..=14, numbers in prop::collection::vec(any::<u16>(), 0..3000)) {
        let mut leveller = Leveller::new(bits);
        for number in numbers {
            leveller.sample(number);
        }
    }

    /// Each tick is either taken or missed, as long as no sample is later than its own tick.
    #[test]
    fn ticks_are_taken_or_missed(period in 1u64..1000, start in 0u64..1 << 40, waits in prop::collection::vec(0u64..5000, 1..50)) {
        let mut pace = Pace::new(start, period);
        let (mut taken, mut missed) = (0, 0);
        for wait in waits {
            let now = pace.due() + wait;
            missed += u64::from(pace.taken(now));
            taken += 1;
            // all that were due until now
            prop_assert_eq!(taken + missed, (now - start) / period);
        }
    }
}

#[test]
fn early_samples_are_no_losses() {
    let mut pace = Pace::new(1000, 125);
    assert_eq!(pace.due(), 1125);
    assert_eq!([1124, 1250, 1499].map(|now| pace.taken(now)), [0, 0, 0]);
    // the next was due at 1500; 1625 and 1750 were missed as well
    assert_eq!(pace.taken(1750), 2);
    assert_eq!(pace.taken(1875), 0);
}

#[test]
fn losses_are_told_once_a_second() {
    let mut losses = Losses::new(8000);
    assert_eq!(losses.count(128, 0), None);
    assert_eq!(losses.count(128, 3), Some(3));
    let told: Vec<_> = (0..62).filter_map(|_| losses.count(120, 10)).collect();
    assert_eq!(told, [620]);
    assert_eq!(losses.count(8000, 0), None);
    assert_eq!(losses.count(0, u32::MAX), Some(u32::MAX));
}

fn lines(text: &[u8]) -> Vec<Vec<u8>> {
    let mut written = Vec::new();
    let mut line = Line::new(|bytes: &[u8]| written.push(bytes.to_vec()));
    text.iter().for_each(|byte| line.add(*byte));
    line.end();
    written
}

#[test]
fn lines_end_where_they_do_or_are_full() {
    assert_eq!(lines(b"one\n\ntwo"), [&b"one"[..], b"", b"two"]);
    let long = [b'x'; LENGTH + 3];
    assert_eq!(lines(&long), [&long[..LENGTH], &long[..3]]);
}

#[test]
fn session_memory_is_what_was_asked_for_or_half_as_much_again() {
    assert_eq!(session_bytes(None, 100), 160);
    assert_eq!(session_bytes(None, 0), 0);
    assert_eq!(session_bytes(Some("100"), 100), 112);
    assert_eq!(session_bytes(Some("4096"), 100), 4096);
    for refused in ["99", "", "4K", "-1"] {
        let asked = || session_bytes(Some(refused), 100);
        assert!(std::panic::catch_unwind(asked).is_err(), "{refused}");
    }
}

/// A classifier of frames of 20 bands.
fn classifier() -> Blob {
    let classifier = Some(ClassifierConfig {
        classes: 2,
        pooling: Pooling::Mean,
        frame_dim: Some(20),
    });
    let network = Network {
        classifier,
        ..small_classifier_config(Some(20), Pooling::Mean)
    };
    let layers = layers_of(&network, 1);
    write(&checkpoint(network, 1), &layers, WeightType::Int8).unwrap()
}

/// Which of an image's and the firmware's own model is taken where the microphone has these rates.
fn chosen(blob: &Blob, image_rate: u32, rates: Option<&[u32]>) -> Origin {
    const OWN: Config = Config::speech(8000).with_bands(20, 100, 3800);
    static TABLES: Tables<{ OWN.frame }, { OWN.bins() }, 20> = Tables::new(OWN);
    let AnyModel::Classifier(model) = blob.any().unwrap() else {
        panic!("no classifier");
    };
    let front_end = FrontEnd {
        config: Config::speech(image_rate).with_bands(20, 100, 3800),
        integers: false,
        classes: ["no", "yes"].map(String::from).to_vec(),
        frames: None,
        after: None,
    };
    let image = Image::new(blob, &blob.any().unwrap(), &Beside::FrontEnd(front_end)).unwrap();
    let partition = Blob::from_bytes(image.bytes());
    let mut session = toeplite::Memory::<65536>::new();
    let mut front_end = audio::SharedMemory::<512, 20>::new();
    let mut memory = Memory::<SharedLogMel> {
        session: session.as_mut_slice(),
        front_end: front_end.kept(),
        features: &mut [0.0; 20],
        posteriors: &mut [0.0; 2],
    };
    let own = Material {
        model,
        tables: TABLES.view(),
        names: Names::BuiltIn(&["no", "yes"]),
    };
    choose(partition.bytes(), own, rates, &mut memory).1
}

#[test]
fn images_of_other_rates_than_the_microphone_has_are_refused() {
    let blob = classifier();
    assert_eq!(chosen(&blob, 8000, Some(&[8000])), Origin::Partition);
    assert_eq!(
        chosen(&blob, 16_000, Some(&[8000, 16_000])),
        Origin::Partition
    );
    assert_eq!(chosen(&blob, 16_000, None), Origin::Partition);
    let (needed, found) = (16_000, 8000);
    let refusal = Refusal::Rate { needed, found };
    assert_eq!(
        chosen(&blob, 16_000, Some(&[8000])),
        Origin::BuiltIn(refusal)
    );
    assert_eq!(refusal.sizes(), Some((16_000, 8000)));
    assert!(refusal.message().contains("another rate"));
}

/// What firmware must be built with for a model: the host says so before it is flashed.
#[test]
fn features_of_the_firmware_are_those_of_the_model() {
    for (activation, weights, expected) in [
        (Activation::Silu, WeightType::Int8, vec![]),
        (Activation::Gelu, WeightType::Int8, vec!["gelu"]),
        (Activation::Gelu, WeightType::Int4, vec!["gelu", "int4"]),
    ] {
        let network = Network {
            glu_act: activation,
            ..bytes_config(16)
        };
        let layers = layers_of(&network, 1);
        let blob = write(&checkpoint(network, 1), &layers, weights).unwrap();
        assert_eq!(features(&blob.any().unwrap()), expected);
    }
}
