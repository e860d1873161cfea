use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use storage_core::{
    BackendInfo, Changes, ChangesQuery, Compacted, ListQuery, Memory, Outcome, Page, Precondition,
    ResourceKey, ResourceStats, Result, Retention, Revision, Scope, Source, StorageBackend,
    StorageBackendExt, Stored, Transaction,
};
use tokio::sync::watch;
use unistore::consistency::check;

fn key(name: &str) -> ResourceKey {
    ResourceKey::new("g", "things", "default", name).unwrap()
}

async fn populated() -> Memory {
    let store = Memory::new();
    let put = |name, value: &'static str| Transaction::put(key(name), Precondition::Any, value);
    let delete = |name| Transaction::delete(key(name), Precondition::Any, "gone");
    for transaction in [
        put("a", "1"),
        put("a", "2"),
        put("b", "1"),
        delete("b"),
        put("c", "1"),
        delete("c"),
        put("c", "2"),
    ] {
        store.commit_one(transaction).await.unwrap();
    }
    store
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_store_has_no_disagreements() {
    let report = check(&populated().await).await.unwrap();
    assert_eq!(report.disagreements, Vec::<String>::new());
    let counted = (report.objects, report.history, report.trash, report.changes);
    assert_eq!(counted, (2, 7, 1, 7));
    assert!(!report.disturbed);
    assert_eq!(report.revision, Revision::new(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_is_found_and_named() {
    for (fault, sentence) in [
        (
            Fault::StaleObject,
            "g/things/default/a at revision 2 is not what",
        ),
        (
            Fault::LostObject,
            "g/things/default/a at revision 2 is not what",
        ),
        (
            Fault::LostTrash,
            "g/things/default/b at revision 4 is not what",
        ),
        (Fault::LostHistory, "revision 7 does not fit the kind"),
        (
            Fault::LostChange,
            "6 changes after revision 0, but 7 revisions",
        ),
        (Fault::SwappedChanges, "out of order among the changes"),
        (
            Fault::WrongCount,
            "g/things/default: 2 objects, counted as 3",
        ),
    ] {
        let store = Arc::new(Faulty {
            store: populated().await,
            fault,
        });
        let found = check(&store).await.unwrap().disagreements;
        assert!(
            found.iter().any(|found| found.contains(sentence)),
            "{fault:?}: {found:?}"
        );
    }
}

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    StaleObject,
    LostObject,
    LostTrash,
    LostHistory,
    LostChange,
    SwappedChanges,
    WrongCount,
}

#[derive(Debug)]
struct Faulty {
    store: Memory,
    fault: Fault,
}

#[async_trait]
impl StorageBackend for Faulty {
    async fn list(&self, query: &ListQuery) -> Result<Page> {
        let mut page = self.store.list(query).await?;
        match (self.fault, query.source) {
            (Fault::StaleObject, Source::Live) => page.items[0].value = Bytes::from("1"),
            (Fault::LostObject, Source::Live) => drop(page.items.remove(0)),
            (Fault::LostTrash, Source::Trash) => page.items.clear(),
            (Fault::LostHistory, Source::History) => {
                page.items
                    .retain(|stored| stored.revision != Revision::new(6));
            }
            _ => {}
        }
        Ok(page)
    }

    async fn changes(&self, query: &ChangesQuery) -> Result<Changes> {
        let mut changes = self.store.changes(query).await?;
        match self.fault {
            Fault::LostChange => drop(changes.changes.remove(3)),
            Fault::SwappedChanges => changes.changes.swap(2, 3),
            _ => {}
        }
        Ok(changes)
    }

    async fn stats(&self, scope: &Scope) -> Result<Vec<ResourceStats>> {
        let mut stats = self.store.stats(scope).await?;
        if self.fault == Fault::WrongCount {
            stats[0].count += 1;
        }
        Ok(stats)
    }

    fn info(&self) -> &BackendInfo {
        self.store.info()
    }
    async fn commit(&self, transactions: Vec<Transaction>) -> Result<Vec<Outcome>> {
        self.store.commit(transactions).await
    }
    async fn get(&self, key: &ResourceKey, at: Option<Revision>) -> Result<Option<Stored>> {
        self.store.get(key, at).await
    }
    async fn compact(&self, policy: &Retention) -> Result<Compacted> {
        self.store.compact(policy).await
    }
    fn head(&self) -> watch::Receiver<Revision> {
        self.store.head()
    }
}
