use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Limits;
use crate::status::Status;

/// Counts the requests that are being answered, and refuses those beyond a limit at once: a
/// queue would only hide the load from the client.
#[derive(Debug)]
pub(crate) struct InFlight {
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    watches: Arc<Semaphore>,
    watches_per_user: usize,
    watches_by_user: Arc<Mutex<HashMap<String, usize>>>,
}

/// How a request counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    Read,
    Write,
    Watch,
}

impl Load {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Read => "readOnly",
            Self::Write => "mutating",
            Self::Watch => "watch",
        }
    }
}

/// Room for one request, given back when dropped.
#[derive(Debug)]
pub(crate) struct Room {
    _permit: OwnedSemaphorePermit,
    _user: Option<WatchOfUser>,
}

impl InFlight {
    pub(crate) fn new(limits: &Limits) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits));
        Self {
            reads: semaphore(limits.reads_in_flight),
            writes: semaphore(limits.writes_in_flight),
            watches: semaphore(limits.watches),
            watches_per_user: limits.watches_per_user,
            watches_by_user: Arc::default(),
        }
    }

    /// Makes room for a request, or refuses it with 429.
    pub(crate) fn admit(&self, load: Load, user: &str) -> Result<Room, Status> {
        let (semaphore, user) = match load {
            Load::Read => (&self.reads, None),
            Load::Write => (&self.writes, None),
            Load::Watch => (&self.watches, Some(self.count_watch(user)?)),
        };
        let permit = Arc::clone(semaphore)
            .try_acquire_owned()
            .map_err(|_| Status::too_many_requests())?;
        Ok(Room {
            _permit: permit,
            _user: user,
        })
    }

    fn count_watch(&self, user: &str) -> Result<WatchOfUser, Status> {
        let mut counts = self.watches_by_user.lock();
        let count = counts.entry(user.to_owned()).or_default();
        if *count >= self.watches_per_user {
            return Err(Status::too_many_requests());
        }
        *count += 1;
        Ok(WatchOfUser {
            counts: Arc::clone(&self.watches_by_user),
            user: user.to_owned(),
        })
    }
}

#[derive(Debug)]
struct WatchOfUser {
    counts: Arc<Mutex<HashMap<String, usize>>>,
    user: String,
}

impl Drop for WatchOfUser {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        if let Some(count) = counts.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_load_has_its_own_room() {
        let limits = Limits {
            reads_in_flight: 1,
            writes_in_flight: 1,
            watches: 2,
            watches_per_user: 1,
            ..Limits::default()
        };
        let in_flight = InFlight::new(&limits);
        let read = in_flight.admit(Load::Read, "a").unwrap();
        let _write = in_flight.admit(Load::Write, "a").unwrap();
        assert_eq!(in_flight.admit(Load::Read, "b").unwrap_err().code(), 429);
        drop(read);
        assert!(in_flight.admit(Load::Read, "b").is_ok());

        let watch = in_flight.admit(Load::Watch, "a").unwrap();
        assert_eq!(in_flight.admit(Load::Watch, "a").unwrap_err().code(), 429);
        let _other = in_flight.admit(Load::Watch, "b").unwrap();
        assert_eq!(in_flight.admit(Load::Watch, "c").unwrap_err().code(), 429);
        drop(watch);
        assert!(in_flight.admit(Load::Watch, "a").is_ok());
        assert_eq!(in_flight.watches_by_user.lock().len(), 1);
    }
}
