use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::ServerError;
use crate::status::Status;
use crate::user::{AUTHENTICATED, User};

mod password;
mod token;
mod verifier;

pub use password::PasswordHash;
pub use token::TokenHash;
use verifier::Verifier;

/// Longest `Authorization` header that is looked at.
const CREDENTIAL_BYTES_MAX: usize = 8 << 10;

/// Who may come in. Passwords and tokens are given hashed.
#[derive(Clone, Debug, Default)]
pub struct Authentication {
    /// Users with a password.
    pub basic: Vec<BasicCredential>,
    /// Users with a bearer token.
    pub tokens: Vec<TokenCredential>,
    /// What a request without credentials may do.
    pub anonymous: Anonymous,
}

/// A user with a password.
#[derive(Clone, Debug)]
pub struct BasicCredential {
    /// The user; the name is what the client sends.
    pub user: User,
    /// The hash of the password.
    pub password: PasswordHash,
}

/// A user with a bearer token.
#[derive(Clone, Debug)]
pub struct TokenCredential {
    /// The user.
    pub user: User,
    /// The hash of the token.
    pub token: TokenHash,
}

/// What a request without credentials may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anonymous {
    /// Nothing.
    Refused,
    /// See the health probes and the version.
    #[default]
    Health,
    /// Everything: for tests and for servers behind something that authenticates.
    Everything,
}

/// Finds out who sent a request.
pub(crate) struct Authenticator {
    tokens: Vec<TokenCredential>,
    passwords: Arc<Verifier>,
    pub(crate) anonymous: Anonymous,
}

impl Authenticator {
    pub(crate) fn new(authentication: Authentication) -> Result<Self, ServerError> {
        Ok(Self {
            tokens: authentication.tokens,
            passwords: Arc::new(Verifier::new(authentication.basic)?),
            anonymous: authentication.anonymous,
        })
    }

    /// Tells whether a 401 should ask for a password.
    pub(crate) fn takes_passwords(&self) -> bool {
        self.passwords.has_users()
    }

    /// Returns the user of an `Authorization` header, or none without one.
    ///
    /// A header that names nobody is refused even where anonymous requests are not: the client
    /// believes that it is somebody.
    pub(crate) async fn authenticate(&self, header: Option<&[u8]>) -> Result<Option<User>, Status> {
        let Some(header) = header else {
            return Ok(None);
        };
        let user = match Credential::parse(header) {
            Some(Credential::Bearer(token)) => self.by_token(&token),
            Some(Credential::Basic { user, password }) => {
                self.passwords.verify(user, password).await?
            }
            None => None,
        };
        let user = user.ok_or_else(Status::unauthorized)?;
        Ok(Some(user.group(AUTHENTICATED)))
    }

    /// Looks at every token, so that the time does not tell which one came close.
    fn by_token(&self, token: &str) -> Option<User> {
        let hash = TokenHash::of(token);
        let mut found = None;
        for credential in &self.tokens {
            if credential.token.equals(&hash) {
                found = Some(credential.user.clone());
            }
        }
        found
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("tokens", &self.tokens.len())
            .finish_non_exhaustive()
    }
}

#[derive(PartialEq, Eq)]
enum Credential {
    Basic { user: String, password: String },
    Bearer(String),
}

impl Credential {
    fn parse(header: &[u8]) -> Option<Self> {
        if header.len() > CREDENTIAL_BYTES_MAX {
            return None;
        }
        let text = std::str::from_utf8(header).ok()?;
        let (scheme, rest) = text.trim().split_once(' ')?;
        let rest = rest.trim();
        if rest.is_empty() {
            return None;
        }
        match scheme.to_ascii_lowercase().as_str() {
            "bearer" => Some(Self::Bearer(rest.into())),
            "basic" => {
                let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
                let (user, password) = decoded.split_once(':')?;
                Some(Self::Basic {
                    user: user.into(),
                    password: password.into(),
                })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authenticator() -> Authenticator {
        Authenticator::new(Authentication {
            basic: vec![BasicCredential {
                user: User::new("ann"),
                password: PasswordHash::of("s:cret").unwrap(),
            }],
            tokens: vec![TokenCredential {
                user: User::admin(),
                token: TokenHash::of("t0ken"),
            }],
            anonymous: Anonymous::Health,
        })
        .unwrap()
    }

    fn basic(pair: &str) -> String {
        format!("Basic {}", STANDARD.encode(pair))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn credentials_name_their_user() {
        let authenticator = authenticator();
        for (header, name) in [
            (basic("ann:s:cret"), "ann"),
            ("Bearer t0ken".into(), "admin"),
            ("bearer  t0ken ".into(), "admin"),
        ] {
            let user = authenticator.authenticate(Some(header.as_bytes())).await;
            let user = user.unwrap().unwrap();
            assert_eq!(user.name, name);
            assert!(user.is_in(AUTHENTICATED));
        }
        assert_eq!(authenticator.authenticate(None).await.unwrap(), None);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn everything_else_is_refused() {
        let authenticator = authenticator();
        let headers = [
            String::new(),
            "Bearer".into(),
            "Bearer ".into(),
            "Bearer t0ke".into(),
            "Bearer t0ken2".into(),
            "Bearer t0ken t0ken".into(),
            "Token t0ken".into(),
            "Basic".into(),
            "Basic !!!".into(),
            "Basic YW5u".into(),
            basic("ann:"),
            basic("ann:s"),
            basic("ann:s:cret "),
            basic("Ann:s:cret"),
            basic(":s:cret"),
            basic("nobody:s:cret"),
            format!("Bearer {}", "x".repeat(CREDENTIAL_BYTES_MAX)),
            "Negotiate abc".into(),
        ];
        for header in headers {
            let refused = authenticator.authenticate(Some(header.as_bytes())).await;
            assert_eq!(refused.unwrap_err().code(), 401, "{header:?}");
        }
        let binary = authenticator.authenticate(Some(b"Basic \xff\xfe")).await;
        assert_eq!(binary.unwrap_err().code(), 401);
    }
}
