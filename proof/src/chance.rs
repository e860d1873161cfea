use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use conformance::traffic::Dice;
use parking_lot::Mutex;

/// Where the choices of a run come from. What follows the last byte is up to fixed dice.
#[derive(Debug)]
pub struct Choices {
    bytes: std::vec::IntoIter<u8>,
    dice: Dice,
    /// What the order comes from in which tasks take turns.
    #[cfg_attr(
        not(tokio_unstable),
        expect(dead_code, reason = "the runtime cannot be told")
    )]
    order: Vec<u8>,
}

impl Choices {
    /// Takes all choices from a seed.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        let mut dice = Dice::new(seed.wrapping_add(1));
        // The first numbers of neighbouring seeds are alike.
        for _ in 0..8 {
            dice.roll(2);
        }
        Self {
            bytes: Vec::new().into_iter(),
            dice,
            order: seed.to_le_bytes().to_vec(),
        }
    }

    /// Takes one choice from each byte, or from two where there are many possibilities.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self {
            bytes: Vec::from(bytes).into_iter(),
            order: bytes.to_vec(),
            ..Self::from_seed(0)
        }
    }

    /// Returns what decides the order in which tasks take turns.
    #[cfg(tokio_unstable)]
    pub(crate) fn order(&self) -> tokio::runtime::RngSeed {
        tokio::runtime::RngSeed::from_bytes(&self.order)
    }

    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        let Some(byte) = self.bytes.next() else {
            return self.dice.roll(sides);
        };
        let mut number = usize::from(byte);
        if sides > usize::from(u8::MAX) + 1 {
            number = number << 8 | self.bytes.next().map_or(0, usize::from);
        }
        number % sides.max(1)
    }
}

/// Which faults a run has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Faults {
    /// Any, anywhere.
    Mixed,
    /// Long pauses, most of them in the calls that windows hang on: reads and writes of objects.
    Pauses,
    /// Calls that fail one after the other: also what a process does about the first failure fails.
    Outages,
}

/// What happens to one call of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    FailBefore,
    FailAfter,
    FailUnknown,
    CrashBefore,
    CrashAfter,
    PauseBefore,
    PauseAfter,
}

/// What all stores of a run share: chance, and how many faults are left.
#[derive(Debug)]
pub(crate) struct Chance {
    choices: Mutex<Choices>,
    plan: Faults,
    left: AtomicUsize,
    /// The last call had a fault.
    failing: AtomicBool,
    made: AtomicU64,
    pub(crate) pause: Duration,
}

/// What a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    Objects,
    ControlRecords,
}

impl Chance {
    pub(crate) fn new(choices: Choices, plan: Faults, pause: Duration) -> Self {
        Self {
            choices: Mutex::new(choices),
            plan,
            left: AtomicUsize::new(0),
            failing: AtomicBool::new(false),
            made: AtomicU64::new(0),
            pause,
        }
    }

    pub(crate) fn roll(&self, sides: usize) -> usize {
        self.made.fetch_add(1, Ordering::Relaxed);
        self.choices.lock().roll(sides)
    }

    /// Returns how many choices were made.
    pub(crate) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Allows so many faults from now on.
    pub(crate) fn allow(&self, faults: usize) {
        self.left.store(faults, Ordering::Relaxed);
    }

    /// Decides whether a call has a fault.
    pub(crate) fn fault(&self, about: About) -> Option<Fault> {
        if self.left.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let rare = match (self.plan, about) {
            (Faults::Mixed, _) => 60,
            (Faults::Pauses, About::Objects) => 12,
            (Faults::Pauses, About::ControlRecords) => 200,
            (Faults::Outages, _) if self.failing.load(Ordering::Relaxed) => 2,
            (Faults::Outages, _) => 60,
        };
        let faulty = self.roll(rare) == 0;
        self.failing.store(faulty, Ordering::Relaxed);
        if !faulty {
            return None;
        }
        self.left.fetch_sub(1, Ordering::Relaxed);
        Some(match (self.plan, self.roll(10)) {
            (Faults::Mixed, 0) => Fault::FailBefore,
            (Faults::Mixed, 1) => Fault::FailAfter,
            (Faults::Mixed, 2) => Fault::FailUnknown,
            (Faults::Mixed, 3) => Fault::CrashBefore,
            (Faults::Mixed, 4) => Fault::CrashAfter,
            (Faults::Outages, 0..=6) => Fault::FailBefore,
            (Faults::Outages, 7) => Fault::FailUnknown,
            // Pauses open the widest windows.
            (_, 0..=7) => Fault::PauseBefore,
            (_, _) => Fault::PauseAfter,
        })
    }
}
