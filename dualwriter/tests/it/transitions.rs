//! Every ordered pair of modes: idle, under load, and interrupted at each step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use conformance::step::{key, put, scope};
use dualwriter::{
    DualWriter, Forced, Gate, Kind, Mode, Options, Repair, Transition, TransitionError,
};
use storage_core::{
    ChangesQuery, ErrorKind, ListQuery, Memory, Precondition, Revision, StorageBackend,
    StorageBackendExt, SystemClock, Transaction,
};

use crate::rig::{Backend, open, options};

fn kind() -> Kind {
    Kind::of(&key("a"))
}

fn pairs() -> impl Iterator<Item = (Mode, Mode)> {
    Mode::ALL
        .into_iter()
        .flat_map(|from| Mode::ALL.into_iter().map(move |to| (from, to)))
}

fn quick(mode: Mode) -> Options {
    Options {
        lease: Duration::from_millis(200),
        help_after: Duration::from_millis(20),
        ..options(mode, Arc::new(SystemClock))
    }
}

/// The gate that is shut without a sync, as documented.
fn shut(from: Mode, to: Mode) -> Option<Gate> {
    use Mode::{Five, Four, One, Three, Two, Zero};
    match (from, to) {
        (Zero | One | Two, Three | Four) | (Three, Four) => Some(Gate::Sync),
        (Four | Five, Zero | One | Two | Three) => Some(Gate::ReverseSync),
        (Five, Four) => Some(Gate::Sync),
        _ => None,
    }
}

async fn sync(dual: &DualWriter) -> bool {
    dual.sync(&kind(), &mut |_| {}).await.unwrap().complete
}

async fn differences(dual: &DualWriter) -> u64 {
    let mut tell = |difference| println!("{difference:?}");
    let report = dual
        .verify(&kind(), Repair::No, &mut tell, &mut |_| {})
        .await;
    report.unwrap().differences
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_each_pair_is_made_or_refused_with_the_gate() {
    for (from, to) in pairs() {
        let (legacy, unified): (Backend, Backend) =
            (Arc::new(Memory::new()), Arc::new(Memory::new()));
        let dual = open(&legacy, &unified, quick(from)).await;
        let made = dual.set_mode(&kind(), to, Forced::No).await;
        match (made, shut(from, to)) {
            (Ok(made), None) => assert_eq!(made, Transition { from, to }),
            (Err(TransitionError::Refused(refusal)), Some(gate)) => {
                assert_eq!(refusal.gate, gate, "{from} to {to}");
                assert!(refusal.how.contains("sync"), "{refusal}");
                assert_eq!(dual.status(&kind()).await.unwrap().mode, from.number());
            }
            (made, shut) => panic!("{from} to {to}: {made:?}, the gate was to be {shut:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_walk_up_and_down_keeps_every_object_and_moves_revisions_on() {
    let (legacy, unified): (Backend, Backend) = (Arc::new(Memory::new()), Arc::new(Memory::new()));
    let dual = Arc::new(open(&legacy, &unified, quick(Mode::Zero)).await);
    let backend: Backend = dual.clone();
    let mut expected = BTreeMap::new();
    let mut last = Revision::ZERO;
    for (step, to) in [0, 1, 2, 3, 4, 5, 4, 3, 2, 1, 0].into_iter().enumerate() {
        let to = Mode::from_number(to).unwrap();
        let before = dual.status(&kind()).await.unwrap().mode;
        let made = dual.set_mode(&kind(), to, Forced::No).await;
        if let Err(TransitionError::Refused(refusal)) = made {
            assert!(sync(&dual).await, "the sync in mode {before} is complete");
            assert!(!refusal.to_string().is_empty());
            dual.set_mode(&kind(), to, Forced::No).await.unwrap();
        }
        for number in 0..4 {
            let name = format!("{step}-{number}");
            let revision = put(&backend, &key(&name), name.clone()).await;
            assert!(revision > last, "{revision} after {last} in mode {to}");
            last = revision;
            expected.insert(name.clone(), name);
        }
        let gone = format!("{step}-0");
        let delete = Transaction::delete(key(&gone), Precondition::Present, "");
        last = dual.commit_one(delete).await.unwrap().revision().unwrap();
        expected.remove(&gone);
        let page = dual.list(&ListQuery::live(scope())).await.unwrap();
        let listed: BTreeMap<String, String> = page
            .items
            .iter()
            .map(|item| {
                (
                    item.key.name().into(),
                    String::from_utf8_lossy(&item.value).into(),
                )
            })
            .collect();
        assert_eq!(listed, expected, "mode {to}");
        for name in expected.keys() {
            assert!(dual.get(&key(name), None).await.unwrap().is_some());
        }
        if [Mode::Two, Mode::Three].contains(&to) {
            dual.sync(&kind(), &mut |_| {}).await.unwrap();
            assert_eq!(differences(&dual).await, 0, "mode {to}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_cursors_and_watches_expire_at_a_change_of_side() {
    let (legacy, unified): (Backend, Backend) = (Arc::new(Memory::new()), Arc::new(Memory::new()));
    let dual = Arc::new(open(&legacy, &unified, quick(Mode::Two)).await);
    let backend: Backend = dual.clone();
    for number in 0..20 {
        put(&backend, &key(&number.to_string()), "1").await;
    }
    let page = dual.list(&ListQuery::live(scope()).limit(5)).await.unwrap();
    assert!(sync(&dual).await);
    dual.set_mode(&kind(), Mode::Three, Forced::No)
        .await
        .unwrap();
    let kind_of = |error: storage_core::Error| error.kind();
    let next = ListQuery::live(scope()).after(page.next.unwrap());
    assert_eq!(
        dual.list(&next).await.map_err(kind_of).unwrap_err(),
        ErrorKind::Expired
    );
    let old = ChangesQuery::new(scope(), page.revision);
    assert_eq!(
        dual.changes(&old).await.map_err(kind_of).unwrap_err(),
        ErrorKind::Expired
    );
    let at = dual.get(&key("1"), Some(page.revision)).await;
    assert_eq!(at.map_err(kind_of).unwrap_err(), ErrorKind::Expired);
    let fresh = dual.list(&ListQuery::live(scope())).await.unwrap();
    assert!(fresh.revision > page.revision);
    let none = dual
        .changes(&ChangesQuery::new(scope(), fresh.revision))
        .await
        .unwrap();
    assert!(none.changes.is_empty());
}
