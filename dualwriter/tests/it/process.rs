//! What a process does at its start and at its end.

use std::sync::Arc;
use std::time::Duration;

use conformance::step::{key, put};
use dualwriter::{DualWriterConfig, Forced, Gate, Kind, Mode, Options};
use storage_core::{Memory, StorageBackend, SystemClock};

use crate::rig::{Backend, open, options};

fn kind() -> Kind {
    Kind::of(&key("a"))
}

fn stores() -> (Backend, Backend) {
    (Arc::new(Memory::new()), Arc::new(Memory::new()))
}

fn configured(mode: Mode) -> Options {
    let mut config = DualWriterConfig::default();
    config.modes.insert(kind(), mode);
    Options {
        config,
        ..options(Mode::Zero, Arc::new(SystemClock))
    }
}

/// A process that starts with the configuration of yesterday would undo a promotion of today.
#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_raises_a_mode_and_never_lowers_it() {
    let (legacy, unified) = stores();
    let first = open(&legacy, &unified, configured(Mode::Two)).await;
    assert!(first.apply_config().await.unwrap().is_empty());
    assert_eq!(first.status(&kind()).await.unwrap().mode, 2);
    first.sync(&kind(), &mut |_| {}).await.unwrap();
    first.promote(&kind(), Forced::No).await.unwrap();
    first.close().await.unwrap();

    let second = open(&legacy, &unified, configured(Mode::Two)).await;
    let refused = second.apply_config().await.unwrap();
    let [(of, refusal)] = refused.as_slice() else {
        panic!("{refused:?}");
    };
    assert_eq!((of, refusal.gate), (&kind(), Gate::Configuration));
    assert_eq!(second.status(&kind()).await.unwrap().mode, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_closed_is_not_waited_for() {
    let (legacy, unified) = stores();
    let long = || Options {
        lease: Duration::from_secs(3600),
        ..options(Mode::Two, Arc::new(SystemClock))
    };
    let (stays, leaves) = (
        open(&legacy, &unified, long()).await,
        open(&legacy, &unified, long()).await,
    );
    for dual in [&stays, &leaves] {
        dual.status(&kind()).await.unwrap();
    }
    leaves.close().await.unwrap();
    let kind = kind();
    let change = stays.set_mode(&kind, Mode::One, Forced::No);
    let changed = tokio::time::timeout(Duration::from_secs(60), change).await;
    changed.expect("nobody is waited for").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_hands_over_what_mode_1_left_to_the_background() {
    let (legacy, unified) = stores();
    let dual = Arc::new(open(&legacy, &unified, options(Mode::One, Arc::new(SystemClock))).await);
    let backend: Backend = dual.clone();
    for number in 0..200 {
        put(&backend, &key(&number.to_string()), "x").await;
    }
    dual.close().await.unwrap();
    for number in 0..200 {
        let copied = unified.get(&key(&number.to_string()), None).await.unwrap();
        assert!(copied.is_some(), "{number} was not copied");
    }
}
