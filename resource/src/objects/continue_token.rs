//! Continue tokens: where a list goes on. Clients keep them as they are; a signature over the token
//! and over what was listed makes sure that they do.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use storage_core::{
    Cursor, Order, Outcome, Precondition, ResourceKey, Revision, Source, StorageBackend,
    StorageBackendExt, Transaction,
};

use crate::limits::CONTINUE_TOKEN_CHARS_MAX;
use crate::{Failure, Random, Result};

const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 32;

/// Signs continue tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenKey([u8; KEY_BYTES]);

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey")
    }
}

impl TokenKey {
    /// Makes a new key. Tokens that it signed are refused by every other key.
    ///
    /// # Errors
    /// `InternalError` if there is no randomness.
    pub fn random(random: &dyn Random) -> Result<Self> {
        let mut key = [0; KEY_BYTES];
        random.fill(&mut key)?;
        Ok(Self(key))
    }

    /// Takes the key of a store, and makes one for a store that has none: every process that
    /// serves the store, now or after a restart, then understands the others' tokens.
    ///
    /// # Errors
    /// Those of the store; `InternalError` if the record is not a key.
    pub async fn load_or_create(backend: &dyn StorageBackend, random: &dyn Random) -> Result<Self> {
        let record = ResourceKey::internal("apiserver", "", "continue-token-key")?;
        let made = Self::random(random)?;
        let put = Transaction::put(
            record.clone(),
            Precondition::Absent,
            Bytes::copy_from_slice(&made.0),
        );
        match backend.commit_one(put).await? {
            Outcome::Committed { .. } => Ok(made),
            Outcome::Conflict(_) => {
                let stored = backend.get(&record, None).await?;
                stored
                    .and_then(|stored| <[u8; KEY_BYTES]>::try_from(&*stored.value).ok())
                    .map(Self)
                    .ok_or_else(|| Failure::internal(format!("{record} is not a key")))
            }
        }
    }

    fn mac(&self, bound_to: &str, payload: &[u8]) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of any length is taken");
        mac.update(&(bound_to.len() as u64).to_be_bytes());
        mac.update(bound_to.as_bytes());
        mac.update(payload);
        mac
    }
}

/// Where a list goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// At which state.
    pub(super) at: State,
    /// After which key, and for a history after which of its revisions.
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) item: Revision,
    /// How many items the pages before had.
    pub(super) seen: u64,
    /// For a history: the life of the object that is shown; zero for all of them.
    pub(super) life: Revision,
}

/// The state that a page is read at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// That of the first page.
    Revision(Revision),
    /// The newest: the first page's is no longer kept.
    Newest,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    v: u8,
    /// The revision; none for the newest state.
    r: Option<u64>,
    ns: String,
    n: String,
    i: u64,
    s: u64,
    l: u64,
}

const FORMAT: u8 = 1;

impl Position {
    /// Takes the place where a page of the store ended.
    pub(super) fn after(cursor: &Cursor, seen: u64, life: Revision) -> Self {
        Self {
            at: State::Revision(cursor.revision),
            namespace: cursor.key.namespace().into(),
            name: cursor.key.name().into(),
            item: cursor.item,
            seen,
            life,
        }
    }

    /// Returns the place for the store; `newest` is the revision of the newest state.
    pub(super) fn cursor(
        &self,
        (group, resource): (&str, &str),
        (source, order): (Source, Order),
        newest: Revision,
    ) -> Result<Cursor> {
        let (namespace, name) = (self.namespace.as_str(), self.name.as_str());
        Ok(Cursor {
            source,
            order,
            revision: match self.at {
                State::Revision(revision) => revision,
                State::Newest => newest,
            },
            key: ResourceKey::new(group, resource, namespace, name)?,
            item: self.item,
        })
    }

