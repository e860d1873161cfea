use std::fmt::Write;

use anyhow::{Context, Result};
use apiserver::{Authentication, BasicCredential, PasswordHash, TokenCredential, TokenHash, User};
use serde::{Deserialize, Serialize};

use crate::data_dir::DataDir;

/// Who may come in. Administrators may add users; secrets are hashed.
const USERS: &str = "users.json";
/// The secret of the user `admin`, for the kubeconfig and for `curl -u admin:…`.
const ADMIN_TOKEN: &str = "admin.token";
/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;

/// The users of a server.
pub(super) struct Credentials {
    pub(super) authentication: Authentication,
    pub(super) admin_token: String,
}

/// A user, as in the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UserEntry {
    name: String,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    groups: Vec<String>,
    /// SHA-256 of a bearer token, 64 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token_sha256: Option<String>,
    /// An argon2id hash of a password, in PHC text form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<String>,
}

/// Loads the users, or makes the user `admin` with a secret that serves as token and as password.
pub(super) fn load_or_create(data: &DataDir) -> Result<Credentials> {
    let (token, users) = match (data.read(ADMIN_TOKEN)?, data.read(USERS)?) {
        (Some(token), Some(users)) => (token.trim().to_owned(), read(data, &users)?),
        (_, users) => create(data, users)?,
    };
    Ok(Credentials {
        authentication: authentication(&users)
            .with_context(|| format!("cannot use {}", data.file(USERS).display()))?,
        admin_token: token,
    })
}

fn read(data: &DataDir, text: &str) -> Result<Vec<UserEntry>> {
    serde_json::from_str(text)
        .with_context(|| format!("cannot read {}", data.file(USERS).display()))
}

/// Makes a new secret for the administrator; other users stay.
fn create(data: &DataDir, users: Option<String>) -> Result<(String, Vec<UserEntry>)> {
    let mut users = match users {
        Some(text) => read(data, &text)?,
        None => Vec::new(),
    };
    let admin = User::admin();
    let token = token()?;
    users.retain(|user| user.name != admin.name);
    users.insert(
        0,
        UserEntry {
            name: admin.name,
            uid: admin.uid,
            groups: admin.groups,
            token_sha256: Some(TokenHash::of(&token).to_hex()),
            password: Some(PasswordHash::of(&token)?.as_str().to_owned()),
        },
    );
    data.write(USERS, &serde_json::to_string_pretty(&users)?)?;
    data.write(ADMIN_TOKEN, &token)?;
    Ok((token, users))
}

fn authentication(users: &[UserEntry]) -> Result<Authentication> {
    let mut authentication = Authentication::default();
    for entry in users {
        let user = User {
            name: entry.name.clone(),
            uid: entry.uid.clone(),
            groups: entry.groups.clone(),
        };
        let of_user = || format!("user {:?}", entry.name);
        if let Some(token) = &entry.token_sha256 {
            let token = TokenHash::parse(token).with_context(of_user)?;
            let user = user.clone();
            authentication.tokens.push(TokenCredential { user, token });
        }
        if let Some(password) = &entry.password {
            let password = PasswordHash::parse(password).with_context(of_user)?;
            authentication
                .basic
                .push(BasicCredential { user, password });
        }
    }
    Ok(authentication)
}

fn token() -> Result<String> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes).context("no randomness from the system")?;
    let mut text = String::with_capacity(2 * TOKEN_BYTES);
    for byte in bytes {
        write!(text, "{byte:02x}")?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_made_once_and_kept_hashed() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        let first = load_or_create(&data).unwrap();
        let second = load_or_create(&data).unwrap();
        assert_eq!(first.admin_token, second.admin_token);
        assert_eq!(first.admin_token.len(), 2 * TOKEN_BYTES);
        assert!(
            !data
                .read(USERS)
                .unwrap()
                .unwrap()
                .contains(&first.admin_token)
        );
        assert_eq!(first.authentication.tokens.len(), 1);
        assert_eq!(first.authentication.basic.len(), 1);
    }

    #[test]
    fn a_lost_secret_is_made_again_and_other_users_stay() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        let first = load_or_create(&data).unwrap();
        let users = data.read(USERS).unwrap().unwrap();
        let ada = format!(
            r#"[{{"name": "ada", "tokenSha256": "{}"}},"#,
            "a".repeat(64)
        );
        data.write(USERS, &users.replacen('[', &ada, 1)).unwrap();
        std::fs::remove_file(data.file(ADMIN_TOKEN)).unwrap();
        let second = load_or_create(&data).unwrap();
        assert_ne!(first.admin_token, second.admin_token);
        assert_eq!(second.authentication.tokens.len(), 2);
    }

    #[test]
    fn users_that_cannot_be_read_are_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        load_or_create(&data).unwrap();
        for text in [
            "{",
            r#"[{"nam": "ada"}]"#,
            r#"[{"name": "ada", "tokenSha256": "x"}]"#,
        ] {
            data.write(USERS, text).unwrap();
            let error = load_or_create(&data).err().unwrap().to_string();
            assert!(error.contains("users.json"), "{error}");
        }
    }
}
