//! The command line that the host gives to the firmware: QEMU's `-append "WORDS"`.

use crate::semihosting;

/// What follows the name of the binary on the command line, read into `buffer`; nothing if it does
/// not fit.
pub fn command_line(buffer: &mut [u8]) -> Option<Arguments<'_>> {
    let length = semihosting::command_line(buffer)?;
    let line = buffer.get(..length).unwrap_or_default();
    let end = line
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(line.len());
    let mut arguments = Arguments(line.get(..end).unwrap_or_default());
    arguments.next(); // the binary's own path
    Some(arguments)
}

/// Words of a command line, separated by spaces.
#[derive(Clone, Copy)]
pub struct Arguments<'a>(&'a [u8]);

impl<'a> Arguments<'a> {
    /// The words of `line`.
    pub fn new(line: &'a [u8]) -> Self {
        Self(line)
    }

    /// All that has not been taken yet, spaces included.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }
}

impl<'a> Iterator for Arguments<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|&byte| byte != b' ')?;
        let line = self.0.get(start..)?;
        let end = line
            .iter()
            .position(|&byte| byte == b' ')
            .unwrap_or(line.len());
        self.0 = line.get(end..).unwrap_or_default();
        line.get(..end)
    }
}
