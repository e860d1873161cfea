//! Files and folders: what is not a store, what is in use, what was left half made.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backend_kv::{KvBackend, RedbEngine, RedbOptions, SledEngine, SledOptions};
use storage_core::{
    Error, ErrorKind, Precondition, ResourceKey, Result, StorageBackend, StorageBackendExt,
    SystemClock, Transaction,
};

/// Names the store that the second process opens.
const SECOND_PROCESS: &str = "BACKEND_KV_TEST_OPEN";

#[derive(Clone, Copy, Debug)]
enum Engine {
    Redb,
    Sled,
}

const ENGINES: [Engine; 2] = [Engine::Redb, Engine::Sled];

impl Engine {
    fn open(self, path: &Path) -> Result<Arc<dyn StorageBackend>> {
        let clock = Arc::new(SystemClock);
        Ok(match self {
            Self::Redb => {
                let engine = RedbEngine::open(path, &RedbOptions::default())?;
                Arc::new(KvBackend::open(engine, clock)?)
            }
            Self::Sled => {
                let engine = SledEngine::open(path, &SledOptions::default())?;
                Arc::new(KvBackend::open(engine, clock)?)
            }
        })
    }
}

fn put() -> Transaction {
    let key = ResourceKey::new("", "pods", "", "a").unwrap();
    Transaction::put(key, Precondition::Any, "value")
}

fn refused(opened: Result<Arc<dyn StorageBackend>>, kind: ErrorKind, path: &Path, why: &str) {
    let error: Error = opened.unwrap_err();
    assert_eq!(error.kind(), kind, "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&path.display().to_string()), "{text}");
    assert!(text.contains(why), "{text}");
}

#[test]
fn what_is_no_store_is_refused_and_untouched() {
    for engine in ENGINES {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("text");
        std::fs::write(&text, "hello").unwrap();
        let empty = folder.path().join("empty");
        std::fs::write(&empty, "").unwrap();
        let other_folder = folder.path().join("folder");
        std::fs::create_dir(&other_folder).unwrap();
        std::fs::write(other_folder.join("file"), "hello").unwrap();
        for path in [&text, &empty, &other_folder] {
            refused(engine.open(path), ErrorKind::Invalid, path, "is not a");
        }
        assert_eq!(std::fs::read(&text).unwrap(), b"hello");
        assert_eq!(std::fs::read(&empty).unwrap(), b"");
        assert_eq!(std::fs::read_dir(&other_folder).unwrap().count(), 1);
    }
}

#[test]
fn a_redb_file_of_something_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let database = redb::Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let table: redb::TableDefinition<'_, u64, u64> = redb::TableDefinition::new("other");
    transaction.open_table(table).unwrap();
    transaction.commit().unwrap();
    drop(database);
    refused(
        Engine::Redb.open(&path),
        ErrorKind::Invalid,
        &path,
        "is not a store of unistore",
    );
}

#[test]
fn a_damaged_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    drop(Engine::Redb.open(&path).unwrap());
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..5000]).unwrap();
    let error = Engine::Redb.open(&path).unwrap_err();
    assert!(error.to_string().contains("cannot be opened"), "{error}");
    let mut zeroed = whole;
    zeroed[64..4096].fill(0);
    std::fs::write(&path, &zeroed).unwrap();
    assert!(Engine::Redb.open(&path).is_err());
}

#[test]
fn a_missing_folder_is_an_error() {
    for engine in ENGINES {
        let path = Path::new("/nonexistent/folder/store");
        refused(engine.open(path), ErrorKind::Unavailable, path, "cannot");
    }
}

#[test]
fn a_second_open_is_refused() {
    for engine in ENGINES {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let store = engine.open(&path).unwrap();
        refused(
            engine.open(&path),
            ErrorKind::Unavailable,
            &path,
            "is in use",
        );
        drop(store);
        engine.open(&path).unwrap();
    }
}

/// A child has the files of its parent until it is another program, and with them their locks: a
/// store that was closed beside the start of a process was in use a little longer.
#[test]
fn a_closed_store_can_be_opened_while_processes_start() {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    Command::new("true").status().unwrap();
                }
            });
        }
        let folder = tempfile::tempdir().unwrap();
        let reopened = ENGINES.into_iter().try_for_each(|engine| {
            let path = folder.path().join(format!("{engine:?}"));
            (0..100).try_for_each(|_| engine.open(&path).map(drop))
        });
        stop.store(true, Ordering::Relaxed);
        reopened.unwrap();
    });
}

/// Runs this test again in a process that only opens the store of the first.
#[test]
fn a_second_process_is_refused() {
    if let Ok(path) = std::env::var(SECOND_PROCESS) {
        for engine in ENGINES {
            let path = Path::new(&path).join(format!("{engine:?}"));
            refused(
                engine.open(&path),
                ErrorKind::Unavailable,
                &path,
                "is in use",
            );
        }
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let stores = ENGINES.map(|engine| {
        let path = folder.path().join(format!("{engine:?}"));
        engine.open(&path).unwrap()
    });
    let second = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "opening::a_second_process_is_refused"])
        .env(SECOND_PROCESS, folder.path())
        .stdout(Stdio::null())
        .status();
    assert!(second.unwrap().success());
    drop(stores);
}

/// A redb file whose first writes were cut short never opens: it must not get the store's name.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_of_a_creation_is_made_anew() {
    for engine in ENGINES {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let unfinished = folder.path().join("store.creating");
        match engine {
            Engine::Redb => std::fs::write(&unfinished, [0; 4096]).unwrap(),
            Engine::Sled => {
                std::fs::create_dir(&unfinished).unwrap();
                std::fs::write(unfinished.join("conf"), [1, 2, 3]).unwrap();
            }
        }
        let store = engine.open(&path).unwrap();
        store.commit_one(put()).await.unwrap();
        assert!(!unfinished.exists());
        assert!(path.exists());
    }
}

/// sled never syncs the files it makes for long items, so there must be none.
#[tokio::test(flavor = "multi_thread")]
async fn sled_keeps_long_values_in_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = Engine::Sled.open(&path).unwrap();
    let lengths = [16_000, 16_384, 20_000, 131_072, 700_000, 4 << 20];
    for round in 0..12_u8 {
        let writes = lengths.map(|bytes| {
            let key = ResourceKey::new("", "pods", "", format!("{bytes}-{}", round % 4)).unwrap();
            Transaction::put(key, Precondition::Any, vec![round; bytes])
        });
        store.commit(writes.to_vec()).await.unwrap();
    }
    drop(store);
    let store = Engine::Sled.open(&path).unwrap();
    for bytes in lengths {
        let key = ResourceKey::new("", "pods", "", format!("{bytes}-3")).unwrap();
        let stored = store.get(&key, None).await.unwrap().unwrap();
        assert_eq!(stored.value, vec![11; bytes]);
    }
    assert_eq!(std::fs::read_dir(path.join("blobs")).unwrap().count(), 0);
}
