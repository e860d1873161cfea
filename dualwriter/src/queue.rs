use std::collections::BTreeMap;

use parking_lot::Mutex;
use storage_core::ResourceKey;
use tokio::sync::Notify;

use crate::{Kind, observe};

/// Most objects that wait for the background.
pub const QUEUE_OBJECTS_MAX: usize = 10_000;

/// What mode 1 has to do in the background: objects, not versions. Whoever takes one out reads the
/// newest version of it.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Notify,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    objects: BTreeMap<ResourceKey, Task>,
    /// Writes that did not fit in: the sync has to find them.
    overflowed: Vec<ResourceKey>,
    /// What was taken last is not done yet.
    at_work: bool,
}

/// What to do with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Task {
    /// Compare both stores.
    Compare,
    /// Make unified equal to legacy.
    Write,
}

impl Queue {
    /// Queues objects that were written. Never waits: legacy is not slowed down by unified.
    pub(crate) fn push_writes(&self, keys: impl Iterator<Item = ResourceKey>) {
        let mut waiting = self.waiting.lock();
        for key in keys {
            if waiting.objects.len() < QUEUE_OBJECTS_MAX || waiting.objects.contains_key(&key) {
                waiting.objects.insert(key, Task::Write);
            } else {
                observe::background_error("overflow");
                if waiting.overflowed.len() < QUEUE_OBJECTS_MAX {
                    waiting.overflowed.push(key);
                }
            }
        }
        observe::queue_depth(waiting.objects.len());
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Queues an object that was read, unless the queue is busy.
    pub(crate) fn push_comparison(&self, key: &ResourceKey) {
        let mut waiting = self.waiting.lock();
        if waiting.objects.len() < QUEUE_OBJECTS_MAX / 2 && !waiting.objects.contains_key(key) {
            waiting.objects.insert(key.clone(), Task::Compare);
            drop(waiting);
            self.arrived.notify_one();
        }
    }

    /// Takes out some objects, and those that did not fit in. What was taken before is done.
    pub(crate) fn take(&self, objects_max: usize) -> (Vec<(ResourceKey, Task)>, Vec<ResourceKey>) {
        let mut waiting = self.waiting.lock();
        let mut taken = Vec::new();
        while taken.len() < objects_max {
            let Some(first) = waiting.objects.pop_first() else {
                break;
            };
            taken.push(first);
        }
        observe::queue_depth(waiting.objects.len());
        waiting.at_work = !taken.is_empty();
        if taken.is_empty() {
            self.emptied.notify_waiters();
        }
        (taken, std::mem::take(&mut waiting.overflowed))
    }

    /// Waits until nothing is queued and what was taken is done, which is when more is asked for.
    pub(crate) async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            {
                let waiting = self.waiting.lock();
                if waiting.objects.is_empty() && !waiting.at_work {
                    return;
                }
            }
            emptied.await;
        }
    }

    /// Counts the objects of a kind that wait.
    pub(crate) fn depth_of(&self, kind: &Kind) -> usize {
        let waiting = self.waiting.lock();
        let of_kind =
            |key: &&ResourceKey| key.group() == kind.group() && key.resource() == kind.resource();
        waiting.objects.keys().filter(of_kind).count()
    }

    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> ResourceKey {
        ResourceKey::new("g", "r", "", format!("{number}")).unwrap()
    }

    #[test]
    fn an_object_waits_once_and_a_write_outweighs_a_comparison() {
        let queue = Queue::default();
        queue.push_comparison(&key(1));
        queue.push_writes([key(1), key(1)].into_iter());
        queue.push_comparison(&key(1));
        let (taken, overflowed) = queue.take(10);
        assert_eq!(taken, [(key(1), Task::Write)]);
        assert!(overflowed.is_empty());
    }

    #[tokio::test]
    async fn it_is_empty_when_what_was_taken_is_done() {
        let queue = Queue::default();
        queue.emptied().await;
        queue.push_writes(std::iter::once(key(1)));
        let mut emptied = std::pin::pin!(queue.emptied());
        assert!(futures::poll!(&mut emptied).is_pending());
        queue.take(10);
        assert!(futures::poll!(&mut emptied).is_pending());
        queue.take(10);
        emptied.await;
    }

    #[test]
    fn an_overflow_is_told() {
        let queue = Queue::default();
        queue.push_writes((0..QUEUE_OBJECTS_MAX).map(key));
        queue.push_writes([key(0), key(QUEUE_OBJECTS_MAX)].into_iter());
        let (taken, overflowed) = queue.take(usize::MAX);
        assert_eq!(taken.len(), QUEUE_OBJECTS_MAX);
        assert_eq!(overflowed, [key(QUEUE_OBJECTS_MAX)]);
        assert_eq!(queue.depth_of(&Kind::new("g", "r")), 0);
    }
}
