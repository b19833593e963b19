//! Bytes as a partition, with length and checksum made right so that the fuzzer gets past them: an error, or an image whose
//! parts can be looked at, and whose front end hears.
#![no_main]

use libfuzzer_sys::fuzz_target;
use toeplite::format::crc32;
use toeplite::image::{HEADER_BYTES, Image, kind};
use toeplite_audio::stored::Stored;
use toeplite_audio::{Buffers, LogMel, fixed};

const SOUND: [i16; 3000] = [i16::MIN; 3000];

fuzz_target!(|bytes: &[u8]| {
    let mut words = vec![0u128; bytes.len().div_ceil(16)];
    let partition = bytemuck::cast_slice_mut::<u128, u8>(&mut words);
    partition[..bytes.len()].copy_from_slice(bytes);
    if partition.len() >= HEADER_BYTES {
        let length = (partition.len() as u32).to_le_bytes();
        partition[8..12].copy_from_slice(&length);
        let crc = crc32(&partition[HEADER_BYTES..]).to_le_bytes();
        partition[12..16].copy_from_slice(&crc);
    }
    let Ok(image) = Image::from_bytes(partition) else {
        return;
    };
    assert!(image.model().len() < image.image_bytes());
    for class in image.classes().into_iter().flatten() {
        assert!(!class.is_empty());
    }
    let Some(Ok(stored)) = image.section(kind::FRONT_END).map(Stored::from_bytes) else {
        return;
    };
    let config = stored.config();
    if let Ok(tables) = stored.float() {
        let memory = Buffers {
            samples: &mut vec![0; config.frame],
            spectrum: &mut vec![[0.0; 2]; config.bins()],
            bands: &mut vec![0.0; config.bands],
            levels: &mut vec![0.0; config.bands],
        };
        LogMel::new(tables, memory).unwrap().push(&SOUND, |_| ());
    }
    if let Ok(tables) = stored.fixed() {
        let memory = fixed::Buffers {
            samples: &mut vec![0; config.frame],
            spectrum: &mut vec![[0; 2]; config.bins()],
            energies: &mut vec![0; config.bands],
            levels: &mut vec![0; config.bands],
            features: &mut vec![0; config.bands],
        };
        fixed::LogMel::new(tables, memory)
            .unwrap()
            .push(&SOUND, |_| ());
    }
});
