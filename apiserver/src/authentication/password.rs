use std::fmt;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};

use crate::ServerError;

/// Longest password that is verified.
const PASSWORD_BYTES_MAX: usize = 1_024;

/// An argon2id hash of a password in PHC text form, `$argon2id$v=19$...`, with its salt and cost.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Reads the text form.
    ///
    /// # Errors
    /// `Credential` if it is not an argon2id hash.
    pub fn parse(phc: &str) -> Result<Self, ServerError> {
        let refuse = |why: &str| Err(ServerError::Credential(format!("password hash: {why}")));
        match Phc::new(phc) {
            Err(error) => refuse(&error.to_string()),
            Ok(hash) if hash.algorithm.as_str() != "argon2id" => {
                refuse("the algorithm must be argon2id")
            }
            Ok(hash) if hash.hash.is_none() => refuse("the hash itself is missing"),
            Ok(_) => Ok(Self(phc.to_owned())),
        }
    }

    /// Hashes a password with a random salt. Takes tens of milliseconds on purpose: call it off
    /// the async threads.
    ///
    /// # Errors
    /// `Credential` if the password is empty or too long, or there is no randomness.
    pub fn of(password: &str) -> Result<Self, ServerError> {
        if password.is_empty() || password.len() > PASSWORD_BYTES_MAX {
            return Err(ServerError::Credential(format!(
                "a password must have 1 to {PASSWORD_BYTES_MAX} bytes"
            )));
        }
        Argon2::default()
            .hash_password(password.as_bytes())
            .map(|hash| Self(hash.to_string()))
            .map_err(|error| ServerError::Credential(error.to_string()))
    }

    /// Returns the text form, for a configuration file.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether this is the hash of a password. As slow as [`PasswordHash::of`].
    pub(super) fn matches(&self, password: &str) -> bool {
        if password.len() > PASSWORD_BYTES_MAX {
            return false;
        }
        Phc::new(&self.0).is_ok_and(|hash| {
            Argon2::default()
                .verify_password(password.as_bytes(), &hash)
                .is_ok()
        })
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_password_matches() {
        let hash = PasswordHash::of("secret").unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$"));
        let parsed = PasswordHash::parse(hash.as_str()).unwrap();
        assert!(parsed.matches("secret"));
        assert!(!parsed.matches("Secret"));
        assert!(!parsed.matches(""));
        assert_ne!(hash, PasswordHash::of("secret").unwrap(), "salts differ");
        assert!(!format!("{hash:?}").contains("argon2"));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "secret",
            "$argon2id$v=19$m=1",
            "$pbkdf2-sha256$i=1$c2FsdHNhbHQ$aGFzaA",
        ] {
            assert!(PasswordHash::parse(text).is_err(), "{text}");
        }
        assert!(PasswordHash::of("").is_err());
    }
}
