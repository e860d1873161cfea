//! Two windows that chance seldom hits, opened on purpose.

use std::sync::Arc;
use std::time::Duration;

use conformance::{Faults, Faulty, Operation};
use dualwriter::{DualWriter, DualWriterConfig, Forced, InstanceId, Kind, Mode, Options};
use storage_core::{ListQuery, Memory, ResourceKey, StorageBackend, StorageBackendExt};
use tokio::time::timeout;

const LEASE: Duration = Duration::from_millis(200);

fn key() -> ResourceKey {
    ResourceKey::new("example.org", "things", "ns", "a").unwrap()
}

fn kind() -> Kind {
    Kind::of(&key())
}

/// Opens a process on two stores that can be held up.
async fn process(
    legacy: &Arc<Memory>,
    unified: &Arc<Memory>,
    instance: u128,
    mode: Mode,
) -> (Arc<DualWriter>, Faults, Faults) {
    let (legacy, unified) = (
        Faulty::new(Arc::clone(legacy)),
        Faulty::new(Arc::clone(unified)),
    );
    let (a, b) = (legacy.faults(), unified.faults());
    let options = Options {
        instance: InstanceId(instance),
        lease: LEASE,
        ..Options::new(DualWriterConfig::everything(mode))
    };
    let dual = DualWriter::open(Arc::new(legacy), Arc::new(unified), options).await;
    (Arc::new(dual.unwrap()), a, b)
}

fn run(scenario: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(scenario)
}

/// D6: while a creation has reached legacy and not unified, a get does not show in mode 3 what a
/// list does not show.
pub(crate) fn a_get_beside_a_creation() -> Result<(), String> {
    run(async {
        let (legacy, unified) = (Arc::new(Memory::new()), Arc::new(Memory::new()));
        let (dual, _, faults) = process(&legacy, &unified, 1, Mode::Three).await;
        dual.status(&kind()).await.unwrap();
        let apply = conformance::Gate::default();
        faults.after(
            1,
            Operation::Commit,
            conformance::Fault::HoldBefore(apply.clone()),
        );
        let creation = tokio::spawn({
            let dual = Arc::clone(&dual);
            async move { dual.create(key(), "1".into()).await }
        });
        apply.reached().await;
        let got = timeout(LEASE, dual.get(&key(), None)).await;
        let listed = dual.list(&ListQuery::live(kind().scope())).await.unwrap();
        apply.release();
        creation.await.unwrap().unwrap();
        match got {
            Ok(Ok(Some(_))) if listed.items.is_empty() => {
                Err("D6: a get shows what a later list does not".into())
            }
            Ok(_) | Err(_) => Ok(()),
        }
    })
}

/// D12: a read that was held up past its lease, while the kind left legacy and was written, is not
/// answered from legacy.
pub(crate) fn a_read_held_up_past_its_lease() -> Result<(), String> {
    run(async {
        let (legacy, unified) = (Arc::new(Memory::new()), Arc::new(Memory::new()));
        let (operator, _, _) = process(&legacy, &unified, 1, Mode::One).await;
        let old = operator.create(key(), "old".into()).await.unwrap();
        let (reader, faults, _) = process(&legacy, &unified, 2, Mode::One).await;
        reader.status(&kind()).await.unwrap();
        // The background looks at once and then each quarter of a lease: not it is to be held.
        tokio::time::sleep(LEASE / 16).await;
        let held = faults.hold_next(Operation::Get);
        let read = tokio::spawn({
            let reader = Arc::clone(&reader);
            async move { reader.get(&key(), None).await }
        });
        held.reached().await;
        // The value that the held read is about to see is legacy's for good.
        operator
            .set_mode(&kind(), Mode::Two, Forced::No)
            .await
            .unwrap();
        assert!(operator.sync(&kind(), &mut |_| {}).await.unwrap().complete);
        operator
            .set_mode(&kind(), Mode::Four, Forced::No)
            .await
            .unwrap();
        let now = operator.get(&key(), None).await.unwrap().unwrap();
        operator
            .update(key(), now.revision, "new".into())
            .await
            .unwrap();
        assert!(!read.is_finished(), "the read is held");
        held.release();
        let answer = read.await.unwrap().unwrap().unwrap();
        if answer.revision == old || &answer.value[..] == b"old" {
            return Err("D12: a stale process answers from a store that was left".into());
        }
        Ok(())
    })
}

#[test]
fn a_get_beside_a_creation_agrees_with_a_list() {
    a_get_beside_a_creation().unwrap();
}

#[test]
fn a_read_held_up_past_its_lease_is_not_stale() {
    a_read_held_up_past_its_lease().unwrap();
}
