//! Seeded data: the same seed gives the same keys and values.

use bytes::Bytes;
use storage_core::{ResourceKey, Result};

/// The group of all benched objects.
pub const GROUP: &str = "bench.unistore.dev";
/// The resource of all benched objects.
pub const RESOURCE: &str = "widgets";

/// Returns the key of the object with this number.
///
/// # Errors
/// None in practice: the parts are well formed.
pub fn key(number: usize) -> Result<ResourceKey> {
    ResourceKey::new(
        GROUP,
        RESOURCE,
        format!("ns-{:02}", number % 16),
        format!("object-{number:08}"),
    )
}

/// Returns the key of the object with this number among those that are created in a run: none of
/// those that [`key`] names.
///
/// # Errors
/// None in practice: the parts are well formed.
pub fn created_key(number: usize) -> Result<ResourceKey> {
    let namespace = format!("ns-{:02}", number % 16);
    ResourceKey::new(GROUP, RESOURCE, namespace, format!("created-{number:08}"))
}

/// Returns a JSON object of `bytes` bytes, different for each `seed`.
#[must_use]
pub fn value(seed: u64, bytes: usize) -> Bytes {
    let mut text = format!(
        r#"{{"apiVersion":"{GROUP}/v1","kind":"Widget","metadata":{{"name":"w"}},"spec":{{"seed":{seed},"text":""#
    );
    let mut random = Random(seed);
    while text.len() < bytes.saturating_sub(3) {
        text.push(char::from(
            b'a' + u8::try_from(random.below(26)).unwrap_or(0),
        ));
    }
    text.push_str(r#""}}"#);
    Bytes::from(text)
}

/// A small generator of numbers that are the same on every machine (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// Returns the next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `bound`, which must not be zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_asked_size_and_differ() {
        assert_eq!(value(1, 1024).len(), 1024);
        assert_eq!(value(1, 1024), value(1, 1024));
        assert_ne!(value(1, 1024), value(2, 1024));
    }
}
