//! The conformance suite: in each mode, and on a dual writer of dual writers.

use std::sync::Arc;

use async_trait::async_trait;
use conformance::{Declared, Harness};
use dualwriter::{DualWriter, Mode, Options};
use storage_core::{Clock, Memory, Result, StorageBackend};

use crate::rig::{Backend, options};

/// Two new stores in memory under a mode.
#[derive(Debug)]
struct InMode(Mode);

/// A dual writer on two dual writers on four stores.
#[derive(Debug)]
struct Nested {
    outer: Mode,
    inner: Mode,
}

fn memory(clock: &Arc<dyn Clock>) -> Backend {
    Arc::new(Memory::with_clock(Arc::clone(clock)))
}

fn with_clock(mode: Mode, clock: &Arc<dyn Clock>) -> Options {
    Options {
        clock: Arc::clone(clock),
        ..options(mode)
    }
}

#[async_trait]
impl Harness for InMode {
    async fn open(&self, clock: Arc<dyn Clock>) -> Result<Backend> {
        let options = with_clock(self.0, &clock);
        Ok(Arc::new(
            DualWriter::open(memory(&clock), memory(&clock), options).await?,
        ))
    }

    fn declared(&self) -> Declared {
        Declared::VOLATILE
    }

    fn journals(&self) -> usize {
        1
    }
}

#[async_trait]
impl Harness for Nested {
    async fn open(&self, clock: Arc<dyn Clock>) -> Result<Backend> {
        let inner = |space| Options {
            space,
            ..with_clock(self.inner, &clock)
        };
        let legacy = DualWriter::open(memory(&clock), memory(&clock), inner("a")).await?;
        let unified = DualWriter::open(memory(&clock), memory(&clock), inner("b")).await?;
        let options = with_clock(self.outer, &clock);
        let outer = DualWriter::open(Arc::new(legacy), Arc::new(unified), options).await?;
        Ok(Arc::new(outer) as Arc<dyn StorageBackend>)
    }

    fn declared(&self) -> Declared {
        Declared::VOLATILE
    }

    fn journals(&self) -> usize {
        2
    }
}

conformance::suite!(mode_0, InMode(Mode::Zero));
conformance::suite!(mode_1, InMode(Mode::One));
conformance::suite!(mode_2, InMode(Mode::Two));
conformance::suite!(mode_3, InMode(Mode::Three));
conformance::suite!(mode_4, InMode(Mode::Four));
conformance::suite!(mode_5, InMode(Mode::Five));
conformance::suite!(
    nested_2_on_3,
    Nested {
        outer: Mode::Two,
        inner: Mode::Three
    }
);
conformance::suite!(
    nested_3_on_2,
    Nested {
        outer: Mode::Three,
        inner: Mode::Two
    }
);
