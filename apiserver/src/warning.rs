use hyper::header::HeaderValue;

/// Longest text of one warning.
const WARNING_BYTES_MAX: usize = 1_024;
/// Most warnings of one answer.
pub(crate) const WARNINGS_MAX: usize = 32;

/// Returns the value of a `Warning` header, which clients print. Quotes and backslashes are
/// escaped; what a header cannot carry becomes a space.
pub(crate) fn header(text: &str) -> Option<HeaderValue> {
    let mut quoted = String::from("299 - \"");
    for c in text.chars().take(WARNING_BYTES_MAX) {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    HeaderValue::from_bytes(quoted.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_quotes() {
        let value = header("unknown field \"spec.a\\b\"\r\nX: y").unwrap();
        assert_eq!(
            value.as_bytes(),
            br#"299 - "unknown field \"spec.a\\b\"  X: y""#
        );
        assert!(header("ünïcode").is_some());
    }
}
