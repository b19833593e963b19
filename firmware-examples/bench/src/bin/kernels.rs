//! Counts the instructions of every case of `toeplite::bench`, and writes a line for each:
//! `kernel NAME: INSTRUCTIONS MACS HASH`.
#![no_std]
#![no_main]

use boards::instructions::Counter;
use boards::{Console, entry, exit};
use static_cell::ConstStaticCell;
use toeplite::bench::{
    Buffers, CHANNELS, Case, Contract, FEW_CHANNELS, MOST_WORDS, Meter, state_words,
};

/// 16 KB of RAM are too few for the state of all channels; long FIR heads are cases of floats.
const STATE_WORDS: usize = if cfg!(target_abi = "eabihf") {
    MOST_WORDS
} else if cfg!(feature = "microbit") {
    state_words(FEW_CHANNELS)
} else {
    state_words(CHANNELS)
};

/// Whose kernels are counted: on a core without an FPU those of integers.
const CONTRACT: Contract = if cfg!(target_abi = "eabihf") {
    Contract::F32
} else {
    Contract::Fixed
};

static BUFFERS: ConstStaticCell<Buffers<STATE_WORDS>> = ConstStaticCell::new(Buffers::new());

struct Lines {
    console: Console,
    counter: Counter,
    last: u64,
}

impl Meter for Lines {
    fn count(&mut self, _: Case, work: impl FnOnce()) {
        ((), self.last) = self.counter.measure(work);
    }

    fn result(&mut self, case: Case, hash: u64) {
        self.console.text("kernel ");
        self.console.text(case.name);
        self.console.text(": ");
        self.console.decimal(self.last);
        self.console.text(" ");
        self.console.decimal(case.macs.into());
        self.console.text(" ");
        self.console.decimal(hash);
        self.console.text("\n");
    }
}

#[entry]
fn main() -> ! {
    let console = Console::open();
    let (Some(counter), Some(buffers)) = (Counter::start(), BUFFERS.try_take()) else {
        bench::uncounted(console)
    };
    let mut lines = Lines {
        console,
        counter,
        last: 0,
    };
    buffers.run(CONTRACT, &mut lines);
    exit(0)
}
