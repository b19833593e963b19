use super::*;
use proptest::prelude::*;
extern crate std;
use std::vec::Vec;

/// Bytes at a multiple of 16.
struct Flash(Vec<u128>);

impl Flash {
    fn new(bytes: &[u8]) -> Self {
        let mut flash = Self(std::vec![0; bytes.len().div_ceil(16)]);
        bytemuck::cast_slice_mut(&mut flash.0)[..bytes.len()].copy_from_slice(bytes);
        flash
    }

    fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}

/// An image with other bytes behind it.
fn made(sections: &[(u16, &[u8])]) -> Flash {
    let mut flash = Flash(std::vec![u128::MAX; image_bytes(sections).unwrap() / 16 + 3]);
    write(sections, flash.bytes_mut()).unwrap();
    flash
}

const GOOD: &[(u16, &[u8])] = &[
    (kind::MODEL, b"0123456789abcdefg"),
    (99, b"of the future"),
    (kind::CLASSES, b"\x01a\x02\xc3\xa4"),
];

fn refused(sections: &[(u16, &[u8])]) -> Option<ImageError> {
    Image::from_bytes(made(sections).bytes()).err()
}

/// What becomes of a good image that is changed, with its checksum made right again.
fn changed(change: impl FnOnce(&mut [u8])) -> Option<ImageError> {
    let mut flash = made(GOOD);
    let length = image_bytes(GOOD).unwrap();
    change(flash.bytes_mut());
    let crc = crc32(&flash.bytes()[HEADER_BYTES..length]);
    flash.bytes_mut()[12..16].copy_from_slice(&crc.to_le_bytes());
    Image::from_bytes(flash.bytes()).err()
}

#[test]
fn what_was_written_is_read() {
    let flash = made(GOOD);
    let image = Image::from_bytes(flash.bytes()).unwrap();
    assert_eq!(image.model(), b"0123456789abcdefg");
    assert_eq!(image.model().as_ptr().addr() % ALIGNMENT, 0);
    assert!(image.classes().unwrap().eq(["a", "ä"]));
    assert_eq!(image.section(99), Some(&b"of the future"[..]));
    assert_eq!(image.section(kind::FRONT_END), None);
    assert_eq!(Some(image.image_bytes()), image_bytes(GOOD));
}

#[test]
fn partitions_without_an_image_are_told_apart() {
    let of = |bytes: &[u8]| Image::from_bytes(Flash::new(bytes).bytes()).err();
    assert_eq!(of(&[0xFF; 64]), Some(ImageError::Empty));
    assert_eq!(of(&[0; 64]), Some(ImageError::Empty));
    let found = *b"TOEP";
    assert_eq!(
        of(b"TOEP a blob, not an image....."),
        Some(ImageError::BadMagic { found })
    );
    let short = ImageError::TooLong {
        length: 16,
        partition: 0,
    };
    assert_eq!(of(&[]), Some(short));
    let mut flash = made(GOOD);
    flash.bytes_mut()[4] = 2;
    assert_eq!(
        Image::from_bytes(flash.bytes()).err(),
        Some(ImageError::UnsupportedVersion { found: 2 })
    );
    let flash = made(GOOD);
    let length = image_bytes(GOOD).unwrap();
    let partition = length - 16;
    assert_eq!(
        Image::from_bytes(&flash.bytes()[..partition]).err(),
        Some(ImageError::TooLong { length, partition })
    );
}

#[test]
fn interrupted_writing_is_told_from_damage() {
    let length = image_bytes(GOOD).unwrap();
    for written in (16..length).step_by(4) {
        let mut flash = made(GOOD);
        flash.bytes_mut()[written..].fill(0xFF);
        let error = Image::from_bytes(flash.bytes()).unwrap_err();
        if written <= length - 16 {
            assert_eq!(error, ImageError::Incomplete { length });
        } else {
            assert!(matches!(error, ImageError::Corrupt { .. }), "{error}");
        }
    }
    for bit in 8 * HEADER_BYTES..8 * length {
        let mut flash = made(GOOD);
        flash.bytes_mut()[bit / 8] ^= 1 << (bit % 8);
        let error = Image::from_bytes(flash.bytes()).unwrap_err();
        assert!(matches!(error, ImageError::Corrupt { .. }), "{error}");
    }
}

#[test]
fn sections_that_no_writer_writes_are_refused() {
    assert_eq!(refused(&[]), Some(ImageError::NoModel));
    let offset = 16;
    let twice = [(kind::MODEL, &b"a"[..]), (kind::MODEL, b"b")];
    assert_eq!(refused(&twice), Some(ImageError::BadSection { offset }));
    let ended = [(kind::END, &b""[..]), (kind::MODEL, b"b")];
    assert_eq!(refused(&ended), Some(ImageError::BadSection { offset }));
    // padding, zeros of the header, and a length beyond the image
    for at in [32 + 17, 18, 24, 22, 23] {
        let error = changed(|image| image[at] = 1);
        assert_eq!(error, Some(ImageError::BadSection { offset }), "byte {at}");
    }
    let end = image_bytes(GOOD).unwrap() - 16;
    let error = changed(|image| image[end] = 7);
    assert_eq!(error, Some(ImageError::BadSection { offset: end + 16 }));
}

#[test]
fn names_that_are_no_text_are_refused() {
    for names in [&b"\x05four"[..], b"\x00", b"\x01a\x00", b"\x01\xc3"] {
        let sections = [(kind::MODEL, &b""[..]), (kind::CLASSES, names)];
        assert_eq!(
            refused(&sections),
            Some(ImageError::BadClasses),
            "{names:?}"
        );
    }
}

#[test]
fn messages_have_their_numbers() {
    let error = ImageError::TooLong {
        length: 70_000,
        partition: 65_536,
    };
    let text = std::format!("{error}");
    assert!(text.contains("70000") && text.contains("65536"), "{text}");
}

proptest! {
    /// Whatever lies in flash, the reader comes to an end, and what it accepts can be looked at.
    #[test]
    fn any_bytes_are_survived(
        sections in proptest::collection::vec((0u16..5, proptest::collection::vec(any::<u8>(), 0..40)), 0..6),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let sections: Vec<_> = sections.iter().map(|(kind, bytes)| (*kind, &bytes[..])).collect();
        let mut flash = made(&sections);
        let length = image_bytes(&sections).unwrap();
        for (at, byte) in changes {
            flash.bytes_mut()[at.index(length)] = byte;
        }
        // past the checksum, into the sections
        let crc = crc32(&flash.bytes()[HEADER_BYTES..length]);
        flash.bytes_mut()[12..16].copy_from_slice(&crc.to_le_bytes());
        if let Ok(image) = Image::from_bytes(flash.bytes()) {
            prop_assert!(image.model().len() < image.image_bytes());
            for class in image.classes().into_iter().flatten() {
                prop_assert!(!class.is_empty());
            }
        }
    }

    /// What is written well is read as it is.
    #[test]
    fn any_sections_come_back(
        model in proptest::collection::vec(any::<u8>(), 0..70),
        other in proptest::collection::vec(any::<u8>(), 0..70),
        kind in 3u16..,
    ) {
        let flash = made(&[(kind, &other), (kind::MODEL, &model)]);
        let image = Image::from_bytes(flash.bytes()).unwrap();
        prop_assert_eq!(image.model(), &model[..]);
        prop_assert_eq!(image.section(kind), Some(&other[..]));
    }
}
