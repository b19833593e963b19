//! Intel HEX, which most flashing programs take.

use ihex::{Record, WriterError, create_object_file_representation};

/// Bytes of a line.
const LINE: usize = 16;

/// A file that writes `bytes` to `address`.
///
/// # Errors
/// None for less than 4 GiB; the writer's own.
pub fn intel_hex(bytes: &[u8], address: u32) -> Result<String, WriterError> {
    let mut records = Vec::new();
    let mut upper = None;
    let mut rest = bytes;
    let mut at = address;
    while !rest.is_empty() {
        // no line crosses a boundary of 64 KiB
        let room = (1 << 16) - (at as usize & 0xFFFF);
        let (line, after) = rest.split_at(LINE.min(room).min(rest.len()));
        let high = (at >> 16) as u16;
        if upper != Some(high) {
            records.push(Record::ExtendedLinearAddress(high));
            upper = Some(high);
        }
        records.push(Record::Data {
            offset: at as u16,
            value: line.to_vec(),
        });
        at = at.wrapping_add(line.len() as u32);
        rest = after;
    }
    records.push(Record::EndOfFile);
    let mut text = create_object_file_representation(&records)?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ihex::Reader;

    #[test]
    fn every_byte_is_where_it_was_meant_to_be() {
        for (address, length) in [(0x0008_0000u32, 70_001usize), (0x0804_FFF8, 40), (0x10, 1)] {
            let bytes: Vec<u8> = (0..length).map(|i| (i * 31) as u8).collect();
            let text = intel_hex(&bytes, address).unwrap();
            let (mut upper, mut next, mut ended) = (0u32, address, false);
            let mut read = Vec::new();
            for record in Reader::new(&text) {
                match record.unwrap() {
                    Record::ExtendedLinearAddress(high) => upper = u32::from(high) << 16,
                    Record::Data { offset, value } => {
                        assert_eq!(upper | u32::from(offset), next);
                        next += value.len() as u32;
                        read.extend(value);
                    }
                    Record::EndOfFile => ended = true,
                    other => panic!("{other:?}"),
                }
            }
            assert!(ended);
            assert_eq!(read, bytes);
        }
    }
}
