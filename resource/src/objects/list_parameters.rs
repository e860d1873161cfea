use storage_core::Revision;

use super::get::parse_revision;
use crate::{Cause, Failure, Result};

/// Query parameters of a list, a watch or a deletion of a collection, as the URL has them; they are
/// checked when the request is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListParameters {
    /// `labelSelector`.
    pub label_selector: String,
    /// `fieldSelector`.
    pub field_selector: String,
    /// `limit`; none and zero for all.
    pub limit: Option<u64>,
    /// `continue`.
    pub continue_token: String,
    /// `resourceVersion`.
    pub resource_version: String,
    /// `resourceVersionMatch`.
    pub resource_version_match: String,
    /// `sendInitialEvents`.
    pub send_initial_events: Option<bool>,
    /// `allowWatchBookmarks`.
    pub allow_watch_bookmarks: bool,
}

/// Which state a list shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// The newest.
    Newest,
    /// The newest, as soon as the store has reached a revision.
    NotOlderThan(Revision),
    /// That of a revision.
    Exactly(Revision),
}

/// Where a watch starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// With what exists, not older than a revision; then what changes.
    Initial {
        not_older_than: Revision,
        end: InitialEnd,
    },
    /// After a revision; the newest if none.
    After(Option<Revision>),
}

/// Whether a bookmark says that what existed was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InitialEnd {
    Marked,
    Silent,
}

const MATCH: &str = "resourceVersionMatch";
const INITIAL: &str = "sendInitialEvents";

impl ListParameters {
    /// Restricts to one object: for a watch of its path.
    #[must_use]
    pub fn with_name(mut self, name: &str) -> Self {
        let escaped = name
            .replace('\\', "\\\\")
            .replace(',', "\\,")
            .replace('=', "\\=");
        if !self.field_selector.is_empty() {
            self.field_selector.push(',');
        }
        self.field_selector.push_str("metadata.name=");
        self.field_selector.push_str(&escaped);
        self
    }

    pub(super) fn limit(&self) -> Option<usize> {
        let limit = self.limit.filter(|limit| *limit > 0)?;
        Some(usize::try_from(limit).unwrap_or(usize::MAX))
    }

    /// Checks the parameters of a list.
    pub(super) fn list_at(&self) -> Result<At> {
        let mut causes = Vec::new();
        if self.send_initial_events.is_some() {
            causes.push(Cause::forbidden(
                INITIAL,
                "sendInitialEvents is forbidden for list",
            ));
        }
        self.check_match(&mut causes);
        refuse(causes)?;
        let revision = parse_revision(&self.resource_version)?;
        if !self.continue_token.is_empty() {
            if revision.is_some_and(|revision| revision > Revision::ZERO) {
                return Err(Failure::bad_request(
                    "specifying resource version is not allowed when using continue",
                ));
            }
            return Ok(At::Newest);
        }
        Ok(match (revision, &*self.resource_version_match) {
            (None | Some(Revision::ZERO), _) => At::Newest,
            (Some(revision), "Exact") => At::Exactly(revision),
            (Some(revision), "") if self.limit().is_some() => At::Exactly(revision),
            (Some(revision), _) => At::NotOlderThan(revision),
        })
    }

    fn check_match(&self, causes: &mut Vec<Cause>) {
        let matching = &*self.resource_version_match;
        if matching.is_empty() {
            return;
        }
        if self.resource_version.is_empty() {
            causes.push(Cause::forbidden(
                MATCH,
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            ));
        }
        if !self.continue_token.is_empty() {
            causes.push(Cause::forbidden(
                MATCH,
                "resourceVersionMatch is forbidden when continue is provided",
            ));
        }
        if !matches!(matching, "Exact" | "NotOlderThan") {
            causes.push(unknown_match(matching));
        }
        if matching == "Exact" && self.resource_version == "0" {
            causes.push(Cause::forbidden(
                MATCH,
                "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
            ));
        }
    }

    /// Checks the parameters of a watch.
    pub(super) fn watch_start(&self) -> Result<Start> {
        let mut causes = Vec::new();
        let matching = &*self.resource_version_match;
        match self.send_initial_events {
            Some(_) if matching != "NotOlderThan" => causes.push(Cause::forbidden(
                MATCH,
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            )),
            None if !matching.is_empty() => causes.push(Cause::forbidden(
                MATCH,
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            )),
            _ => {}
        }
        if !matches!(matching, "" | "Exact" | "NotOlderThan") {
            causes.push(unknown_match(matching));
        }
        refuse(causes)?;
        if !self.continue_token.is_empty() {
            return Err(Failure::bad_request("continue is not allowed for a watch"));
        }
        let revision = parse_revision(&self.resource_version)?;
        let not_older_than = revision.unwrap_or_default();
        let end = if self.allow_watch_bookmarks {
            InitialEnd::Marked
        } else {
            InitialEnd::Silent
        };
        Ok(match (self.send_initial_events, revision) {
            (Some(true), _) => Start::Initial {
                not_older_than,
                end,
            },
            (Some(false), _) => Start::After(revision.filter(|r| *r > Revision::ZERO)),
            (None, None | Some(Revision::ZERO)) => Start::Initial {
                not_older_than,
                end: InitialEnd::Silent,
            },
            (None, revision) => Start::After(revision),
        })
    }
}

