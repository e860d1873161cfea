//! A store whose next commits go as planned: their answers get lost, or a rival is faster.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;
use storage_core::{
    BackendInfo, Changes, ChangesQuery, Compacted, Error, ErrorKind, ListQuery, ManualClock,
    Memory, Outcome, Page, Precondition, ResourceKey, ResourceStats, Result, Retention, Revision,
    Scope, StorageBackend, Stored, Transaction,
};

use crate::support::{START, World};

#[derive(Debug)]
pub(crate) enum Step {
    LoseAnswerBefore,
    LoseAnswerAfter,
    /// Another writer sets the title of the default namespace's folder of that name.
    Rival {
        name: &'static str,
        title: &'static str,
    },
}

#[derive(Debug)]
pub(crate) struct Staged {
    store: Memory,
    steps: Mutex<VecDeque<Step>>,
}

pub(crate) fn staged() -> (World, Arc<Staged>) {
    let clock = Arc::new(ManualClock::new(START));
    let store = Arc::new(Staged {
        store: Memory::with_clock(clock.clone()),
        steps: Mutex::default(),
    });
    (World::on(store.clone(), clock), store)
}

impl Staged {
    pub(crate) fn plan(&self, step: Step) {
        self.steps.lock().unwrap().push_back(step);
    }

    pub(crate) fn steps_left(&self) -> usize {
        self.steps.lock().unwrap().len()
    }

    async fn rival(&self, name: &str, title: &str) -> Result<()> {
        let key = ResourceKey::new("folder.grafana.app", "folders", "default", name)?;
        let stored = self.store.get(&key, None).await?.unwrap();
        let before: Value = serde_json::from_slice(&stored.value).unwrap();
        let before = before["spec"]["title"].as_str().unwrap();
        let text = String::from_utf8(stored.value.to_vec()).unwrap();
        let text = text.replace(
            &format!("\"title\":{before:?}"),
            &format!("\"title\":{title:?}"),
        );
        let put = Transaction::put(key, Precondition::Any, Bytes::from(text));
        self.store.commit(vec![put]).await.map(drop)
    }
}

#[async_trait]
impl StorageBackend for Staged {
    fn info(&self) -> &BackendInfo {
        self.store.info()
    }

    async fn commit(&self, transactions: Vec<Transaction>) -> Result<Vec<Outcome>> {
        let unknown = || {
            Err(Error::new(
                ErrorKind::Indeterminate,
                "commit",
                "connection lost",
            ))
        };
        let step = self.steps.lock().unwrap().pop_front();
        match step {
            None => self.store.commit(transactions).await,
            Some(Step::LoseAnswerBefore) => unknown(),
            Some(Step::LoseAnswerAfter) => {
                self.store.commit(transactions).await?;
                unknown()
            }
            Some(Step::Rival { name, title }) => {
                self.rival(name, title).await?;
                self.store.commit(transactions).await
            }
        }
    }

    async fn get(&self, key: &ResourceKey, at: Option<Revision>) -> Result<Option<Stored>> {
        self.store.get(key, at).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page> {
        self.store.list(query).await
    }

    async fn changes(&self, query: &ChangesQuery) -> Result<Changes> {
        self.store.changes(query).await
    }

    async fn compact(&self, policy: &Retention) -> Result<Compacted> {
        self.store.compact(policy).await
    }

    async fn stats(&self, scope: &Scope) -> Result<Vec<ResourceStats>> {
        self.store.stats(scope).await
    }

    fn head(&self) -> tokio::sync::watch::Receiver<Revision> {
        self.store.head()
    }
}
