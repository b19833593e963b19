//! Samples as text: a line a sample, an integer a channel, separated by commas.

/// Why a line is no sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowError {
    /// Another number of columns than channels.
    Columns {
        /// How many there are.
        found: usize,
    },
    /// A column is no integer from -32768 to 32767.
    Number {
        /// Which one, from 1.
        column: usize,
    },
}

impl core::fmt::Display for RowError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Columns { found } => {
                write!(f, "{found} columns, another number than the first line has")
            }
            Self::Number { column } => write!(
                f,
                "column {column} is no integer from -32768 to 32767; samples are expected as the sensor gives them"
            ),
        }
    }
}

impl core::error::Error for RowError {}

/// Reads the sample in `line`, a column for each of its channels; spaces around numbers do not matter.
///
/// # Errors
/// [`RowError`]; what `sample` holds then is of no use.
pub fn row(line: &str, sample: &mut [i16]) -> Result<(), RowError> {
    let found = line.split(',').count();
    if found != sample.len() {
        return Err(RowError::Columns { found });
    }
    for (column, (text, x)) in (1..).zip(line.split(',').zip(sample)) {
        *x = text
            .trim()
            .parse()
            .map_err(|_| RowError::Number { column })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::format;

    proptest! {
        #[test]
        fn what_is_written_is_read(sample in any::<[i16; 3]>()) {
            let [a, b, c] = sample;
            let mut read = [0; 3];
            prop_assert_eq!(row(&format!("{a}, {b},{c}\r\n"), &mut read), Ok(()));
            prop_assert_eq!(read, sample);
        }

        #[test]
        fn nothing_panics(line in ".*", channels in 0usize..5) {
            let _ = row(&line, &mut [0; 5][..channels]);
        }
    }

    #[test]
    fn mistakes_are_named() {
        let read = |line| row(line, &mut [0; 2]);
        assert_eq!(read("1,2,3"), Err(RowError::Columns { found: 3 }));
        assert_eq!(read("1,"), Err(RowError::Number { column: 2 }));
        assert_eq!(read("32768,1"), Err(RowError::Number { column: 1 }));
        assert_eq!(read("1,0.5"), Err(RowError::Number { column: 2 }));
    }
}
