//! Headers of wav files, whole and damaged ones.
#![allow(missing_docs)]

use proptest::prelude::*;
use toeplite_audio::wav::{Error, Header};

fn chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut bytes = name.to_vec();
    bytes.extend((content.len() as u32).to_le_bytes());
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(2), 0);
    bytes
}

fn format(kind: u16, channels: u16, rate: u32, bits: u16, more: &[u8]) -> Vec<u8> {
    let mut bytes = [kind, channels].map(u16::to_le_bytes).concat();
    bytes.extend(rate.to_le_bytes());
    bytes.extend((rate * 2).to_le_bytes());
    bytes.extend([2, bits].map(u16::to_le_bytes).concat());
    bytes.extend(more);
    chunk(b"fmt ", &bytes)
}

fn file(chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut content = b"WAVE".to_vec();
    chunks.iter().for_each(|chunk| content.extend(chunk));
    chunk(b"RIFF", &content)
}

/// The header, and what is left of the file behind it.
fn read(mut file: &[u8]) -> Result<(Header, &[u8]), Error> {
    let header = Header::read(|to| {
        let Some((bytes, rest)) = file.split_at_checked(to.len()) else {
            return false;
        };
        to.copy_from_slice(bytes);
        file = rest;
        true
    })?;
    Ok((header, file))
}

#[test]
fn samples_begin_where_the_header_ends() {
    let title = chunk(b"LIST", &[b'x'; 37]);
    let data = chunk(b"data", &[1, 2, 3, 4]);
    let header = Header {
        rate: 16000,
        samples: 2,
    };
    let mut extension = [0; 24];
    (extension[0], extension[8]) = (22, 1);
    for format in [
        format(1, 1, 16000, 16, &[]),
        format(0xFFFE, 1, 16000, 16, &extension),
    ] {
        for chunks in [
            vec![format.clone(), data.clone()],
            vec![title.clone(), format.clone(), title.clone(), data.clone()],
        ] {
            assert_eq!(read(&file(&chunks)), Ok((header, &[1, 2, 3, 4][..])));
        }
    }
}

#[test]
fn other_samples_are_refused() {
    let data = chunk(b"data", &[1, 2, 3, 4]);
    for bad in [
        format(3, 1, 8000, 32, &[]),
        format(1, 2, 8000, 16, &[]),
        format(1, 1, 8000, 8, &[]),
        format(0xFFFE, 1, 8000, 16, &[]),
        chunk(b"fmt ", &[1, 0, 1, 0]),
    ] {
        assert_eq!(read(&file(&[bad, data.clone()])), Err(Error::Format));
    }
    assert_eq!(read(&file(std::slice::from_ref(&data))), Err(Error::Format));
    assert_eq!(read(b"OggS and so on"), Err(Error::NotWav));
    let whole = file(&[format(1, 1, 8000, 16, &[]), data]);
    for end in 12..whole.len() - 4 {
        assert_eq!(read(&whole[..end]), Err(Error::Truncated), "{end}");
    }
}

proptest! {
    /// Any bytes give a header or an error, and end.
    #[test]
    fn no_bytes_are_too_strange(
        strange in proptest::collection::vec(any::<u8>(), 0..200),
        size in any::<u32>(),
    ) {
        let _ = read(&strange);
        let mut bytes = b"RIFF....WAVEfmt ".to_vec();
        bytes.extend(size.to_le_bytes());
        bytes.extend(&strange);
        if let Ok((_, rest)) = read(&bytes) {
            prop_assert!(rest.len() < strange.len());
        }
    }
}
