//! Images: what is put together, and what is refused.

use super::{Board, Format, SECTOR, intel_hex, uf2};
use crate::blob::{AnyModel, Blob};
use crate::checkpoint::{FrontEnd, FrontEndError};
use thiserror::Error;
use toeplite::format::WeightOrder;
use toeplite::image::{self, kind};
use toeplite::model::Activation;
use toeplite_audio::stored::{stored_bytes, write_fixed, write_float};
use toeplite_audio::{TableError, TablesRef, fixed};

/// Flash that is set aside for a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Where it begins.
    pub address: u32,
    /// Bytes.
    pub size: u32,
}

/// What firmware must know of a classifier.
#[derive(Clone, Debug, PartialEq)]
pub enum Beside {
    /// Nothing: a language model.
    Nothing,
    /// Names of classes alone: of a classifier of other things than sounds.
    Classes(Vec<String>),
    /// The audio front end, and the names in it.
    FrontEnd(FrontEnd),
}

/// Why there is no image.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The partition is too small.
    #[error(
        "the image has {bytes} bytes, {over} more than the partition of {size} bytes at {address:#x}; convert with fewer bits or states \
         (--weights int4, for firmware built with --features int4; --budget-flash), or make the partition larger (--address, --size, and \
         memory.x)"
    )]
    TooLarge {
        /// Of the image.
        bytes: usize,
        /// Of the partition.
        size: u32,
        /// The difference.
        over: usize,
        /// Where the partition is.
        address: u32,
    },
    /// The address does not suit the format.
    #[error(
        "a partition at {address:#x} cannot be written: it must begin at a multiple of {multiple}"
    )]
    Address {
        /// What was asked for.
        address: u32,
        /// What it must be a multiple of.
        multiple: usize,
    },
    /// The partition ends beyond the address space.
    #[error("a partition of {size} bytes at {address:#x} ends beyond 4 GiB")]
    Beyond {
        /// Where it begins.
        address: u32,
        /// Bytes.
        size: u32,
    },
    /// UF2 files have a family, which is a board's.
    #[error("UF2 files are for boards with a drive, pico and pico-2; take --format hex or bin")]
    NoFamily,
    /// The firmware of the board computes in another contract.
    #[error(
        "the firmware of {board} ({core}) computes by the contract `{expected}`, but the model has `{found}`: convert the \
         checkpoint again with --contract {expected}"
    )]
    WrongContract {
        /// The board.
        board: &'static str,
        /// Its core.
        core: &'static str,
        /// That of its firmware.
        expected: &'static str,
        /// The model's.
        found: &'static str,
    },
    /// The core cannot read the weights.
    #[error(
        "the model's weights are packed for {packed_for}, and {board} has a {core}: convert the checkpoint again with --target {target}"
    )]
    PackedFor {
        /// The board.
        board: &'static str,
        /// Its core.
        core: &'static str,
        /// What the weights are packed for.
        packed_for: &'static str,
        /// What they should be packed for.
        target: &'static str,
    },
    /// Models of windows are for nobody's partition.
    #[error(
        "the model sees a window at once: the boards' firmware streams; for firmware of your own give --address and --size"
    )]
    Window,
    /// A classifier without what makes sense of it.
    #[error(
        "the model is a classifier: give the audio front end that it was trained with (--front-end CHECKPOINT, or its front_end.json), \
         or for other inputs than sounds, and firmware of your own, the names of its classes (--classes)"
    )]
    Unnamed,
    /// A language model with a front end or names.
    #[error("the model is no classifier: it has no audio front end and no names of classes")]
    NoClassifier,
    /// Front end, or names, and model do not belong together.
    #[error(transparent)]
    FrontEnd(#[from] FrontEndError),
    /// A name that has no place.
    #[error("class {number} is called {name:?}: a name must have 1 to 255 bytes")]
    Name {
        /// Number of the class.
        number: usize,
        /// Its name.
        name: String,
    },
    /// The front end cannot be computed.
    #[error(transparent)]
    Tables(#[from] TableError),
    /// The model is longer than any image.
    #[error("the model has more than 4 GiB")]
    Endless,
    /// The HEX writer's own.
    #[error("writing Intel HEX: {0}")]
    Hex(#[from] ihex::WriterError),
}

/// An image, as it lies in flash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    bytes: Vec<u8>,
}

impl Image {
    /// Puts the model and what is beside it together: a front end in the arithmetic of the model's contract.
    ///
    /// # Errors
    /// [`ImageError`]: parts that do not belong together.
    pub fn new(model: &Blob, any: &AnyModel<'_>, beside: &Beside) -> Result<Self, ImageError> {
        let is_classifier = any.is_classifier();
        let names = match beside {
            Beside::Nothing if is_classifier => return Err(ImageError::Unnamed),
            Beside::Nothing => None,
            _ if !is_classifier => return Err(ImageError::NoClassifier),
            Beside::Classes(names) => Some(names),
            Beside::FrontEnd(front_end) => {
                check_frames(any, front_end)?;
                Some(&front_end.classes)
            }
        };
        let names = names
            .map(|names| packed(names, any.outputs()))
            .transpose()?;
        let front_end = match beside {
            Beside::FrontEnd(front_end) => {
                Some(stored(&front_end.clone().in_integers(any.is_fixed()))?)
            }
            _ => None,
        };
        let mut sections = vec![(kind::MODEL, model.bytes())];
        sections.extend(names.as_ref().map(|names| (kind::CLASSES, &names[..])));
        sections.extend(
            front_end
                .as_ref()
                .map(|bytes| (kind::FRONT_END, &bytes[..])),
        );
        let length = image::image_bytes(&sections).ok_or(ImageError::Endless)?;
        let mut bytes = vec![0; length];
        image::write(&sections, &mut bytes).ok_or(ImageError::Endless)?;
        Ok(Self { bytes })
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The file that a flashing program takes to write the image to `partition`; `family` is for UF2.
    ///
    /// # Errors
    /// The image does not fit, or the partition does not suit the format.
    pub fn file(
        &self,
        format: Format,
        partition: Partition,
        family: Option<u32>,
    ) -> Result<Vec<u8>, ImageError> {
        let Partition { address, size } = partition;
        let multiple = match format {
            Format::Uf2 => SECTOR,
            _ => toeplite::format::ALIGNMENT,
        };
        if !(address as usize).is_multiple_of(multiple) {
            return Err(ImageError::Address { address, multiple });
        }
        if u64::from(address) + u64::from(size) > 1 << 32 {
            return Err(ImageError::Beyond { address, size });
        }
        let bytes = self.bytes.len();
        if let Some(over) = bytes.checked_sub(size as usize).filter(|over| *over > 0) {
            return Err(ImageError::TooLarge {
                bytes,
                size,
                over,
                address,
            });
        }
        Ok(match format {
            Format::Bin => self.bytes.clone(),
            Format::Hex => intel_hex(&self.bytes, address)?.into_bytes(),
            Format::Uf2 => uf2(&self.bytes, address, family.ok_or(ImageError::NoFamily)?),
        })
    }
}

impl Board {
    /// Refuses a model that the board's firmware would refuse, whatever features it is built with, and whatever the model's size.
    /// What it needs of them, [`features`] says.
    ///
    /// # Errors
    /// [`ImageError::Window`], [`ImageError::WrongContract`] or [`ImageError::PackedFor`].
    pub fn check(&self, model: &AnyModel<'_>) -> Result<(), ImageError> {
        let (board, core) = (self.name, self.core);
        match model {
            AnyModel::Window(_) | AnyModel::WindowClassifier(_) => return Err(ImageError::Window),
            AnyModel::F32(_)
            | AnyModel::Fixed(_)
            | AnyModel::Classifier(_)
            | AnyModel::FixedClassifier(_) => {
                let (expected, found) = (self.contract, model.contract());
                if expected != found {
                    return Err(ImageError::WrongContract {
                        board,
                        core,
                        expected,
                        found,
                    });
                }
            }
        }
        let order = model.shape().weight_order;
        if order == WeightOrder::Dual && !self.dsp {
            return Err(ImageError::PackedFor {
                board,
                core,
                packed_for: order.name(),
                target: self.target,
            });
        }
        Ok(())
    }
}

/// Features of the runtime, `gelu` or `int4`, that firmware must be built with for this model (`--features`): as it is
/// supplied it has neither, and runs the model that it was built with instead.
pub fn features(model: &AnyModel<'_>) -> Vec<&'static str> {
    let shape = model.shape();
    let activations = [shape.gtu_act, shape.glu_act, shape.glu_final_act];
    let gelu = activations.contains(&Activation::Gelu);
    let int4 = model.weights() == "int4";
    let needed = [(gelu, "gelu"), (int4, "int4")];
    needed
        .into_iter()
        .filter_map(|(needed, feature)| needed.then_some(feature))
        .collect()
}

fn check_frames(model: &AnyModel<'_>, front_end: &FrontEnd) -> Result<(), ImageError> {
    let (bands, frame_dim) = (front_end.config.bands, model.shape().frame_dim);
    if frame_dim == 0 {
        return Err(FrontEndError::NoFrames.into());
    }
    if bands != frame_dim {
        return Err(FrontEndError::Bands { bands, frame_dim }.into());
    }
    Ok(())
}

/// Names as they are stored.
fn packed(names: &[String], classes: usize) -> Result<Vec<u8>, ImageError> {
    if names.len() != classes {
        let named = names.len();
        return Err(FrontEndError::Classes { named, classes }.into());
    }
    let mut bytes = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let length = u8::try_from(name.len()).ok().filter(|length| *length > 0);
        bytes.push(length.ok_or_else(|| ImageError::Name {
            number,
            name: name.clone(),
        })?);
        bytes.extend(name.as_bytes());
    }
    Ok(bytes)
}

/// Settings and tables as they are stored.
fn stored(front_end: &FrontEnd) -> Result<Vec<u8>, ImageError> {
    let config = front_end.config;
    config.check().map_err(TableError::from)?;
    let mut bytes = vec![0; stored_bytes(&config, front_end.integers)];
    let mut counts = vec![0; config.bands];
    let written = if front_end.integers {
        let (mut window, mut weights) = (vec![0; config.frame], vec![0; config.bins()]);
        let mut twiddles = vec![[0; 2]; config.bins()];
        let tables = fixed::TablesRef::fill(
            config,
            &mut window,
            &mut twiddles,
            &mut weights,
            &mut counts,
        )?;
        write_fixed(&tables, &mut bytes)
    } else {
        let (mut window, mut weights) = (vec![0.0; config.frame], vec![0.0; config.bins()]);
        let tables = TablesRef::fill(config, &mut window, &mut weights, &mut counts)?;
        write_float(&tables, &mut bytes)
    };
    written.expect("as many bytes as it takes");
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::{BOARDS, Flasher, board};
    use super::*;

    fn image(bytes: usize) -> Image {
        Image {
            bytes: vec![1; bytes],
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_by_how_much() {
        let partition = Partition {
            address: 0x1000,
            size: 100,
        };
        assert!(image(100).file(Format::Bin, partition, None).is_ok());
        let error = image(130).file(Format::Bin, partition, None).unwrap_err();
        assert!(matches!(error, ImageError::TooLarge { over: 30, .. }));
        assert!(error.to_string().contains("30 more"), "{error}");
    }

    #[test]
    fn addresses_suit_the_format() {
        let at = |address, size, format| {
            let partition = Partition { address, size };
            image(16).file(format, partition, Some(1)).err()
        };
        assert!(at(0x110, 100, Format::Hex).is_none());
        let refused = at(0x118, 100, Format::Hex);
        assert!(matches!(
            refused,
            Some(ImageError::Address { multiple: 16, .. })
        ));
        let refused = at(0x110, 100, Format::Uf2);
        assert!(matches!(
            refused,
            Some(ImageError::Address {
                multiple: SECTOR,
                ..
            })
        ));
        let refused = at(0xFFFF_FF00, 0x1000, Format::Bin);
        assert!(matches!(refused, Some(ImageError::Beyond { .. })));
        let partition = Partition {
            address: 0,
            size: 100,
        };
        let refused = image(16).file(Format::Uf2, partition, None);
        assert!(matches!(refused, Err(ImageError::NoFamily)));
    }

    #[test]
    fn every_board_can_be_written_in_its_own_format() {
        for board in &BOARDS {
            let file = image(16).file(board.format(), board.partition, board.family());
            assert!(file.is_ok(), "{}", board.name);
            let command = board.command(board.format(), "m.x");
            assert!(command.contains("m.x"), "{command}");
            if board.format() == Format::Bin {
                let address = format!("{:#x}", board.partition.address);
                assert!(command.contains(&address), "{command}");
            }
        }
        assert_eq!(board("pico").map(|b| b.format()), Some(Format::Uf2));
        let chip = board("pico").unwrap().command(Format::Bin, "m.bin");
        assert!(chip.contains("--base-address 0x10100000"), "{chip}");
        assert!(matches!(board("microbit").unwrap().flasher, Flasher::Qemu));
        assert!(board("nrf").is_none());
    }
}
