//! What the applications of all boards have in common: the model compiled in, memory, log messages. A board adds its clocks, its
//! pins and its microphone.
#![no_std]

#[cfg(feature = "keyword")]
pub mod keyword;
#[cfg(feature = "text")]
pub mod text;

#[cfg(any(feature = "keyword", feature = "text"))]
use apps::partition::Origin;

/// Written by `toeplite convert --meta`.
#[cfg(any(feature = "keyword", feature = "text"))]
mod model_meta {
    include!(env!("TOEPLITE_META"));
}

#[cfg(any(feature = "keyword", feature = "text"))]
static MODEL: &[u8] = toeplite::include_aligned!(env!("TOEPLITE_MODEL"));

/// Bytes of session memory, for the model compiled in and whatever model the partition has.
#[cfg(any(feature = "keyword", feature = "text"))]
const SESSION_BYTES: usize = apps::flash::session_bytes(
    option_env!("TOEPLITE_SESSION_BYTES"),
    model_meta::MEMORY_BYTES,
);

/// Says which model runs, and why if it is not the partition's.
#[cfg(any(feature = "keyword", feature = "text"))]
fn tell(origin: &Origin, identity: u32) {
    match origin.reason() {
        None => defmt::info!("model {=u32:08x}, of the partition", identity),
        Some((why, None)) => defmt::info!("model {=u32:08x}, built in: {=str}", identity, why),
        Some((why, Some((needs, finds)))) => defmt::warn!(
            "model {=u32:08x}, built in: {=str} ({=usize}, there are {=usize})",
            identity,
            why,
            needs,
            finds
        ),
    }
}

/// What cannot go on: the firmware was built of parts that do not belong together.
#[cfg(any(feature = "keyword", feature = "text"))]
fn built_wrongly(what: &str) -> ! {
    defmt::error!("the model that this firmware was built with: {=str}", what);
    // a pause between messages, and something that a debugger can break into
    loop {
        core::hint::spin_loop();
    }
}
