//! From an analog-digital converter's numbers to samples, and the count of those that are lost on the way.

/// Binary places of a resting voltage.
const PLACES: u32 = 16;

/// What an analog-digital converter gives, as samples around zero: the microphone's resting voltage is followed slowly and
/// taken away.
#[derive(Clone, Debug)]
pub struct Leveller {
    /// The resting voltage, with [`PLACES`] binary places.
    rest: i32,
    /// Places that a converter's number is shifted by to fill 16 bits.
    shift: u32,
}

impl Leveller {
    /// For a converter of 8 to 14 bits, whose numbers begin at 0.
    ///
    /// # Panics
    /// In a `const` this is an error of compilation: another number of bits.
    pub const fn new(bits: u32) -> Self {
        assert!(bits >= 8 && bits <= 14, "a converter of 8 to 14 bits");
        // half the supply, where most microphones' boards rest
        let rest = 1 << (bits - 1 + PLACES);
        let shift = 16 - bits;
        Self { rest, shift }
    }

    /// The next sample. Numbers of more bits than there are count as the largest.
    pub fn sample(&mut self, number: u16) -> i16 {
        let number = i32::from(number).min((1 << (16 - self.shift)) - 1);
        let error = number - (self.rest >> PLACES);
        // what is 2^9 samples old counts for a third: below speech, above the drift of temperature
        self.rest += error << (PLACES - 9);
        (error << self.shift).clamp(i16::MIN.into(), i16::MAX.into()) as i16
    }
}

/// When samples are due, by a clock that counts ticks: tells how many were missed because an interrupt came late.
#[derive(Clone, Debug)]
pub struct Pace {
    /// When the next sample is due.
    next: u64,
    /// Ticks from one sample to the next.
    period: u64,
}

impl Pace {
    /// The first sample is due one `period`, not zero, after `start`.
    pub const fn new(start: u64, period: u64) -> Self {
        let next = start + period;
        Self { next, period }
    }

    /// When the next sample is due.
    pub const fn due(&self) -> u64 {
        self.next
    }

    /// A sample is taken at `now`; returns how many were due since the one before it that nobody took.
    pub fn taken(&mut self, now: u64) -> u32 {
        let late = now.saturating_sub(self.next);
        let missed = late.checked_div(self.period).unwrap_or_default();
        self.next += (missed + 1) * self.period;
        u32::try_from(missed).unwrap_or(u32::MAX)
    }
}

/// Says how many samples were lost, once a second of sound at most: a log takes time itself, in which more are lost.
#[derive(Clone, Debug)]
pub struct Losses {
    rate: u32,
    lost: u32,
    /// Samples since the last report.
    since: u32,
}

impl Losses {
    /// None so far. `rate`: samples a second.
    pub const fn new(rate: u32) -> Self {
        // the first loss is told at once
        let (lost, since) = (0, rate);
        Self { rate, lost, since }
    }

    /// After `heard` samples more, and `lost` ones: how many to report, if it is time to.
    pub fn count(&mut self, heard: u32, lost: u32) -> Option<u32> {
        self.lost = self.lost.saturating_add(lost);
        self.since = self.since.saturating_add(heard).saturating_add(lost);
        if self.lost == 0 || self.since < self.rate {
            return None;
        }
        self.since = 0;
        Some(core::mem::take(&mut self.lost))
    }
}
