//! The partition of the ESP32-C3.
#![no_std]

use esp_hal::peripherals::FLASH;
use esp_storage::FlashStorage;
use static_cell::ConstStaticCell;
use toeplite::Memory;

/// What partitions.csv has, by build.rs.
mod table {
    include!(concat!(env!("OUT_DIR"), "/partition.rs"));
}

pub use table::{BYTES, OFFSET};

static COPY: ConstStaticCell<Memory<BYTES>> = ConstStaticCell::new(Memory::new());

/// What the partition of the model holds, in RAM: the chip sees flash through a memory management unit that the boot loader
/// sets for the firmware alone. A partition that cannot be read is empty.
pub fn partition(flash: FLASH<'static>) -> &'static [u8] {
    let copy = COPY.take().as_mut_slice();
    if FlashStorage::new(flash).read_nor(OFFSET, copy).is_err() {
        defmt::warn!(
            "the partition of the model cannot be read: flash with --partition-table partitions.csv"
        );
        copy.fill(0xFF);
    }
    copy
}
