use storage_core::{Error, Result};
use url::Url;

/// Reads the URL of a server and returns what of it may be shown: no password and no parameters,
/// which may hold one too.
///
/// # Errors
/// `Invalid`, without the text, if it is not a URL of that scheme.
pub(crate) fn redacted(url: &str, schemes: &[&str]) -> Result<(Url, String)> {
    let refuse = |why: &str| Error::invalid("open", format!("{}://…: {why}", schemes[0]));
    let url = Url::parse(url).map_err(|e| refuse(&e.to_string()))?;
    if !schemes.contains(&url.scheme()) {
        return Err(refuse("the URL has another scheme"));
    }
    if url.path().trim_matches('/').is_empty() {
        return Err(refuse("the URL names no database"));
    }
    let user = match url.username() {
        "" => String::new(),
        user => format!("{user}@"),
    };
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    let host = url.host_str().unwrap_or_default();
    let shown = format!("{}://{user}{host}{port}{}", schemes[0], url.path());
    Ok((url, shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        let url = "postgresql://me:s3cret@db:5433/name?password=s3cret&sslmode=require";
        let (_, shown) = redacted(url, &["postgres", "postgresql"]).unwrap();
        assert_eq!(shown, "postgres://me@db:5433/name");
        for broken in [
            "postgres://me:s3cret@db:port/name",
            "mysql://me:s3cret@db/name",
            "me:s3cret@db",
            "postgres://me:s3cret@db",
        ] {
            let error = redacted(broken, &["postgres"]).unwrap_err();
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
    }
}
