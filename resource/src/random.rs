use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};
use storage_core::OperationId;

use crate::{Failure, Result};

/// Gives random bytes. Tests replace it, nothing else asks the system.
pub trait Random: fmt::Debug + Send + Sync + 'static {
    /// Fills a buffer.
    ///
    /// # Errors
    /// `InternalError` if the system has no randomness to give.
    fn fill(&self, bytes: &mut [u8]) -> Result<()>;
}

/// The randomness of the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsRandom;

impl Random for OsRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<()> {
        getrandom::fill(bytes)
            .map_err(|error| Failure::internal(format!("no random bytes: {error}")))
    }
}

/// Bytes that look random and are the same in every run: for tests.
#[derive(Debug)]
pub struct SeededRandom {
    seed: u64,
    blocks: AtomicU64,
}

impl SeededRandom {
    /// Creates a source; equal seeds give equal bytes.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            blocks: AtomicU64::new(0),
        }
    }
}

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<()> {
        for chunk in bytes.chunks_mut(32) {
            let block = self.blocks.fetch_add(1, Ordering::Relaxed);
            let mut hash = Sha256::new();
            hash.update(self.seed.to_be_bytes());
            hash.update(block.to_be_bytes());
            chunk.copy_from_slice(&hash.finalize()[..chunk.len()]);
        }
        Ok(())
    }
}

/// The letters of generated names: no vowels, so that no words appear, and nothing that is easily
/// taken for something else.
const NAME_LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
const NAME_LETTERS_COUNT: usize = 5;

/// Returns the random end of a generated name.
pub(crate) fn name_suffix(random: &dyn Random) -> Result<String> {
    let mut bytes = [0; NAME_LETTERS_COUNT * 2];
    random.fill(&mut bytes)?;
    let letters = bytes.chunks(2).map(|pair| {
        let number = usize::from(pair[0]) << 8 | usize::from(pair[1]);
        char::from(NAME_LETTERS[number % NAME_LETTERS.len()])
    });
    Ok(letters.collect())
}

/// Returns a random uid.
pub(crate) fn uid(random: &dyn Random) -> Result<String> {
    let mut bytes = [0; 16];
    random.fill(&mut bytes)?;
    Ok(uuid::Builder::from_random_bytes(bytes)
        .into_uuid()
        .to_string())
}

/// Returns a random operation id, never zero.
pub(crate) fn operation(random: &dyn Random) -> Result<OperationId> {
    let mut bytes = [0; 16];
    random.fill(&mut bytes)?;
    Ok(OperationId(u128::from_be_bytes(bytes).max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_repeat_and_calls_differ() {
        let (a, b) = (SeededRandom::new(1), SeededRandom::new(1));
        let first = uid(&a).unwrap();
        assert_eq!(first, uid(&b).unwrap());
        assert_ne!(first, uid(&a).unwrap());
        assert_eq!(first.as_bytes()[14], b'4', "{first} is not a version 4 uid");
        let suffix = name_suffix(&a).unwrap();
        assert!(suffix.bytes().all(|b| NAME_LETTERS.contains(&b)) && suffix.len() == 5);
    }

    #[test]
    fn the_system_gives_bytes() {
        assert_ne!(operation(&OsRandom).unwrap(), operation(&OsRandom).unwrap());
    }
}
