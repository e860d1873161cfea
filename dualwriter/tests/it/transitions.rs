//! Every ordered pair of modes: idle, under load, and interrupted at each step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use conformance::step::{key, put, scope};
use conformance::{Fault, Faulty, Operation};
use dualwriter::{
    DualWriter, Forced, Gate, Kind, Mode, Options, Repair, Side, Transition, TransitionError,
    Writes,
};
use storage_core::{
    ChangesQuery, ErrorKind, ListQuery, Memory, Precondition, Revision, StorageBackend,
    StorageBackendExt, Transaction,
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
        ..options(mode)
    }
}

/// The gate that is shut without a sync, as documented.
fn shut(from: Mode, to: Mode) -> Option<Gate> {
    use Mode::{Five, Four, One, Three, Two, Zero};
    match (from, to) {
        (Zero | One | Two, Three | Four) | (Three, Four) => Some(Gate::Sync),
        (Four | Five, Zero | One | Two | Three) => Some(Gate::ReverseSync),
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

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
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

/// Brings a kind in `from` to where the gate to `to` is open, where a sync can open it.
async fn open_gate(dual: &DualWriter, from: Mode, to: Mode) -> bool {
    match shut(from, to) {
        None => true,
        Some(_) if matches!(from, Mode::Two | Mode::Three | Mode::Four | Mode::Five) => {
            assert!(sync(dual).await);
            true
        }
        Some(_) => false,
    }
}

/// Runs a test for every ordered pair of modes, all at once: most of the time they wait.
async fn for_each_pair<F>(test: impl Fn(Mode, Mode) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut running = tokio::task::JoinSet::new();
    for (from, to) in pairs() {
        running.spawn(test(from, to));
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn under_load_each_pair_loses_no_acknowledged_write() {
    for_each_pair(async |from, to| {
        let (legacy, unified): (Backend, Backend) =
            (Arc::new(Memory::new()), Arc::new(Memory::new()));
        let operator = open(&legacy, &unified, quick(from)).await;
        let writer = Arc::new(open(&legacy, &unified, quick(from)).await);
        let stop = Arc::new(AtomicBool::new(false));
        let load = tokio::spawn({
            let (writer, stop) = (Arc::clone(&writer), Arc::clone(&stop));
            async move {
                let mut acknowledged = Vec::new();
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return acknowledged;
                    }
                    let name = number.to_string();
                    let made = writer.create(key(&name), name.clone().into()).await;
                    match made {
                        Ok(_) => acknowledged.push(name),
                        Err(error) => assert!(
                            error.is_retryable() || error.is_indeterminate(),
                            "{from} to {to}: {error:?}"
                        ),
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                acknowledged
            }
        });
        let gate = open_gate(&operator, from, to).await;
        let made = operator.set_mode(&kind(), to, Forced::No).await;
        // Mode 1 to 5 asks for nothing, and shows what the background brought over.
        let forced = to == Mode::Five && from <= Mode::Two;
        assert_eq!(made.is_ok(), gate || from == to, "{from} to {to}: {made:?}");
        stop.store(true, Ordering::Relaxed);
        let acknowledged = load.await.unwrap();
        for name in acknowledged {
            let stored = operator.get(&key(&name), None).await.unwrap();
            assert!(stored.is_some() || forced, "{from} to {to} lost {name}");
        }
    })
    .await;
}

/// In a mode that writes one store a write has only its guard to notice that the mode changed while
/// it was under way.
#[tokio::test(start_paused = true)]
async fn a_write_that_a_change_overtakes_goes_where_the_new_mode_says() {
    for (from, to) in [
        (Mode::Zero, Mode::Two),
        (Mode::Zero, Mode::Five),
        (Mode::Four, Mode::Five),
    ] {
        let legacy: Backend = Arc::new(Memory::new());
        let unified: Backend = Arc::new(Memory::new());
        let connections = [&legacy, &unified].map(|store| Faulty::new(Arc::clone(store)));
        let faults = match from.policy().writes {
            Writes::Legacy => connections[0].faults(),
            _ => connections[1].faults(),
        };
        let [to_legacy, to_unified] = connections;
        let writer = DualWriter::open(Arc::new(to_legacy), Arc::new(to_unified), quick(from));
        let writer = Arc::new(writer.await.unwrap());
        writer.create(key("a"), "1".into()).await.unwrap();
        let operator = open(&legacy, &unified, quick(from)).await;

        let gate = faults.hold_next(Operation::Commit);
        let written = tokio::spawn({
            let writer = Arc::clone(&writer);
            let put = Transaction::put(key("a"), Precondition::Any, "2");
            async move { writer.commit_one(put).await }
        });
        gate.reached().await;
        operator.set_mode(&kind(), to, Forced::No).await.unwrap();
        gate.release();
        let outcome = written.await.unwrap().unwrap();
        assert!(outcome.revision().is_some(), "{from} to {to}: {outcome:?}");
        let stored = async |store: &Backend| {
            let stored = store.get(&key("a"), None).await.unwrap();
            stored.map(|stored| stored.value)
        };
        assert_eq!(stored(&unified).await.unwrap(), "2", "{from} to {to}");
        let in_legacy = stored(&legacy).await;
        let expected = match (from, to) {
            (Mode::Zero, Mode::Two) => Some("2"),
            (Mode::Zero, _) => Some("1"),
            _ => None,
        };
        assert_eq!(
            in_legacy.as_deref(),
            expected.map(str::as_bytes),
            "{from} to {to}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn interrupted_at_each_step_each_pair_is_finished_by_another_process() {
    for_each_pair(async |from, to| {
        for (side, fault) in [
            (Side::Legacy, Fault::CrashBefore),
            (Side::Legacy, Fault::CrashAfter),
            (Side::Unified, Fault::CrashBefore),
            (Side::Unified, Fault::CrashAfter),
        ] {
            for step in 0.. {
                if interrupted(from, to, side, fault.clone(), step).await {
                    break;
                }
            }
        }
    })
    .await;
}

/// Crashes a change at the commit with this number; true if the change was over before.
async fn interrupted(from: Mode, to: Mode, side: Side, fault: Fault, step: u64) -> bool {
    let (legacy, unified): (Backend, Backend) = (Arc::new(Memory::new()), Arc::new(Memory::new()));
    let healthy: Arc<DualWriter> = Arc::new(open(&legacy, &unified, quick(from)).await);
    let backend: Backend = healthy.clone();
    put(&backend, &key("a"), "1").await;
    let gate = open_gate(&healthy, from, to).await;
    let connections = [&legacy, &unified].map(|store| Faulty::new(Arc::clone(store)));
    let [a, b] = [connections[0].faults(), connections[1].faults()];
    let [first, second] = connections;
    let (first, second): (Backend, Backend) = (Arc::new(first), Arc::new(second));
    let dying = open(&first, &second, quick(from)).await;
    dying.status(&kind()).await.unwrap();
    let (faults, other) = match side {
        Side::Legacy => (&a, &b),
        Side::Unified => (&b, &a),
    };
    faults.after(step, Operation::Commit, fault.clone());
    let made = dying.set_mode(&kind(), to, Forced::No).await;
    let crashed = faults.is_crashed();
    // The process dies as a whole.
    other.crash();
    faults.crash();
    drop(dying);
    let at = format!("{from} to {to}, {side}, {fault:?} at {step}: {made:?}");
    let again = healthy.set_mode(&kind(), to, Forced::No).await;
    assert_eq!(again.is_ok(), gate || from == to, "{at}, then {again:?}");
    let mode = healthy.status(&kind()).await.unwrap().mode;
    let expected = if again.is_ok() { to } else { from };
    assert_eq!(mode, expected.number(), "{at}");
    let stored = healthy.get(&key("a"), None).await.unwrap();
    let forced = to == Mode::Five && from <= Mode::One;
    assert!(stored.is_some() || forced, "{at} lost the object");
    put(&backend, &key("b"), "1").await;
    !crashed
}
