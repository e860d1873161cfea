//! The rules for names, label keys and label values, with the words that clients know.

use crate::limits::{LABEL_BYTES_MAX, NAME_BYTES_MAX, NAMESPACE_BYTES_MAX};

/// Which names a kind allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NameRule {
    /// A DNS subdomain in lower case.
    #[default]
    Kubernetes,
    /// Letters, digits, `-`, `_` and `.`.
    Loose,
}

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
    characters, '-' or '.', and must start and end with an alphanumeric character (e.g. \
    'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters \
    or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', \
    regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LOOSE: &str = "a name must consist of letters, digits, '-', '_' or '.'";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and \
    must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or \
    '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, \
    '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or \
    'my_value',  or '12345', regex used for validation is \
    '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// Returns what is wrong with the name of an object.
pub(crate) fn object_name(name: &str, rule: NameRule) -> Option<String> {
    match rule {
        NameRule::Kubernetes => subdomain(name),
        NameRule::Loose => loose(name),
    }
}

/// Returns what makes a text unfit for a segment of a URL's path.
pub(crate) fn path_segment(name: &str) -> Option<String> {
    if matches!(name, "." | "..") {
        return Some(format!("may not be '{name}'"));
    }
    let bad = name.chars().find(|c| matches!(c, '/' | '%'))?;
    Some(format!("may not contain '{bad}'"))
}

/// Returns what is wrong with a namespace.
pub(crate) fn namespace(name: &str) -> Option<String> {
    too_long(name, NAMESPACE_BYTES_MAX).or_else(|| (!is_dns_label(name)).then(|| LABEL.into()))
}

/// Returns what is wrong with a DNS subdomain.
pub(crate) fn subdomain(name: &str) -> Option<String> {
    too_long(name, NAME_BYTES_MAX)
        .or_else(|| (!name.split('.').all(is_dns_label)).then(|| SUBDOMAIN.into()))
}

fn loose(name: &str) -> Option<String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    too_long(name, NAME_BYTES_MAX)
        .or_else(|| (name.is_empty() || !name.bytes().all(allowed)).then(|| LOOSE.into()))
        .or_else(|| path_segment(name))
}

/// Returns what is wrong with the key of a label, an annotation or a finalizer.
pub(crate) fn qualified_name(key: &str) -> Option<String> {
    let name = match key.split_once('/') {
        None => key,
        Some(("", _)) => return Some("prefix part must be non-empty".into()),
        Some((prefix, name)) => {
            if let Some(why) = subdomain(prefix) {
                return Some(format!("prefix part {why}"));
            }
            name
        }
    };
    if name.is_empty() {
        return Some("name part must be non-empty".into());
    }
    too_long(name, LABEL_BYTES_MAX)
        .map(|why| format!("name part {why}"))
        .or_else(|| (!is_label_text(name)).then(|| QUALIFIED.into()))
}

/// Returns what is wrong with the value of a label.
pub(crate) fn label_value(value: &str) -> Option<String> {
    too_long(value, LABEL_BYTES_MAX)
        .or_else(|| (!value.is_empty() && !is_label_text(value)).then(|| VALUE.into()))
}

fn too_long(text: &str, bytes_max: usize) -> Option<String> {
    (text.len() > bytes_max).then(|| format!("must be no more than {bytes_max} characters"))
}

fn is_dns_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn is_label_text(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    text.bytes().all(inner) && edge(text.bytes().next()) && edge(text.bytes().last())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let long = "a".repeat(254);
        for (name, kubernetes, loose) in [
            ("a", true, true),
            ("a.b-c.1", true, true),
            ("A", false, true),
            ("a_b", false, true),
            ("-a", false, true),
            ("a..b", false, true),
            ("u394j4d3-s63j-2d74-g8hf-958773jtybf2", true, true),
            ("", false, false),
            (".", false, false),
            ("..", false, false),
            ("a/b", false, false),
            ("a%b", false, false),
            ("a b", false, false),
            ("ü", false, false),
            (&long, false, false),
            (&long[1..], true, true),
        ] {
            let takes = |rule| object_name(name, rule).is_none();
            assert_eq!(takes(NameRule::Kubernetes), kubernetes, "{name:?}");
            assert_eq!(takes(NameRule::Loose), loose, "{name:?}");
        }
    }

    #[test]
    fn labels() {
        for (key, good) in [
            ("app", true),
            ("a.b/App_1", true),
            ("/a", false),
            ("a/", false),
            ("a/b/c", false),
            ("A.b/c", false),
            ("-a", false),
            ("", false),
        ] {
            assert_eq!(qualified_name(key).is_none(), good, "{key:?}");
        }
        for (value, good) in [("", true), ("a_B.1", true), ("a b", false), ("a-", false)] {
            assert_eq!(label_value(value).is_none(), good, "{value:?}");
        }
        assert!(label_value(&"x".repeat(64)).is_some());
        assert!(namespace("Org-1").is_some() && namespace("org-1").is_none());
    }
}
