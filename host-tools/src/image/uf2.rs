//! UF2 files, which boards with a drive take: <https://github.com/microsoft/uf2>.

/// Family of the RP2040.
pub const RP2040: u32 = 0xE48B_FF56;
/// Family of what an RP2350 reads in its secure Arm state. In flash without a partition table of the chip's own it may go
/// anywhere; the absolute family 0xE48BFF57 would too, but is refused where there is such a table.
pub const RP2350_ARM_S: u32 = 0xE48B_FF59;
/// Bytes that are erased together. Of a sector of which a part is written the boot ROM leaves the rest undefined, and of an
/// RP2040 (erratum E14) writes the part wrongly: sectors are written whole.
pub const SECTOR: usize = 4096;

const BLOCK: usize = 512;
const PAYLOAD: usize = 256;
const HAS_FAMILY: u32 = 0x2000;

/// A file that writes `bytes` to `address`, a multiple of [`SECTOR`], and ones behind them to the end of the sector.
pub fn uf2(bytes: &[u8], address: u32, family: u32) -> Vec<u8> {
    debug_assert_eq!(address as usize % SECTOR, 0);
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(SECTOR), 0xFF);
    let blocks = padded.len() / PAYLOAD;
    let mut file = Vec::with_capacity(blocks * BLOCK);
    for (number, payload) in padded.chunks_exact(PAYLOAD).enumerate() {
        let header = [
            0x0A32_4655, // "UF2\n"
            0x9E5D_5157,
            HAS_FAMILY,
            address + (number * PAYLOAD) as u32,
            PAYLOAD as u32,
            number as u32,
            blocks as u32,
            family,
        ];
        file.extend(header.map(u32::to_le_bytes).as_flattened());
        file.extend(payload);
        file.resize(file.len() + BLOCK - 32 - PAYLOAD - 4, 0);
        file.extend(0x0AB1_6F30u32.to_le_bytes());
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a boot ROM makes of a file: where the bytes go.
    fn flashed(file: &[u8], family: u32) -> (u32, Vec<u8>) {
        let word = |block: &[u8], i: usize| {
            u32::from_le_bytes(block[4 * i..4 * i + 4].try_into().unwrap())
        };
        let (blocks, rest) = file.as_chunks::<512>();
        assert!(rest.is_empty());
        let mut bytes = Vec::new();
        for (i, block) in blocks.iter().enumerate() {
            assert_eq!(&block[..4], b"UF2\n");
            assert_eq!(word(block, 1), 0x9E5D_5157);
            assert_eq!(word(block, 127), 0x0AB1_6F30);
            assert_eq!(word(block, 2), 0x2000);
            assert_eq!(word(block, 3), word(&blocks[0], 3) + bytes.len() as u32);
            assert_eq!(word(block, 5), i as u32);
            assert_eq!(word(block, 6), blocks.len() as u32);
            assert_eq!(word(block, 7), family);
            bytes.extend(&block[32..32 + word(block, 4) as usize]);
            assert!(block[32 + 256..508].iter().all(|byte| *byte == 0));
        }
        (word(&blocks[0], 3), bytes)
    }

    #[test]
    fn whole_sectors_are_written_where_they_belong() {
        for length in [1, 255, 256, 4096, 4097, 70_000] {
            let bytes: Vec<u8> = (0..length).map(|i: usize| (i * 7) as u8).collect();
            let file = uf2(&bytes, 0x1010_0000, RP2040);
            let (address, flash) = flashed(&file, RP2040);
            assert_eq!(address, 0x1010_0000);
            assert_eq!(flash.len() % SECTOR, 0);
            assert_eq!(&flash[..length], bytes);
            assert!(flash[length..].iter().all(|byte| *byte == 0xFF));
            assert!(flash.len() - length < SECTOR);
        }
    }
}
