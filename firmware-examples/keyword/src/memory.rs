//! What the ear is made of: the model compiled in, and memory that is there once.

use crate::Ear;
use crate::failure::Failure;
use crate::model_meta::front_end::{CLASSES, CONFIG, LogMel, Memory, Tables};
use crate::model_meta::{self, MEMORY_BYTES};
use apps::keyword::{self, Material, Names, Settings};
use apps::partition::Origin;
use static_cell::ConstStaticCell;
use toeplite::classifier::Model;

static MODEL: &[u8] = toeplite::include_aligned!(env!("TOEPLITE_MODEL"));
static TABLES: Tables<{ CONFIG.frame }, { CONFIG.bins() }, { CONFIG.bands }> = Tables::new(CONFIG);

static SESSION: ConstStaticCell<toeplite::Memory<SESSION_BYTES>> =
    ConstStaticCell::new(toeplite::Memory::new());
static FRONT_END: ConstStaticCell<Memory<FRAME, BINS, BANDS>> = ConstStaticCell::new(Memory::new());
static FEATURES: ConstStaticCell<[f32; BANDS]> = ConstStaticCell::new([0.0; BANDS]);
static DETECTOR: ConstStaticCell<[f32; WORDS]> = ConstStaticCell::new([0.0; WORDS]);

/// Whether the board's partition may have a model that needs more than the one compiled in.
const PARTITION: bool = cfg!(feature = "partition");
const FRAME: usize = budget(CONFIG.frame, 256);
const BINS: usize = budget(CONFIG.bins(), 128);
const BANDS: usize = budget(CONFIG.bands, 40);
const WORDS: usize = budget(CLASSES.len(), 16);
const SESSION_BYTES: usize = match PARTITION {
    true => apps::flash::session_bytes(option_env!("TOEPLITE_SESSION_BYTES"), MEMORY_BYTES),
    false => MEMORY_BYTES,
};

/// What is set aside: what the model compiled in needs, with a partition at least `least`.
const fn budget(needed: usize, least: usize) -> usize {
    if PARTITION && least > needed {
        return least;
    }
    needed
}

/// Bytes of the front end's memory.
pub const FRONT_END_BYTES: usize = size_of::<Memory<FRAME, BINS, BANDS>>();
/// Bytes of the detector's memory.
pub const DETECTOR_BYTES: usize = size_of::<[f32; WORDS]>();

/// The ear of the model compiled in, or of that in the board's partition; where it comes from, if there is a partition.
pub fn ear(settings: &Settings) -> Result<(Ear, Option<Origin>), Failure> {
    let built_in = built_in()?;
    let memory = keyword::Memory::<LogMel> {
        session: SESSION.try_take().ok_or(Failure::Memory)?.as_mut_slice(),
        front_end: FRONT_END.try_take().ok_or(Failure::Memory)?.buffers(),
        features: FEATURES.try_take().ok_or(Failure::Memory)?,
        posteriors: DETECTOR.try_take().ok_or(Failure::Memory)?,
    };
    #[cfg(feature = "partition")]
    let (built_in, memory, origin) = {
        let mut memory = memory;
        let (chosen, origin) =
            keyword::choose(apps::flash::partition(), built_in, None, &mut memory);
        (chosen, memory, Some(origin))
    };
    #[cfg(not(feature = "partition"))]
    let origin = None;
    Ok((Ear::new(built_in, memory, settings)?, origin))
}

/// Refuses files of different conversions.
fn built_in() -> Result<Material<'static, LogMel<'static>>, Failure> {
    let model = Model::from_bytes(MODEL).map_err(|_| Failure::Model)?;
    if model.identity() != model_meta::IDENTITY || model.memory_needed() != MEMORY_BYTES {
        return Err(Failure::OtherMeta);
    }
    let material = Material {
        model,
        tables: TABLES.view(),
        names: Names::BuiltIn(&CLASSES),
    };
    material.check().map_err(|_| Failure::OtherFrontEnd)?;
    Ok(material)
}
