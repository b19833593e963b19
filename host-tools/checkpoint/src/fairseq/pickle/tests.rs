//! Pickles written by CPython, and pickles written by nobody.

use super::*;
use proptest::prelude::*;

const BY_CPYTHON: [&[u8]; 4] = [
    include_bytes!("testdata/protocol2.pkl"),
    include_bytes!("testdata/protocol3.pkl"),
    include_bytes!("testdata/protocol4.pkl"),
    include_bytes!("testdata/protocol5.pkl"),
];

fn integers(node: Node) -> Vec<i64> {
    node.elements().unwrap().map(|n| n.int().unwrap()).collect()
}

#[test]
fn every_protocol_of_cpython_gives_the_same_values() {
    for bytes in BY_CPYTHON {
        let pickle = parse(bytes).unwrap();
        let dict = pickle.root().mapping().unwrap();
        let get = |key| dict.get(key).unwrap();
        assert_eq!(get("none").value(), &Value::None);
        let flags: Vec<&Value> = get("flags").elements().unwrap().map(Node::value).collect();
        assert_eq!(flags, [&Value::Bool(true), &Value::Bool(false)]);
        let (low, high) = (i64::from(i32::MIN), i64::from(i32::MAX));
        let want = [
            0,
            255,
            256,
            65_535,
            65_536,
            -1,
            high,
            low,
            1 << 40,
            i64::MIN,
            i64::MAX,
        ];
        assert_eq!(integers(get("integers")), want);
        assert!(
            get("huge")
                .elements()
                .unwrap()
                .all(|n| n.value() == &Value::BigInt)
        );
        let floats: Vec<&Value> = get("floats").elements().unwrap().map(Node::value).collect();
        assert_eq!(floats, [&Value::Float(0.1), &Value::Float(f64::INFINITY)]);
        let texts: Vec<_> = get("texts")
            .elements()
            .unwrap()
            .map(|n| n.str().unwrap())
            .collect();
        assert_eq!(texts, ["", "Töplitz", &"x".repeat(300)]);
        let tuples: Vec<_> = get("tuples").elements().unwrap().map(integers).collect();
        assert_eq!(
            tuples,
            [vec![1], vec![1, 2], vec![1, 2, 3], vec![1, 2, 3, 4]]
        );
        assert_eq!(get("class").global(), Some(("collections", "OrderedDict")));
    }
}

#[test]
fn objects_are_described_and_not_made() {
    for bytes in BY_CPYTHON {
        let pickle = parse(bytes).unwrap();
        let dict = pickle.root().mapping().unwrap();
        let ordered: Vec<_> = dict
            .get("ordered")
            .unwrap()
            .mapping()
            .unwrap()
            .iter()
            .collect();
        assert_eq!((ordered[0].0, ordered[0].1.int()), ("first", Some(1)));
        // The memo gives the one list that both refer to.
        let shared = dict.get("shared").unwrap();
        assert!(std::ptr::eq(ordered[1].1.value(), shared.value()));
        let options = dict.get("options").unwrap().mapping().unwrap();
        assert_eq!(options.get("gamma").unwrap().value(), &Value::Float(0.98));
        assert_eq!(options.get("name").unwrap().str(), Some("tnn"));
        let cyclic = dict.get("cyclic").unwrap();
        let inside = cyclic.elements().unwrap().nth(1).unwrap();
        assert!(std::ptr::eq(inside.value(), cyclic.value()));
    }
    // A class that would run a command stays a name.
    let attack = b"\x80\x02cos\nsystem\nX\x04\0\0\0true\x85R.";
    let pickle = parse(attack).unwrap();
    assert_eq!(pickle.root().call().unwrap().0, ("os", "system"));
    assert!(pickle.root().mapping().is_none());
    assert_eq!(pickle.root().describe(), "an object of os.system");
}

#[test]
fn damage_is_named() {
    use PickleErrorKind as Kind;
    let cases: [(&[u8], Kind); 14] = [
        (b"", Kind::Truncated { needed: 1, left: 0 }),
        (b"\x80\x02}", Kind::Truncated { needed: 1, left: 0 }),
        (b"\x80\x09.", Kind::Protocol(9)),
        (
            b"\x80\x02X\xff\xff\xff\xffab",
            Kind::Truncated {
                needed: 0xffff_ffff,
                left: 2,
            },
        ),
        (
            b"\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\xffa",
            Kind::Truncated {
                needed: u64::MAX,
                left: 1,
            },
        ),
        (b"\x80\x02cos", Kind::Truncated { needed: 3, left: 2 }),
        (b"\x80\x02.", Kind::EmptyStack),
        (b"\x80\x02N(R.", Kind::EmptyStack),
        (b"\x80\x02t.", Kind::NoMark),
        (b"\x80\x02h\x05.", Kind::Memo(5)),
        (b"\x80\x02}(Nu.", Kind::OddEntries),
        (
            b"\x80\x02KaKbb.",
            Kind::Target {
                expected: "an object",
                found: "an integer",
            },
        ),
        (b"\x80\x05NN\x93.", Kind::Name),
        (b"\x80\x02I1\n.", Kind::Opcode { opcode: b'I' }),
    ];
    for (bytes, want) in cases {
        assert_eq!(parse(bytes).unwrap_err().kind, want, "{bytes:?}");
    }
}

#[test]
fn instructions_without_end_are_stopped() {
    let many = vec![b'N'; MAX_VALUES + 1];
    let error = parse(&many).unwrap_err();
    assert_eq!(error.kind, PickleErrorKind::TooMany { limit: MAX_VALUES });
    assert_eq!(error.offset, MAX_VALUES);
}

/// Looks at everything that a reader may look at.
fn visit(pickle: &Pickle) {
    for (key, node) in pickle.root().mapping().into_iter().flat_map(Mapping::iter) {
        assert!(key.len() <= MAX_BYTES && !node.describe().is_empty());
        node.elements()
            .into_iter()
            .flatten()
            .for_each(|n| drop(n.describe()));
        node.mapping()
            .into_iter()
            .flat_map(Mapping::iter)
            .for_each(|(_, n)| drop(n.describe()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(pickle) = parse(&bytes) {
            visit(&pickle);
        }
    }

    /// Random instructions get further than random bytes.
    #[test]
    fn random_instructions_do_not_panic(
        opcodes in prop::collection::vec(
            prop::sample::select(&b"()}]NK\x01q\x01h\x01(tuesabRQ20d1\x81\x85\x86\x87\x88\x8f\x90\x91\x92\x93\x94c\nU\x01a"[..]),
            0..200,
        )
    ) {
        if let Ok(pickle) = parse(&[&opcodes[..], b"."].concat()) {
            visit(&pickle);
        }
    }

    #[test]
    fn mutated_pickles_do_not_panic(
        which in 0..BY_CPYTHON.len(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut bytes = BY_CPYTHON[which].to_vec();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(pickle) = parse(&bytes) {
            visit(&pickle);
        }
    }
}
