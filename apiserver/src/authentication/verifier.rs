use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::{BasicCredential, PasswordHash};
use crate::limits::{VERIFICATIONS_MAX, VERIFICATIONS_WAITING_MAX, VERIFIED_MAX, VERIFIED_TIME};
use crate::status::Status;
use crate::{ServerError, User};

/// Verifies passwords: off the async threads, a few at a time, and once for many requests.
///
/// A password that matched is remembered for a while under a hash that only this process can
/// compute, since kubectl sends it with each of its requests. One that did not match is never
/// remembered. An unknown user costs the same work as a known one.
pub(super) struct Verifier {
    users: HashMap<String, BasicCredential>,
    /// What an unknown user's password is compared with.
    decoy: OnceLock<Option<PasswordHash>>,
    salt: [u8; 16],
    verified: Mutex<HashMap<[u8; 32], Verified>>,
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

struct Verified {
    user: User,
    until: Instant,
}

impl Verifier {
    pub(super) fn new(users: Vec<BasicCredential>) -> Result<Self, ServerError> {
        let users = users.into_iter().map(|c| (c.user.name.clone(), c));
        let mut salt = [0; 16];
        getrandom::fill(&mut salt)
            .map_err(|error| ServerError::Credential(format!("no randomness: {error}")))?;
        Ok(Self {
            users: users.collect(),
            decoy: OnceLock::new(),
            salt,
            verified: Mutex::default(),
            running: Arc::new(Semaphore::new(VERIFICATIONS_MAX)),
            waiting: Arc::new(Semaphore::new(VERIFICATIONS_WAITING_MAX)),
        })
    }

    pub(super) fn has_users(&self) -> bool {
        !self.users.is_empty()
    }

    /// Returns the user, or none if there is no such user or it is not their password.
    pub(super) async fn verify(
        self: &Arc<Self>,
        name: String,
        password: String,
    ) -> Result<Option<User>, Status> {
        if !self.has_users() {
            return Ok(None);
        }
        let key = self.key(&name, &password);
        if let Some(user) = self.recall(&key) {
            return Ok(Some(user));
        }
        let Ok(_place) = Arc::clone(&self.waiting).try_acquire_owned() else {
            return Err(Status::too_many_requests());
        };
        let Ok(turn) = Arc::clone(&self.running).acquire_owned().await else {
            return Err(Status::internal("password verification has ended"));
        };
        // Others with the same password may have waited in front.
        if let Some(user) = self.recall(&key) {
            return Ok(Some(user));
        }
        let this = Arc::clone(self);
        let work = move || {
            let user = this.compare(&name, &password);
            drop(turn);
            user
        };
        let user = tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| Status::internal("password verification failed"))?;
        if let Some(user) = &user {
            self.remember(key, user.clone());
        }
        Ok(user)
    }

    fn compare(&self, name: &str, password: &str) -> Option<User> {
        match self.users.get(name) {
            Some(credential) => credential
                .password
                .matches(password)
                .then(|| credential.user.clone()),
            None => {
                let decoy = self.decoy.get_or_init(|| PasswordHash::of("decoy").ok());
                let _ = decoy.as_ref().map(|hash| hash.matches(password));
                None
            }
        }
    }

    fn key(&self, name: &str, password: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.salt);
        hash.update(name.len().to_le_bytes());
        hash.update(name);
        hash.update(password);
        hash.finalize().into()
    }

    fn recall(&self, key: &[u8; 32]) -> Option<User> {
        let verified = self.verified.lock();
        let entry = verified.get(key)?;
        (entry.until > Instant::now()).then(|| entry.user.clone())
    }

    fn remember(&self, key: [u8; 32], user: User) {
        let now = Instant::now();
        let mut verified = self.verified.lock();
        if verified.len() >= VERIFIED_MAX {
            verified.retain(|_, entry| entry.until > now);
        }
        if verified.len() < VERIFIED_MAX {
            let until = now + VERIFIED_TIME;
            verified.insert(key, Verified { user, until });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verifier() -> Arc<Verifier> {
        let ann = BasicCredential {
            user: User::new("ann"),
            password: PasswordHash::of("secret").unwrap(),
        };
        Arc::new(Verifier::new(vec![ann]).unwrap())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_match_is_remembered_and_a_miss_is_not() {
        let verifier = verifier();
        let verify = |password: &str| verifier.verify("ann".into(), password.into());
        assert!(verify("wrong").await.unwrap().is_none());
        assert_eq!(verifier.verified.lock().len(), 0);
        assert!(verify("secret").await.unwrap().is_some());
        assert!(verifier.recall(&verifier.key("ann", "secret")).is_some());
        assert!(verifier.recall(&verifier.key("ann", "wrong")).is_none());
        assert!(verifier.recall(&verifier.key("an", "nsecret")).is_none());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_crowd_is_asked_to_come_back() {
        let verifier = verifier();
        let _all = Arc::clone(&verifier.waiting)
            .acquire_many_owned(u32::try_from(VERIFICATIONS_WAITING_MAX).unwrap())
            .await
            .unwrap();
        let refused = verifier.verify("ann".into(), "secret".into()).await;
        assert_eq!(refused.unwrap_err().code(), 429);
    }
}
