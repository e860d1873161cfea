use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::sync::mpsc;

use super::queue::{Answer, Call};
use crate::layer::observe::name;
use crate::limits::{COMMIT_BYTES_MAX, TRANSACTIONS_PER_COMMIT_MAX};
use crate::{Error, ErrorKind, Outcome, Result, StorageBackend, Transaction};

/// Commits what is queued, one batch at a time, until the queue is closed and empty.
pub(super) async fn run<B: StorageBackend>(mut calls: mpsc::Receiver<Call<B>>, regroup: Duration) {
    let mut left_over = None;
    let mut last = Committed::default();
    loop {
        let first = match left_over.take() {
            Some(call) => call,
            None => match calls.recv().await {
                Some(call) => call,
                None => return,
            },
        };
        await_return(&calls, last, regroup).await;
        let mut batch = Batch::new(first);
        while let Ok(call) = calls.try_recv() {
            left_over = batch.push(call);
            if left_over.is_some() {
                break;
            }
        }
        let started = Instant::now();
        let answers = batch.commit().await;
        let waiting = calls.len() + usize::from(left_over.is_some());
        last = Committed {
            expected: (waiting + answers.len()).min(TRANSACTIONS_PER_COMMIT_MAX),
            took: started.elapsed(),
        };
        for (answer, result) in answers {
            // A caller that went away does not want to know.
            let _ = answer.send(result);
        }
    }
}

/// Lets those whose calls were just answered come back, after the first one of them did.
///
/// Without it the first one back commits alone while all others queue behind it, and the writers
/// fall into two groups that take turns. It ends when none of them came for the time `regroup`, or
/// a yield took that long, and after a quarter of the time that the last commit took. Yields instead of sleeping: timers
/// are too coarse.
async fn await_return<B>(calls: &mpsc::Receiver<Call<B>>, last: Committed, regroup: Duration) {
    let started = Instant::now();
    let most = regroup.max(last.took / 4);
    let (mut queued, mut arrived) = (calls.len(), started);
    while queued + 1 < last.expected && !calls.is_closed() {
        let now = Instant::now();
        if now - arrived >= regroup || now - started >= most {
            return;
        }
        tokio::task::yield_now().await;
        // The time of the yield counts as without an arrival: who counted from its end waited longer,
        // for callers that are at another store by then.
        if calls.len() > queued {
            (queued, arrived) = (calls.len(), now);
        }
    }
}

/// What the last commit was.
#[derive(Clone, Copy, Debug, Default)]
struct Committed {
    /// The calls that it answered, and those that had queued meanwhile.
    expected: usize,
    took: Duration,
}

/// The error of a caller whose answer got lost.
pub(super) fn gone() -> Error {
    let context = "group commit was stopped before the answer";
    Error::new(ErrorKind::Indeterminate, "commit", context)
}

/// Calls that share one commit of the inner backend.
struct Batch<B> {
    inner: Arc<B>,
    transactions: Vec<Transaction>,
    bytes: usize,
    members: Vec<Member>,
}

/// Who waits for how many of the outcomes, in the order of the transactions.
struct Member {
    transactions: usize,
    answer: Answer,
}

impl<B: StorageBackend> Batch<B> {
    fn new(first: Call<B>) -> Self {
        let mut batch = Self {
            inner: Arc::clone(&first.inner),
            transactions: Vec::new(),
            bytes: 0,
            members: Vec::new(),
        };
        batch.take(value_bytes(&first), first);
        batch
    }

    /// Adds a call, or returns it when the batch would break a limit of `commit`.
    fn push(&mut self, call: Call<B>) -> Option<Call<B>> {
        let bytes = value_bytes(&call);
        let transactions = self.transactions.len() + call.transactions.len();
        if transactions > TRANSACTIONS_PER_COMMIT_MAX || self.bytes + bytes > COMMIT_BYTES_MAX {
            return Some(call);
        }
        self.take(bytes, call);
        None
    }

    fn take(&mut self, bytes: usize, call: Call<B>) {
        self.bytes += bytes;
        self.members.push(Member {
            transactions: call.transactions.len(),
            answer: call.answer,
        });
        self.transactions.extend(call.transactions);
        drop(call.room);
    }

    /// Commits and returns what each caller is to be told.
    async fn commit(self) -> Vec<(Answer, Result<Vec<Outcome>>)> {
        let Self {
            inner,
            transactions,
            members,
            ..
        } = self;
        #[expect(clippy::cast_precision_loss, reason = "at most 1024")]
        metrics::histogram!(name::GROUP).record(transactions.len() as f64);
        // For the case that the store refuses one of several calls. The values are shared.
        let kept = (members.len() > 1).then(|| transactions.clone());
        let result = commit(&*inner, transactions).await;
        let results = match (kept, result) {
            (Some(kept), Err(error)) if is_of_one_call(error.kind()) => {
                commit_each(&*inner, kept, &members).await
            }
            (_, result) => share(result, &members),
        };
        // First, so that who has the answer can drop the layer and open the store again.
        drop(inner);
        let answers = members.into_iter().map(|member| member.answer);
        answers.zip(results).collect()
    }
}

/// Commits, and turns whatever the backend does into an answer.
async fn commit<B: StorageBackend>(
    inner: &B,
    transactions: Vec<Transaction>,
) -> Result<Vec<Outcome>> {
    let expected = transactions.len();
    let commit = AssertUnwindSafe(async { inner.commit(transactions).await });
    let unknown = |context: String| Err(Error::new(ErrorKind::Indeterminate, "commit", context));
    match commit.catch_unwind().await {
        Ok(Ok(outcomes)) if outcomes.len() != expected => unknown(format!(
            "the store answered {} outcomes for {expected} transactions",
            outcomes.len()
        )),
        Ok(result) => result,
        Err(_) => unknown("the store panicked".into()),
    }
}

/// Tells whether such an error is about what one of the calls asks, and not about the store.
const fn is_of_one_call(kind: ErrorKind) -> bool {
    match kind {
        // Reading a record that a precondition names finds it corrupt.
        ErrorKind::Invalid | ErrorKind::TooLarge | ErrorKind::Unsupported | ErrorKind::Corrupt => {
            true
        }
        ErrorKind::NotFound
        | ErrorKind::AlreadyExists
        | ErrorKind::Conflict
        | ErrorKind::Expired
        | ErrorKind::FutureRevision
        | ErrorKind::Overloaded
        | ErrorKind::Unavailable
        | ErrorKind::Indeterminate
        | ErrorKind::Internal => false,
    }
}

async fn commit_each<B: StorageBackend>(
    inner: &B,
    mut transactions: Vec<Transaction>,
    members: &[Member],
) -> Vec<Result<Vec<Outcome>>> {
    let mut results = Vec::with_capacity(members.len());
    for member in members {
        let own = transactions.drain(..member.transactions).collect();
        results.push(commit(inner, own).await);
    }
    results
}

/// Gives each member its part of the outcomes, or a clone of the error.
fn share(result: Result<Vec<Outcome>>, members: &[Member]) -> Vec<Result<Vec<Outcome>>> {
    match result {
        Ok(outcomes) => {
            let mut outcomes = outcomes.into_iter();
            let own = |member: &Member| outcomes.by_ref().take(member.transactions).collect();
            members.iter().map(own).map(Ok).collect()
        }
        Err(error) => vec![Err(error); members.len()],
    }
}

fn value_bytes<B>(call: &Call<B>) -> usize {
    call.transactions.iter().map(Transaction::value_bytes).sum()
}