    /// Writes a token that is good only for what it is bound to.
    pub(super) fn sign(&self, key: &TokenKey, bound_to: &str) -> Result<String> {
        let payload = Payload {
            v: FORMAT,
            r: match self.at {
                State::Revision(revision) => Some(revision.get()),
                State::Newest => None,
            },
            ns: self.namespace.clone(),
            n: self.name.clone(),
            i: self.item.get(),
            s: self.seen,
            l: self.life.get(),
        };
        let mut bytes = serde_json::to_vec(&payload).map_err(Failure::internal)?;
        let tag = key.mac(bound_to, &bytes).finalize().into_bytes();
        bytes.extend(tag);
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Reads a token.
    pub(super) fn read(token: &str, key: &TokenKey, bound_to: &str) -> Result<Self> {
        let refuse = |why: &str| Failure::bad_request(format!("invalid continue token: {why}"));
        if token.len() > CONTINUE_TOKEN_CHARS_MAX {
            return Err(refuse(&format!(
                "it has more than {CONTINUE_TOKEN_CHARS_MAX} characters"
            )));
        }
        let bytes = URL_SAFE_NO_PAD
            .decode(token)
            .map_err(|_| refuse("it is not base64url without padding"))?;
        let Some(at) = bytes.len().checked_sub(TAG_BYTES) else {
            return Err(refuse("it is too short"));
        };
        let (payload, tag) = bytes.split_at(at);
        // Compares in constant time.
        key.mac(bound_to, payload)
            .verify_slice(tag)
            .map_err(|_| refuse("it was not given out for this list"))?;
        let payload: Payload =
            serde_json::from_slice(payload).map_err(|_| refuse("it cannot be read"))?;
        if payload.v != FORMAT {
            return Err(refuse("it is of another version of this server"));
        }
        Ok(Self {
            at: payload
                .r
                .map_or(State::Newest, |r| State::Revision(Revision::new(r))),
            namespace: payload.ns,
            name: payload.n,
            item: Revision::new(payload.i),
            seen: payload.s,
            life: Revision::new(payload.l),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::SeededRandom;

    fn position() -> Position {
        Position {
            at: State::Revision(Revision::new(7)),
            namespace: "default".into(),
            name: "ü\"x".into(),
            item: Revision::new(3),
            seen: 500,
            life: Revision::new(2),
        }
    }

    #[test]
    fn tokens_round_trip_and_are_bound() {
        let key = TokenKey::random(&SeededRandom::new(1)).unwrap();
        for at in [State::Newest, State::Revision(Revision::new(7))] {
            let position = Position { at, ..position() };
            let token = position.sign(&key, "a").unwrap();
            assert_eq!(Position::read(&token, &key, "a").unwrap(), position);
            let other = TokenKey::random(&SeededRandom::new(2)).unwrap();
            for (key, bound_to) in [(&key, "b"), (&key, ""), (&other, "a")] {
                let failure = Position::read(&token, key, bound_to).unwrap_err();
                assert_eq!(
                    failure.message(),
                    "invalid continue token: it was not given out for this list"
                );
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let key = TokenKey::random(&SeededRandom::new(1)).unwrap();
        let token = position().sign(&key, "a").unwrap();
        let mut flipped = 0;
        for at in 0..token.len() {
            for bit in 0..8 {
                let mut bytes = token.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                let Ok(changed) = String::from_utf8(bytes) else {
                    continue;
                };
                assert!(
                    Position::read(&changed, &key, "a").is_err(),
                    "bit {bit} of {at}"
                );
                flipped += 1;
            }
        }
        assert!(flipped >= token.len() * 7);
    }

    proptest! {
        #[test]
        fn other_texts_are_refused(token in "[A-Za-z0-9_=.\\-]{0,200}") {
            let key = TokenKey::random(&SeededRandom::new(1)).unwrap();
            let failure = Position::read(&token, &key, "a").unwrap_err();
            prop_assert!(failure.message().starts_with("invalid continue token: "));
        }
    }
}
