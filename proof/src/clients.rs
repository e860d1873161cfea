use std::time::Duration;

use conformance::linearizability::{Answer, Request};
use storage_core::{
    Error, ListQuery, Op, Outcome, Precondition, Result, Revision, StorageBackend,
    StorageBackendExt, Transaction, Write,
};
use tokio::time::{sleep, timeout};

use crate::connection::Life;
use crate::world::{KEYS, Process, World, key, kind, parse};

/// How long a client waits for an answer.
const CALL_BOUND: Duration = Duration::from_secs(4);
/// How long one waits that goes away in the middle, at most, in ms: a few calls of the stores.
const SHORT_BOUND_MS: usize = 16;

#[derive(Clone, Copy)]
enum Change {
    Update,
    Delete,
}

pub(crate) fn write(expected: Option<u64>, new: Option<u64>) -> Request {
    Request::CompareAndSet { expected, new }
}

impl World {
    /// Reads and writes, each time by some process.
    pub(crate) async fn client(&self, operations: usize) -> Result<(), String> {
        let mut newest = Revision::ZERO;
        for _ in 0..operations {
            sleep(Duration::from_millis(self.chance.roll(60) as u64)).await;
            let process = self.pick().await?;
            let number = self.chance.roll(KEYS);
            self.count();
            match self.chance.roll(9) {
                0 | 1 => self.read(&process, number).await,
                2 => self.list(&process, &mut newest).await?,
                3 | 4 => self.create(&process, number).await,
                5 | 6 => self.change_it(&process, number, Change::Update).await,
                7 => self.change_it(&process, number, Change::Delete).await,
                _ => self.change_all(&process).await,
            }
        }
        Ok(())
    }

    /// Returns an answer, unless the client went away before it came.
    async fn answered<T>(
        &self,
        life: &Life,
        call: impl Future<Output = Result<T>>,
    ) -> Option<Result<T>> {
        let patience = match self.chance.roll(12) {
            0 => Duration::from_millis(self.chance.roll(SHORT_BOUND_MS) as u64),
            _ => CALL_BOUND,
        };
        tokio::select! {
            biased;
            answer = timeout(patience, call) => answer.ok(),
            () = life.ended() => None,
        }
    }

    async fn read(&self, process: &Process, number: usize) {
        let call = self.histories.tick();
        let key = key(number);
        let answer = self
            .answered(&process.life, process.dual.get(&key, None))
            .await;
        if let Some(Ok(stored)) = answer {
            let value = stored.map(|stored| parse(&stored.value));
            let answer = Answer::Value(value);
            self.histories.record(number, Request::Read, call, answer);
        }
    }

    async fn list(&self, process: &Process, newest: &mut Revision) -> Result<(), String> {
        let call = self.histories.tick();
        let query = ListQuery::live(kind().scope());
        let Some(Ok(page)) = self
            .answered(&process.life, process.dual.list(&query))
            .await
        else {
            return Ok(());
        };
        for number in 0..KEYS {
            let item = page.items.iter().find(|item| item.key == key(number));
            let answer = Answer::Value(item.map(|item| parse(&item.value)));
            self.histories.record(number, Request::Read, call, answer);
        }
        if page.revision < *newest {
            let (now, before) = (page.revision, *newest);
            return Err(format!(
                "revisions step back: a list at {now} after one at {before}"
            ));
        }
        *newest = page.revision;
        Ok(())
    }

    async fn create(&self, process: &Process, number: usize) {
        let value = self.histories.fresh();
        let put = Transaction::put(key(number), Precondition::Absent, value.to_string());
        self.write(process, number, write(None, Some(value)), put)
            .await;
    }

    async fn change_it(&self, process: &Process, number: usize, change: Change) {
        let call = self.histories.tick();
        let key = key(number);
        let read = self
            .answered(&process.life, process.dual.get(&key, None))
            .await;
        let Some(Ok(stored)) = read else {
            return;
        };
        let value = stored.as_ref().map(|stored| parse(&stored.value));
        let answer = Answer::Value(value);
        self.histories.record(number, Request::Read, call, answer);
        let Some(stored) = stored else {
            return;
        };
        if self.chance.roll(3) == 0 {
            sleep(Duration::from_millis(self.chance.roll(400) as u64)).await;
        }
        let at = Precondition::Revision(stored.revision);
        match change {
            Change::Update => {
                let new = self.histories.fresh();
                let put = Transaction::put(key, at, new.to_string());
                self.write(process, number, write(value, Some(new)), put)
                    .await;
            }
            Change::Delete => {
                let delete = Transaction::delete(key, at, "deleted");
                self.write(process, number, write(value, None), delete)
                    .await;
            }
        }
    }

    /// Looks at all objects and writes them with one transaction: creates what is not there, and
    /// updates, deletes or only checks the others.
    async fn change_all(&self, process: &Process) {
        let mut transaction = Transaction::default();
        let mut requests = Vec::new();
        for number in 0..KEYS {
            let call = self.histories.tick();
            let key = key(number);
            let read = process.dual.get(&key, None);
            let Some(Ok(stored)) = self.answered(&process.life, read).await else {
                return;
            };
            let value = stored.as_ref().map(|stored| parse(&stored.value));
            let answer = Answer::Value(value);
            self.histories.record(number, Request::Read, call, answer);
            let at = stored.map_or(Precondition::Absent, |it| {
                Precondition::Revision(it.revision)
            });
            let (op, new) = match (value, self.chance.roll(4)) {
                (Some(_), 0) => (Op::Delete("deleted".into()), None),
                (Some(_), 1) => (Op::Check, value),
                (Some(_) | None, _) => {
                    let new = self.histories.fresh();
                    (Op::Put(new.to_string().into()), Some(new))
                }
            };
            requests.push((number, write(value, new)));
            transaction.writes.push(Write {
                key,
                precondition: at,
                op,
            });
        }
        self.write_all(process, &requests, transaction).await;
    }

    async fn write(
        &self,
        process: &Process,
        number: usize,
        request: Request,
        transaction: Transaction,
    ) {
        self.write_all(process, &[(number, request)], transaction)
            .await;
    }

    /// Writes objects, and records for each what was asked.
    async fn write_all(
        &self,
        process: &Process,
        requests: &[(usize, Request)],
        transaction: Transaction,
    ) {
        let call = self.histories.tick();
        let asked = transaction.writes.clone();
        let answer = self
            .answered(&process.life, process.dual.commit_one(transaction))
            .await;
        for ((number, request), asked) in requests.iter().zip(&asked) {
            let answer = told(answer.as_ref(), asked);
            self.histories.record(*number, *request, call, answer);
        }
    }
}

fn told(answer: Option<&Result<Outcome, Error>>, asked: &Write) -> Answer {
    match answer {
        Some(Ok(Outcome::Committed { .. })) => Answer::Set,
        // Another object of the transaction was refused, and so nothing was written.
        Some(Ok(Outcome::Conflict(conflict))) if conflict.key != asked.key => Answer::Failed,
        Some(Ok(Outcome::Conflict(_))) => match asked.precondition {
            // The value may be the expected one, at another revision: the side changed.
            Precondition::Revision(_) => Answer::Failed,
            Precondition::Any | Precondition::Absent | Precondition::Present => Answer::Refused,
        },
        Some(Err(error)) if !error.is_indeterminate() => Answer::Failed,
        Some(Err(_)) | None => Answer::Unknown,
    }
}
