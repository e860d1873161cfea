use std::collections::BTreeMap;
use std::time::Duration;

use conformance::linearizability::{Answer, Request};
use dualwriter::{DualWriter, Forced, Mode};
use storage_core::{ChangeKind, INTERNAL_GROUP, ListQuery, Memory, Order, Scope, StorageBackend};
use tokio::time::{sleep, timeout};

use crate::watcher::Seen;
use crate::world::{KEYS, Process, World, key, kind, parse};

/// How long unfinished writes may take to be settled once nothing fails any more.
const SETTLE_BOUND: Duration = Duration::from_secs(20);
/// Longer than the right to sync lasts that a dead process left.
const SYNC_LEASE_OVER: Duration = Duration::from_secs(70);
/// How often a sync is tried: one that cleans up, one after a lease, and some.
const SYNCS: usize = 5;

impl World {
    /// Lets everything come to rest, and checks what must hold then.
    pub(crate) async fn finish(&self, watched: Vec<Seen>) -> Result<(), String> {
        if self.chance.roll(2) == 0 {
            // What dead processes left has to be settled by one that has just begun.
            self.processes.lock().clear();
        }
        let process = self.start().await?;
        let dual = &*process.dual;
        let settled = timeout(SETTLE_BOUND, self.rest(dual)).await;
        if settled.is_err() {
            let (status, intents) = (dual.status(&kind()).await, self.intents().await);
            return Err(format!(
                "D3: {intents} intents and what else is unfinished (processes idle: {}) are not settled within {} s: {status:?}",
                self.is_idle(),
                SETTLE_BOUND.as_secs()
            ));
        }
        let status = dual.status(&kind()).await.map_err(|e| format!("{e:?}"))?;
        self.last_reads(dual).await?;
        self.check_watches(&process, watched).await?;
        if [Mode::Two, Mode::Three]
            .map(Mode::number)
            .contains(&status.mode)
        {
            self.become_equal(dual).await?;
            self.last_reads(dual).await?;
        }
        check_history(dual).await?;
        self.histories
            .check()
            .map_err(|broken| format!("{broken}\n  (at the end in mode {})", status.mode))
    }

    async fn check_watches(&self, process: &Process, watched: Vec<Seen>) -> Result<(), String> {
        for seen in watched {
            self.check_watch(process, seen).await?;
        }
        Ok(())
    }

    /// Waits until no change of mode and no unfinished write is left, those included whose clients
    /// went away before an intent was placed: they would land between two reads that are compared.
    async fn rest(&self, dual: &DualWriter) {
        loop {
            // Asked first: nobody begins a write any more, so what is read after it is the last word.
            let is_idle = self.is_idle();
            if let Ok(status) = dual.status(&kind()).await {
                if let Some(to) = status.changing_to {
                    let to = Mode::ALL[usize::from(to)];
                    let _ = dual.set_mode(&kind(), to, Forced::No).await;
                } else if is_idle && self.intents().await == 0 && status.queued == 0 {
                    return;
                }
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Tells whether no living process has a write under way. A dead one writes nothing any more.
    fn is_idle(&self) -> bool {
        let processes = self.processes.lock();
        let mut alive = processes.iter().filter(|p| !p.life.is_over());
        alive.all(|process| process.dual.commits_under_way() == 0)
    }

    async fn intents(&self) -> usize {
        let internal = ListQuery::live(Scope::resource(INTERNAL_GROUP, "dual.intent"));
        let page = self.unified.list(&internal).await;
        page.expect("memory lists").items.len()
    }

    async fn last_reads(&self, dual: &DualWriter) -> Result<(), String> {
        for number in 0..KEYS {
            let call = self.histories.tick();
            let got = dual.get(&key(number), None).await;
            let got = got.map_err(|e| format!("{e:?}"))?;
            let got = got.map(|stored| parse(&stored.value));
            let answer = Answer::Value(got);
            self.histories.record(number, Request::Read, call, answer);
            let query = ListQuery::live(Scope::Object(key(number)));
            let listed = dual.list(&query).await.map_err(|e| format!("{e:?}"))?;
            let listed = listed.items.first().map(|item| parse(&item.value));
            if got != listed {
                return Err(format!("D6: get says {got:?}, list says {listed:?}"));
            }
        }
        Ok(())
    }

    async fn become_equal(&self, dual: &DualWriter) -> Result<(), String> {
        for _ in 0..SYNCS {
            let report = dual.sync(&kind(), &mut |_| {}).await;
            if report.is_ok_and(|report| report.complete) {
                return self.are_equal().await;
            }
            // Another process held the lease when it died.
            self.skip(SYNC_LEASE_OVER);
        }
        Err("D9: a sync is never complete although nothing fails".into())
    }

    /// D8: both stores have the same.
    async fn are_equal(&self) -> Result<(), String> {
        for number in 0..KEYS {
            let (legacy, unified) = (
                value(&self.legacy, number).await,
                value(&self.unified, number).await,
            );
            if legacy != unified {
                return Err(format!("D8: legacy {legacy:?}, unified {unified:?}"));
            }
        }
        Ok(())
    }
}

async fn value(store: &Memory, number: usize) -> Option<u64> {
    let stored = store.get(&key(number), None).await;
    let stored = stored.expect("memory answers");
    stored.map(|stored| parse(&stored.value))
}

/// D18: no value is in a store's history twice.
async fn check_history(dual: &DualWriter) -> Result<(), String> {
    let query = ListQuery::history(kind().scope(), Order::Ascending);
    let history = dual.list(&query).await.map_err(|e| format!("{e:?}"))?;
    let mut seen = BTreeMap::new();
    for item in &history.items {
        if item.kind == ChangeKind::Deleted {
            continue;
        }
        let value = parse(&item.value);
        if let Some(before) = seen.insert(value, item.revision) {
            let again = item.revision;
            return Err(format!(
                "D18: value {value} was written at {before} and {again}"
            ));
        }
    }
    Ok(())
}
