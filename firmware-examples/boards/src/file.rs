//! Files of the host, by semihosting.

use crate::command_line::Escaped;
use crate::semihosting;

/// A file that is read from its start to its end. The host closes it when the program ends.
#[derive(Debug)]
pub struct File(usize);

/// Longest path, bytes, and the zero at its end.
const LONGEST_PATH: usize = 256;

impl File {
    /// Opens a file for reading, its path from the folder that QEMU was started in; `None` if there is no such file, or the
    /// path is longer than 255 bytes or empty.
    #[inline(never)]
    pub fn open(path: Escaped<'_>) -> Option<Self> {
        let mut bytes = [0; LONGEST_PATH];
        let mut length = 0;
        for byte in path {
            *bytes.get_mut(length)? = byte;
            length += 1;
        }
        let path = core::ffi::CStr::from_bytes_with_nul(bytes.get(..=length)?).ok()?;
        if path.is_empty() {
            return None;
        }
        semihosting::open_file(path).map(Self)
    }

    /// Reads into `buffer`, and returns how many bytes came: fewer than it has at the end of the file only.
    pub fn read(&self, buffer: &mut [u8]) -> usize {
        let mut read = 0;
        while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
            let wanted = rest.len();
            let left = semihosting::read(self.0, rest);
            if left >= wanted {
                break;
            }
            read += wanted - left;
        }
        read
    }
}