fn unknown_match(matching: &str) -> Cause {
    let supported = ["Exact", "NotOlderThan", ""].map(|word| format!("{word:?}"));
    Cause::not_supported(MATCH, format!("{matching:?}"), &supported)
}

fn refuse(causes: Vec<Cause>) -> Result<()> {
    if causes.is_empty() {
        Ok(())
    } else {
        Err(Failure::invalid_options("ListOptions", causes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(version: &str, matching: &str) -> ListParameters {
        ListParameters {
            resource_version: version.into(),
            resource_version_match: matching.into(),
            ..ListParameters::default()
        }
    }

    #[test]
    fn list_states() {
        let five = Revision::new(5);
        for (version, matching, limit, at) in [
            ("", "", None, At::Newest),
            ("", "", Some(1), At::Newest),
            ("0", "", Some(1), At::Newest),
            ("0", "NotOlderThan", None, At::Newest),
            ("5", "", None, At::NotOlderThan(five)),
            ("5", "", Some(0), At::NotOlderThan(five)),
            ("5", "", Some(1), At::Exactly(five)),
            ("5", "NotOlderThan", Some(1), At::NotOlderThan(five)),
            ("5", "Exact", None, At::Exactly(five)),
        ] {
            let parameters = ListParameters {
                limit,
                ..parameters(version, matching)
            };
            assert_eq!(parameters.list_at().unwrap(), at, "{parameters:?}");
        }
    }

    #[test]
    fn list_refusals() {
        const FORM: &str = "ListOptions.meta.k8s.io \"\" is invalid: ";
        let with = |change: fn(&mut ListParameters), version: &str, matching: &str| {
            let mut parameters = parameters(version, matching);
            change(&mut parameters);
            parameters.list_at().unwrap_err().message().to_string()
        };
        assert_eq!(
            with(|_| (), "", "Exact"),
            format!(
                "{FORM}resourceVersionMatch: Forbidden: \
                 resourceVersionMatch is forbidden unless resourceVersion is provided"
            )
        );
        assert_eq!(
            with(|p| p.continue_token = "x".into(), "5", "Exact"),
            format!(
                "{FORM}resourceVersionMatch: Forbidden: \
                 resourceVersionMatch is forbidden when continue is provided"
            )
        );
        assert_eq!(
            with(|_| (), "5", "X"),
            format!(
                "{FORM}resourceVersionMatch: Unsupported value: \"X\": \
                 supported values: \"Exact\", \"NotOlderThan\", \"\""
            )
        );
        assert_eq!(
            with(|_| (), "0", "Exact"),
            format!(
                "{FORM}resourceVersionMatch: Forbidden: \
                 resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""
            )
        );
        assert_eq!(
            with(|p| p.send_initial_events = Some(true), "", ""),
            format!("{FORM}sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list")
        );
        assert!(parameters("abc", "").list_at().is_err());
    }

    #[test]
    fn watch_starts() {
        let five = Revision::new(5);
        let initial = |not_older_than, end| Start::Initial {
            not_older_than,
            end,
        };
        let zero = Revision::ZERO;
        for (version, matching, send, bookmarks, start) in [
            ("", "", None, true, initial(zero, InitialEnd::Silent)),
            ("0", "", None, false, initial(zero, InitialEnd::Silent)),
            ("5", "", None, true, Start::After(Some(five))),
            (
                "",
                "NotOlderThan",
                Some(true),
                true,
                initial(zero, InitialEnd::Marked),
            ),
            (
                "5",
                "NotOlderThan",
                Some(true),
                true,
                initial(five, InitialEnd::Marked),
            ),
            (
                "5",
                "NotOlderThan",
                Some(true),
                false,
                initial(five, InitialEnd::Silent),
            ),
            (
                "5",
                "NotOlderThan",
                Some(false),
                true,
                Start::After(Some(five)),
            ),
            ("", "NotOlderThan", Some(false), true, Start::After(None)),
            ("0", "NotOlderThan", Some(false), true, Start::After(None)),
        ] {
            let parameters = ListParameters {
                send_initial_events: send,
                allow_watch_bookmarks: bookmarks,
                ..parameters(version, matching)
            };
            assert_eq!(parameters.watch_start().unwrap(), start, "{parameters:?}");
        }
    }

    #[test]
    fn watch_refusals() {
        let initial = ListParameters {
            send_initial_events: Some(true),
            ..ListParameters::default()
        };
        assert_eq!(
            initial.watch_start().unwrap_err().message(),
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: \
             sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        );
        assert_eq!(
            parameters("5", "NotOlderThan")
                .watch_start()
                .unwrap_err()
                .message(),
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: \
             resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        );
    }

    #[test]
    fn a_name_is_escaped() {
        let parameters = ListParameters::default().with_name("a,b=c\\");
        assert_eq!(parameters.field_selector, r"metadata.name=a\,b\=c\\");
    }
}
