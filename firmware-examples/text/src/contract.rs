//! The runtime of the numeric contract that the model has: nothing of the other is linked.

pub use chosen::{DEFAULT_TEMPERATURE, Model, Sampler, Session, Temperature, temperature};

#[cfg(contract = "f32")]
mod chosen {
    pub use toeplite::sample::Sampler;
    pub use toeplite::{Model, Session};

    /// Divides the logits.
    pub type Temperature = f32;
    /// What `toeplite run` draws by.
    pub const DEFAULT_TEMPERATURE: Temperature = 0.8;

    /// `whole` and so many digits of a fraction.
    pub fn temperature(whole: u64, fraction: u64, digits: u32) -> Option<Temperature> {
        let scale = (0..digits).fold(1.0, |scale, _| scale * 10.0);
        Some(whole as f32 + fraction as f32 / scale)
    }
}

#[cfg(contract = "fixed")]
mod chosen {
    pub use toeplite::fixed::sample::Sampler;
    pub use toeplite::fixed::{Model, Session};

    /// Divides the logits, in thousandths.
    pub type Temperature = u32;
    /// What `toeplite run` draws by.
    pub const DEFAULT_TEMPERATURE: Temperature = 800;

    /// `whole` and so many digits of a fraction, rounded to thousandths.
    pub fn temperature(whole: u64, fraction: u64, digits: u32) -> Option<Temperature> {
        let scale = 10u64.checked_pow(digits)?;
        let rounded = (fraction.checked_mul(1000)? + scale / 2).checked_div(scale)?;
        let thousandths = whole.checked_mul(1000)?.checked_add(rounded)?;
        u32::try_from(thousandths).ok()
    }
}
