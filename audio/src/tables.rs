//! Window, FFT and triangles of the `f32` front end.

use crate::config::{Config, ConfigError};
use crate::constants::cos_turn;
use crate::mel::{Bins, Corners};
use crate::{LengthError, check};
use core::fmt;
use microfft::real::{rfft_64, rfft_128, rfft_256, rfft_512, rfft_1024};

/// Constants of a [`LogMel`](crate::LogMel), made by the compiler: for a `static`, which is flash. `FRAME`, `BINS` and
/// `BANDS` are those of the configuration; `4 FRAME + 4 BINS + 2 BANDS` bytes.
#[derive(Debug)]
pub struct Tables<const FRAME: usize, const BINS: usize, const BANDS: usize> {
    config: Config,
    window: [f32; FRAME],
    weights: [f32; BINS],
    start: usize,
    lead: usize,
    counts: [u16; BANDS],
    fft: fn(&mut [f32]),
}

impl<const FRAME: usize, const BINS: usize, const BANDS: usize> Tables<FRAME, BINS, BANDS> {
    /// Those of `config`.
    ///
    /// # Panics
    /// In a `static` or `const` this is an error of compilation: the configuration is refused, see
    /// [`Config::check`], or the numbers in angle brackets are not its own.
    pub const fn new(config: Config) -> Self {
        let mut tables = Self {
            config,
            window: [0.0; FRAME],
            weights: [0.0; BINS],
            start: 0,
            lead: 0,
            counts: [0; BANDS],
            fft: |_| {},
        };
        if let Err(e) = config.check() {
            panic!("{}", e.message());
        }
        if FRAME != config.frame || BINS != config.bins() || BANDS != config.bands {
            panic!(
                "Tables must be Tables<{{ CONFIG.frame }}, {{ CONFIG.bins() }}, {{ CONFIG.bands }}>"
            );
        }
        window(&mut tables.window);
        weights(&config, &mut tables.weights);
        (tables.start, tables.lead) = counts(&config, &mut tables.counts);
        tables.fft = fft(config.points());
        tables
    }

    /// The tables for a [`LogMel`](crate::LogMel).
    pub fn view(&self) -> TablesRef<'_> {
        TablesRef {
            config: self.config,
            window: &self.window,
            weights: &self.weights,
            bins: Bins {
                start: self.start,
                lead: self.lead,
                counts: &self.counts,
            },
            fft: self.fft,
        }
    }
}

/// [`Tables`] wherever they lie: on the host, sizes are known at run time only.
#[derive(Clone, Copy, Debug)]
pub struct TablesRef<'t> {
    pub(crate) config: Config,
    pub(crate) window: &'t [f32],
    pub(crate) weights: &'t [f32],
    pub(crate) bins: Bins<'t>,
    pub(crate) fft: fn(&mut [f32]),
}

impl<'t> TablesRef<'t> {
    /// Makes the tables of `config` in memory of [`Config::frame`], [`Config::bins`] and [`Config::bands`]
    /// elements: the bits of [`Tables::new`].
    ///
    /// # Errors
    /// The configuration is refused, or a length is not its own.
    pub fn fill(
        config: Config,
        window: &'t mut [f32],
        weights: &'t mut [f32],
        counts: &'t mut [u16],
    ) -> Result<Self, TableError> {
        config.check()?;
        check("the window", config.frame, window.len())?;
        check("the weights", config.bins(), weights.len())?;
        check("the counts", config.bands, counts.len())?;
        self::window(window);
        self::weights(&config, weights);
        let (start, lead) = self::counts(&config, counts);
        Ok(Self {
            config,
            window,
            weights,
            bins: Bins {
                start,
                lead,
                counts,
            },
            fft: fft(config.points()),
        })
    }

    /// What is computed with them.
    pub fn config(&self) -> Config {
        self.config
    }
}

/// Why no tables were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableError {
    /// The configuration is refused.
    Config(ConfigError),
    /// Memory of another length.
    Length(LengthError),
}

impl From<ConfigError> for TableError {
    fn from(e: ConfigError) -> Self {
        Self::Config(e)
    }
}

impl From<LengthError> for TableError {
    fn from(e: LengthError) -> Self {
        Self::Length(e)
    }
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(e) => e.fmt(f),
            Self::Length(e) => e.fmt(f),
        }
    }
}

impl core::error::Error for TableError {}

/// A periodic Hann window, times what makes of samples of 16 bits numbers from -1 to 1.
const fn window(to: &mut [f32]) {
    let mut n = 0;
    while n < to.len() {
        let hann = 0.5 - 0.5 * cos_turn(n, to.len());
        to[n] = (hann / 32768.0) as f32;
        n += 1;
    }
}

/// What of each bin's power belongs to the triangle that rises there.
const fn weights(config: &Config, to: &mut [f32]) {
    let corners = Corners::new(config);
    let mut i = 0;
    while i <= config.bands {
        let mut bin = corners.first_bin(i);
        let end = corners.first_bin(i + 1);
        while bin < end {
            to[bin] = corners.weight(bin, i) as f32;
            bin += 1;
        }
        i += 1;
    }
}

/// The numbers of [`Bins`]: the first bin, those that lead to the first peak, and `to`.
pub(crate) const fn counts(config: &Config, to: &mut [u16]) -> (usize, usize) {
    let corners = Corners::new(config);
    let mut band = 0;
    while band < config.bands {
        to[band] = (corners.first_bin(band + 2) - corners.first_bin(band + 1)) as u16;
        band += 1;
    }
    let start = corners.first_bin(0);
    (start, corners.first_bin(1) - start)
}

/// The real FFT of that many points, in place: the numbers of the bins, of bin 0 the real ones of the first and the last.
/// It is chosen where the tables are made, so that a device links one.
pub(crate) const fn fft(points: usize) -> fn(&mut [f32]) {
    macro_rules! of_size {
        ($transform:ident) => {
            |x| {
                if let Ok(x) = x.try_into() {
                    let _ = $transform(x);
                }
            }
        };
    }
    match points {
        64 => of_size!(rfft_64),
        128 => of_size!(rfft_128),
        256 => of_size!(rfft_256),
        512 => of_size!(rfft_512),
        // the only other that a configuration has
        _ => of_size!(rfft_1024),
    }
}
