//! What the ear is made of: the model compiled in, and memory that is there once.

use crate::Ear;
use crate::failure::Failure;
use crate::model_meta::front_end::{CLASSES, CONFIG, SharedLogMel, SharedMemory, Tables};
use crate::model_meta::{self, MEMORY_BYTES, SCRATCH_BYTES};
use apps::keyword::{self, EarError, FrontEnd, Material, Names, Settings};
use apps::partition::Origin;
use static_cell::{ConstStaticCell, StaticCell};
use toeplite_audio::Config;

static MODEL: &[u8] = toeplite::include_aligned!(env!("TOEPLITE_MODEL"));
static TABLES: Tables<{ CONFIG.frame }, { CONFIG.bins() }, { CONFIG.bands }> = Tables::new(CONFIG);

static SESSION: ConstStaticCell<toeplite::Memory<SESSION_BYTES>> =
    ConstStaticCell::new(toeplite::Memory::new());
static FRONT_END: ConstStaticCell<SharedMemory<FRAME, LEVELS>> =
    ConstStaticCell::new(SharedMemory::new());
static FEATURES: ConstStaticCell<[f32; BANDS]> = ConstStaticCell::new([0.0; BANDS]);
static DETECTOR: ConstStaticCell<[f32; WORDS]> = ConstStaticCell::new([0.0; WORDS]);
static EAR: StaticCell<Result<Ear, EarError>> = StaticCell::new();

/// Whether the board's partition may have a model that needs more than the one compiled in.
const PARTITION: bool = cfg!(feature = "partition");
const FRAME: usize = budget(CONFIG.frame, 256);
const BANDS: usize = budget(CONFIG.bands, 40);
const LEVELS: usize = budget(CONFIG.levels(), BANDS);
const WORDS: usize = budget(CLASSES.len(), 16);
const SESSION_BYTES: usize = match PARTITION {
    // of another model nobody knows what it lends
    true => {
        let most = CONFIG
            .with_frames(FRAME, 1)
            .with_bands(BANDS, CONFIG.low, CONFIG.high);
        let session =
            apps::flash::session_bytes(option_env!("TOEPLITE_SESSION_BYTES"), MEMORY_BYTES);
        session + work_bytes(&most)
    }
    false => MEMORY_BYTES + work_bytes(&CONFIG).saturating_sub(SCRATCH_BYTES),
};

/// What the front end works in, and the session lends it.
const fn work_bytes(config: &Config) -> usize {
    4 * SharedLogMel::work_words(config)
}

/// What is set aside: what the model compiled in needs, with a partition at least `least`.
const fn budget(needed: usize, least: usize) -> usize {
    if PARTITION && least > needed {
        return least;
    }
    needed
}

/// Bytes of the front end's memory: what it keeps, a frame's features, and what it needs beyond what the session can lend.
pub const FRONT_END_BYTES: usize =
    size_of::<SharedMemory<FRAME, LEVELS>>() + 4 * BANDS + (SESSION_BYTES - MEMORY_BYTES);
/// Bytes of the detector's memory.
pub const DETECTOR_BYTES: usize = size_of::<[f32; WORDS]>();

/// The ear of the model compiled in, or of that in the board's partition; where it comes from, if there is a partition.
#[inline(never)]
pub fn ear(settings: &Settings) -> Result<(&'static mut Ear, Option<Origin>), Failure> {
    made_of(built_in()?, settings)
}

// The model's check and what the ear is made of, which is on the stack several times on the way, are functions of their own,
// gone when they return: the network needs the stack later. So the ear lies in a `static`, too, and its test runs later.

#[inline(never)]
fn made_of(
    built_in: Material<'static, SharedLogMel<'static>>,
    settings: &Settings,
) -> Result<(&'static mut Ear, Option<Origin>), Failure> {
    let memory = keyword::Memory::<SharedLogMel> {
        session: SESSION.try_take().ok_or(Failure::Memory)?.as_mut_slice(),
        front_end: FRONT_END.try_take().ok_or(Failure::Memory)?.kept(),
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
    let place = EAR.try_uninit().ok_or(Failure::Memory)?;
    match place.write(Ear::new(built_in, memory, settings)) {
        Ok(ear) => Ok((ear, origin)),
        Err(error) => Err((*error).into()),
    }
}

/// Refuses files of different conversions.
#[inline(never)]
fn built_in() -> Result<Material<'static, SharedLogMel<'static>>, Failure> {
    let model = <SharedLogMel as FrontEnd>::Model::from_bytes(MODEL).map_err(|_| Failure::Model)?;
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
