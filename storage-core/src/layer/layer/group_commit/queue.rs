use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::GroupCommitLimits;
use crate::{Error, ErrorKind, Outcome, Result, Transaction, Write};

pub(super) type Answer = oneshot::Sender<Result<Vec<Outcome>>>;

/// One call of `commit`, waiting for its turn.
pub(super) struct Call<B> {
    /// Each call brings the backend along, so that an idle worker keeps no store open.
    pub(super) inner: Arc<B>,
    pub(super) transactions: Vec<Transaction>,
    pub(super) answer: Answer,
    /// Given back when the call leaves the queue.
    pub(super) room: Room,
}

/// A call's part of the queue's limits.
pub(super) struct Room {
    _transactions: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

/// The calls in front of the worker, bounded by transactions and by bytes.
pub(super) struct Queue<B> {
    /// None once closed.
    calls: Mutex<Option<mpsc::Sender<Call<B>>>>,
    transactions: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    waiting: Semaphore,
    limits: GroupCommitLimits,
}

impl<B> Queue<B> {
    pub(super) fn new(limits: GroupCommitLimits) -> (Self, mpsc::Receiver<Call<B>>) {
        // Permits are counted in u32, and nothing could pass a limit of zero.
        let permits = |limit: usize| limit.clamp(1, u32::MAX as usize);
        let limits = GroupCommitLimits {
            queue_transactions: permits(limits.queue_transactions),
            queue_bytes: permits(limits.queue_bytes),
            waiting: limits.waiting.min(Semaphore::MAX_PERMITS),
            ..limits
        };
        let (sender, receiver) = mpsc::channel(limits.queue_transactions);
        let queue = Self {
            calls: Mutex::new(Some(sender)),
            transactions: Arc::new(Semaphore::new(limits.queue_transactions)),
            bytes: Arc::new(Semaphore::new(limits.queue_bytes)),
            waiting: Semaphore::new(limits.waiting),
            limits,
        };
        (queue, receiver)
    }

    /// Queues a call, when there is room for it. Until it returns, nothing was queued.
    pub(super) async fn push(
        &self,
        inner: &Arc<B>,
        transactions: Vec<Transaction>,
    ) -> Result<oneshot::Receiver<Result<Vec<Outcome>>>> {
        let room = self.room(&transactions).await?;
        let (answer, receiver) = oneshot::channel();
        let call = Call {
            inner: Arc::clone(inner),
            transactions,
            answer,
            room,
        };
        let calls = self.calls.lock();
        let sent = calls.as_ref().map(|calls| calls.try_send(call));
        match sent {
            Some(Ok(())) => Ok(receiver),
            // Every call has room for a transaction at least, so the channel is never full.
            Some(Err(_)) | None => Err(shut_down()),
        }
    }

    pub(super) fn close(&self) {
        self.calls.lock().take();
        self.transactions.close();
        self.bytes.close();
    }

    async fn room(&self, transactions: &[Transaction]) -> Result<Room> {
        let count = transactions.len().max(1);
        let bytes: usize = transactions
            .iter()
            .flat_map(|t| &t.writes)
            .map(write_bytes)
            .sum();
        let count = permits(count, self.limits.queue_transactions);
        let bytes = permits(bytes, self.limits.queue_bytes);
        if let Some(room) = self.room_now(count, bytes) {
            return Ok(room);
        }
        if self.transactions.is_closed() {
            return Err(shut_down());
        }
        let _waiting = self.waiting.try_acquire().map_err(|_| self.overloaded())?;
        let room = self.wait_for_room(count, bytes).await;
        room.map_err(|_| shut_down())
    }

    fn room_now(&self, count: u32, bytes: u32) -> Option<Room> {
        let transactions = Arc::clone(&self.transactions);
        let transactions = transactions.try_acquire_many_owned(count).ok()?;
        let bytes = Arc::clone(&self.bytes).try_acquire_many_owned(bytes).ok()?;
        Some(Room {
            _transactions: transactions,
            _bytes: bytes,
        })
    }

    async fn wait_for_room(&self, count: u32, bytes: u32) -> Result<Room, AcquireError> {
        // Always in this order: two callers cannot wait for each other.
        let transactions = Arc::clone(&self.transactions);
        let transactions = transactions.acquire_many_owned(count).await?;
        let bytes = Arc::clone(&self.bytes).acquire_many_owned(bytes).await?;
        Ok(Room {
            _transactions: transactions,
            _bytes: bytes,
        })
    }

    fn overloaded(&self) -> Error {
        let context = format!(
            "the queue of {} transactions and {} bytes is full and {} callers wait for room",
            self.limits.queue_transactions, self.limits.queue_bytes, self.limits.waiting
        );
        Error::new(ErrorKind::Overloaded, "commit", context)
    }
}

/// A call that is larger than the whole queue takes all of it.
fn permits(wanted: usize, limit: usize) -> u32 {
    u32::try_from(wanted.min(limit)).unwrap_or(u32::MAX)
}

fn write_bytes(write: &Write) -> usize {
    let key = &write.key;
    let value = write.op.value().map_or(0, bytes::Bytes::len);
    value + key.group().len() + key.resource().len() + key.namespace().len() + key.name().len()
}

fn shut_down() -> Error {
    let context = "the queue of commits is shut down";
    Error::new(ErrorKind::Unavailable, "commit", context)
}
