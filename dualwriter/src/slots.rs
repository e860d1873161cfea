use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use storage_core::ResourceKey;
use tokio::sync::watch;

/// Which objects this process is writing now. It spares writers of one process from running into
/// each other's intents; safety does not rest on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots(Arc<Mutex<HashMap<ResourceKey, watch::Sender<()>>>>);

impl Slots {
    /// Takes the slots of all keys, or tells when to try again.
    pub(crate) fn try_take(&self, keys: &[ResourceKey]) -> Result<Taken, watch::Receiver<()>> {
        let mut slots = self.0.lock();
        for key in keys {
            if let Some(taken) = slots.get(key) {
                return Err(taken.subscribe());
            }
        }
        for key in keys {
            slots.insert(key.clone(), watch::Sender::new(()));
        }
        Ok(Taken {
            slots: Arc::clone(&self.0),
            keys: keys.to_vec(),
        })
    }

    /// Takes the slots of all keys as soon as they are free.
    pub(crate) async fn take(&self, keys: &[ResourceKey]) -> Taken {
        loop {
            match self.try_take(keys) {
                Ok(taken) => return taken,
                Err(mut freed) => {
                    // The sender is dropped when the slot is free.
                    let _ = freed.changed().await;
                }
            }
        }
    }

    pub(crate) fn is_taken(&self, key: &ResourceKey) -> bool {
        self.0.lock().contains_key(key)
    }
}

/// Slots that are taken; dropping it frees them.
#[derive(Debug)]
pub(crate) struct Taken {
    slots: Arc<Mutex<HashMap<ResourceKey, watch::Sender<()>>>>,
    keys: Vec<ResourceKey>,
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut slots = self.slots.lock();
        for key in &self.keys {
            slots.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ResourceKey {
        ResourceKey::new("g", "r", "", name).unwrap()
    }

    #[test]
    fn all_or_none_are_taken() {
        let slots = Slots::default();
        let first = slots.try_take(&[key("a"), key("b")]).unwrap();
        assert!(slots.try_take(&[key("c"), key("b")]).is_err());
        assert!(!slots.is_taken(&key("c")));
        drop(first);
        assert!(slots.try_take(&[key("c"), key("b")]).is_ok());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_waits_gets_a_freed_slot() {
        let slots = Slots::default();
        let first = slots.take(&[key("a")]).await;
        let second = tokio::spawn({
            let slots = slots.clone();
            async move { slots.take(&[key("a")]).await.keys.len() }
        });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        drop(first);
        assert_eq!(second.await.unwrap(), 1);
    }
}
