//! Window, twiddles and triangles of the front end in integers.

use super::fft::Twiddle;
use crate::check;
use crate::config::Config;
use crate::constants::{cos_turn, round, sin_turn};
use crate::mel::{Bins, Corners};
use crate::tables::{TableError, counts};

/// 15 binary places.
const UNIT: f64 = 32768.0;

/// Constants of a [`LogMel`](super::LogMel), made by the compiler: for a `static`, which is flash. `FRAME`, `BINS` and
/// `BANDS` are those of the configuration; `2 FRAME + 6 BINS + 2 BANDS` bytes.
#[derive(Debug)]
pub struct Tables<const FRAME: usize, const BINS: usize, const BANDS: usize> {
    config: Config,
    window: [u16; FRAME],
    twiddles: [Twiddle; BINS],
    weights: [u16; BINS],
    start: usize,
    lead: usize,
    counts: [u16; BANDS],
}

impl<const FRAME: usize, const BINS: usize, const BANDS: usize> Tables<FRAME, BINS, BANDS> {
    /// Those of `config`.
    ///
    /// # Panics
    /// In a `static` or `const` this is an error of compilation: the configuration is refused, see
    /// [`Config::check`], or the numbers in angle brackets are not its own.
    pub const fn new(config: Config) -> Self {
        if let Err(e) = config.check() {
            panic!("{}", e.message());
        }
        if FRAME != config.frame || BINS != config.bins() || BANDS != config.bands {
            panic!(
                "Tables must be Tables<{{ CONFIG.frame }}, {{ CONFIG.bins() }}, {{ CONFIG.bands }}>"
            );
        }
        let mut tables = Self {
            config,
            window: [0; FRAME],
            twiddles: [[0; 2]; BINS],
            weights: [0; BINS],
            start: 0,
            lead: 0,
            counts: [0; BANDS],
        };
        window(&mut tables.window);
        twiddles(&mut tables.twiddles);
        weights(&config, &mut tables.weights);
        (tables.start, tables.lead) = counts(&config, &mut tables.counts);
        tables
    }

    /// The tables for a [`LogMel`](super::LogMel).
    pub const fn view(&self) -> TablesRef<'_> {
        TablesRef {
            config: self.config,
            window: &self.window,
            twiddles: &self.twiddles,
            weights: &self.weights,
            bins: Bins {
                start: self.start,
                lead: self.lead,
                counts: &self.counts,
            },
        }
    }
}

/// [`Tables`] wherever they lie: on the host, sizes are known at run time only.
#[derive(Clone, Copy, Debug)]
pub struct TablesRef<'t> {
    pub(super) config: Config,
    pub(crate) window: &'t [u16],
    pub(crate) twiddles: &'t [Twiddle],
    pub(crate) weights: &'t [u16],
    pub(crate) bins: Bins<'t>,
}

impl<'t> TablesRef<'t> {
    /// Makes the tables of `config` in memory of [`Config::frame`], twice [`Config::bins`] and [`Config::bands`]
    /// elements: the numbers of [`Tables::new`].
    ///
    /// # Errors
    /// The configuration is refused, or a length is not its own.
    pub fn fill(
        config: Config,
        window: &'t mut [u16],
        twiddles: &'t mut [[i16; 2]],
        weights: &'t mut [u16],
        counts: &'t mut [u16],
    ) -> Result<Self, TableError> {
        config.check()?;
        check("the window", config.frame, window.len())?;
        check("the twiddles", config.bins(), twiddles.len())?;
        check("the weights", config.bins(), weights.len())?;
        check("the counts", config.bands, counts.len())?;
        self::window(window);
        self::twiddles(twiddles);
        self::weights(&config, weights);
        let (start, lead) = self::counts(&config, counts);
        Ok(Self {
            config,
            window,
            twiddles,
            weights,
            bins: Bins {
                start,
                lead,
                counts,
            },
        })
    }

    /// Tables that were made elsewhere, of the configuration's lengths and within their ranges.
    pub(crate) const fn stored(
        config: Config,
        window: &'t [u16],
        twiddles: &'t [Twiddle],
        weights: &'t [u16],
        bins: Bins<'t>,
    ) -> Self {
        Self {
            config,
            window,
            twiddles,
            weights,
            bins,
        }
    }

    /// What is computed with them.
    pub const fn config(&self) -> Config {
        self.config
    }
}

/// A periodic Hann window.
const fn window(to: &mut [u16]) {
    let mut n = 0;
    while n < to.len() {
        let hann = 0.5 - 0.5 * cos_turn(n, to.len());
        to[n] = round(hann * UNIT) as u16;
        n += 1;
    }
}

/// `cos` and `sin` of `k / 2M` turns for each `k` of `M`.
pub(super) const fn twiddles(to: &mut [Twiddle]) {
    const fn places(x: f64) -> i16 {
        let rounded = round(x * UNIT);
        // 1 has no place in 16 bits; no product is made with the one that it stands for
        if rounded > i16::MAX as i64 {
            i16::MAX
        } else {
            rounded as i16
        }
    }
    let mut k = 0;
    while k < to.len() {
        let turns = 2 * to.len();
        to[k] = [places(cos_turn(k, turns)), places(sin_turn(k, turns))];
        k += 1;
    }
}

/// What of each bin's power belongs to the triangle that rises there.
const fn weights(config: &Config, to: &mut [u16]) {
    let corners = Corners::new(config);
    let mut i = 0;
    while i <= config.bands {
        let mut bin = corners.first_bin(i);
        let end = corners.first_bin(i + 1);
        while bin < end {
            to[bin] = round(corners.weight(bin, i) * UNIT) as u16;
            bin += 1;
        }
        i += 1;
    }
}
