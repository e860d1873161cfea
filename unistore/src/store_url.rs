use std::fmt;
use std::str::FromStr;

use storage_core::{Error, Result};
use url::Url;

/// The address of a store: the scheme names the engine, the rest is the engine's.
///
/// It may hold a password, so only [`StoreUrl::secret`] gives it whole; `Display` and `Debug` hide
/// the password.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl {
    text: String,
    scheme_len: usize,
}

impl StoreUrl {
    /// Returns the part before the first colon.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.text[..self.scheme_len]
    }

    /// Returns the part after the first colon: a path, for engines that keep files.
    #[must_use]
    pub fn rest(&self) -> &str {
        &self.text[self.scheme_len + 1..]
    }

    /// Returns the whole address, password included. Not for logs.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.text
    }
}

impl FromStr for StoreUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = |why: &str| {
            // The text may hold a password, so it is not repeated.
            let context = format!("{why}, such as redb:PATH or postgres://USER@HOST/DATABASE");
            Err(Error::invalid("parse store", context))
        };
        let Some((scheme, _)) = text.split_once(':') else {
            return refuse("a store is SCHEME:WHERE");
        };
        let well_formed =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
        if scheme.is_empty() || !scheme.chars().all(well_formed) {
            return refuse("a store starts with the engine's name in lower case");
        }
        Ok(Self {
            scheme_len: scheme.len(),
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.rest().starts_with("//") {
            return f.write_str(&self.text);
        }
        let Ok(mut url) = Url::parse(&self.text) else {
            return write!(f, "{}://***", self.scheme());
        };
        if url.password().is_some() && url.set_password(Some("***")).is_err() {
            return write!(f, "{}://***", self.scheme());
        }
        // Options can hold secrets too, such as a key's passphrase.
        url.set_query(None);
        url.fmt(f)
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_and_rest_are_split_at_the_first_colon() {
        let url: StoreUrl = "redb:/a/b:c".parse().unwrap();
        assert_eq!((url.scheme(), url.rest()), ("redb", "/a/b:c"));
        let url: StoreUrl = "memory:".parse().unwrap();
        assert_eq!((url.scheme(), url.rest()), ("memory", ""));
    }

    #[test]
    fn passwords_are_not_shown() {
        for (text, shown) in [
            ("redb:a/b", "redb:a/b"),
            (
                "postgres://u:s3cret@h:5/d?sslkey=s3cret",
                "postgres://u:***@h:5/d",
            ),
            ("mysql://u@h/d", "mysql://u@h/d"),
            ("postgres://u:s3cret@[h/d", "postgres://***"),
        ] {
            let url: StoreUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("s3cret"));
        }
    }

    #[test]
    fn what_is_not_an_address_is_refused_without_repeating_it() {
        for text in ["", "data.redb", ":x", "C:\\secret", "Redb:x", "re db:x"] {
            let error = text.parse::<StoreUrl>().unwrap_err().to_string();
            assert!(error.starts_with("parse store: a store "), "{error}");
            assert!(!error.contains("secret"));
        }
    }
}
