use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::ServerError;

/// The SHA-256 of a bearer token. A token is long and random, so a fast hash is enough.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Reads 64 hexadecimal digits.
    ///
    /// # Errors
    /// `Credential` if the text is anything else.
    pub fn parse(hex: &str) -> Result<Self, ServerError> {
        let refuse = || ServerError::Credential("a token hash must be 64 hex digits".into());
        if hex.len() != 64 || !hex.is_ascii() {
            return Err(refuse());
        }
        let mut hash = [0; 32];
        for (index, byte) in hash.iter_mut().enumerate() {
            let digits = &hex[index * 2..index * 2 + 2];
            if digits.starts_with('+') {
                return Err(refuse());
            }
            *byte = u8::from_str_radix(digits, 16).map_err(|_| refuse())?;
        }
        Ok(Self(hash))
    }

    /// Hashes a token.
    #[must_use]
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Returns the text form, for a configuration file.
    #[must_use]
    pub fn to_hex(&self) -> String {
        crate::hex::lower(&self.0)
    }

    /// Compares in constant time.
    pub(super) fn equals(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_comes_back() {
        let hash = TokenHash::of("token");
        assert_eq!(TokenHash::parse(&hash.to_hex()).unwrap(), hash);
        assert!(hash.equals(&TokenHash::of("token")));
        assert!(!hash.equals(&TokenHash::of("Token")));
        for text in ["", "zz", &"g".repeat(64), &"+1".repeat(32), &"ä".repeat(32)] {
            assert!(TokenHash::parse(text).is_err(), "{text}");
        }
    }
}
