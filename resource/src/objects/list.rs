use std::sync::Arc;

use bytes::Bytes;
use storage_core::{ErrorKind, Revision, Source};

use super::continue_token::{Position, State};
use super::list_parameters::At;
use super::scan::{Found, PageLimit, Scan, ScanFailure, Span};
use super::{ListParameters, Objects};
use crate::json::write_string;
use crate::kind::Kind;
use crate::limits::LIST_PAGE_BYTES_MAX;
use crate::selector::Selection;
use crate::{Collection, Details, Failure, Object, Reason, Result};

/// Objects of a collection, at one state.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectList {
    /// Their kind.
    pub kind: Arc<Kind>,
    /// The objects.
    pub items: Vec<Object>,
    /// The state that they were read at; a watch after it misses nothing.
    pub revision: Revision,
    /// Where the list goes on; none at its end.
    pub next: Option<String>,
    /// About how many objects follow, if that is known.
    pub remaining: Option<u64>,
}

impl Objects {
    /// Lists objects.
    ///
    /// Without a resource version the newest state is shown; pages that follow the first show the
    /// state of the first. With the label `grafana.app/get-history=true` and the field
    /// `metadata.name=NAME` the versions of one object are listed, those of its newest life, the
    /// newest first; from a resource version on with `NotOlderThan`, of all lives and the oldest
    /// first; or one version with `Exact`. With the label `grafana.app/get-trash=true` deleted
    /// objects are listed.
    ///
    /// # Errors
    /// `Invalid` for parameters that do not go together; `BadRequest` for a selector, a token or a
    /// version that cannot be read; `Expired` for a state that is no longer kept, with a token that
    /// goes on with the newest one; `Timeout` for a state that the store does not reach.
    pub async fn list(
        &self,
        collection: &Collection,
        parameters: &ListParameters,
    ) -> Result<ObjectList> {
        let at = parameters.list_at()?;
        let (labels, fields) = (&*parameters.label_selector, &*parameters.field_selector);
        let (selection, records) = Selection::parse(collection.kind(), labels, fields)?;
        if let At::Exactly(revision) | At::NotOlderThan(revision) = at {
            self.reach(revision).await?;
        }
        let mut scan = Scan::new(collection, selection, &records, at, self.head())?;
        scan.limit = parameters.limit().map(|items| PageLimit {
            items,
            bytes: LIST_PAGE_BYTES_MAX,
        });
        let bound_to = bound_to(collection, labels, fields);
        let position = self.continue_at(&mut scan, &parameters.continue_token, &bound_to)?;
        match scan.run(&**self.backend()).await {
            Ok(found) => self.answer(&scan, found, position, &bound_to).await,
            Err(failure) => Err(self.expired(failure, position, &bound_to)),
        }
    }

    fn continue_at(
        &self,
        scan: &mut Scan,
        token: &str,
        bound_to: &str,
    ) -> Result<Option<Position>> {
        if token.is_empty() {
            return Ok(None);
        }
        let position = Position::read(token, &self.0.options.token_key, bound_to)?;
        if position.life == Revision::ZERO {
            scan.follow_all_lives();
        }
        let kind = scan.collection.kind();
        let cursor = position.cursor(
            (kind.group(), kind.plural()),
            (scan.query.source, scan.query.order),
            self.head(),
        )?;
        scan.query = scan.query.clone().after(cursor);
        if position.life > Revision::ZERO {
            scan.span = Span::Life(position.life);
        }
        Ok(Some(position))
    }

    async fn answer(
        &self,
        scan: &Scan,
        found: Found,
        position: Option<Position>,
        bound_to: &str,
    ) -> Result<ObjectList> {
        let seen = position.map_or(0, |position| position.seen) + found.items.len() as u64;
        let (mut next, mut remaining) = (None, None);
        if let Some(cursor) = &found.next {
            let life = match scan.span {
                Span::Life(life) => life,
                Span::All | Span::NewestLife | Span::Exactly(_) => Revision::ZERO,
            };
            let position = Position::after(cursor, seen, life);
            next = Some(position.sign(&self.0.options.token_key, bound_to)?);
            remaining = self.remaining(scan, seen).await;
        }
        Ok(ObjectList {
            kind: Arc::clone(scan.collection.kind()),
            items: found.items,
            revision: found.revision,
            next,
            remaining,
        })
    }

    /// About how many objects follow: the count of now, not of the page's state.
    async fn remaining(&self, scan: &Scan, seen: u64) -> Option<u64> {
        if scan.query.source != Source::Live || !scan.selection.is_everything() {
            return None;
        }
        let stats = self.backend().stats(&scan.collection.scope()).await.ok()?;
        let total: u64 = stats.iter().map(|stats| stats.count).sum();
        Some(total.saturating_sub(seen).max(1))
    }

    fn expired(&self, failure: ScanFailure, position: Option<Position>, bound_to: &str) -> Failure {
        match &failure {
            ScanFailure::Store(error) if error.kind() == ErrorKind::Expired => {}
            _ => return failure.into(),
        }
        let Some(position) = position else {
            let message = "The resourceVersion for the provided list is too old.";
            return Failure::new(Reason::Expired, message);
        };
        let newest = Position {
            at: State::Newest,
            ..position
        };
        let token = newest.sign(&self.0.options.token_key, bound_to);
        Failure::new(
            Reason::Expired,
            "the state of the list's first page is no longer kept: list again from the start, \
             or go on with the continue token of this answer, which shows the rest as it is now",
        )
        .with_details(Details {
            continue_token: token.ok(),
            ..Details::default()
        })
    }
}

/// What a continue token is good for: this list and no other.
fn bound_to(collection: &Collection, labels: &str, fields: &str) -> String {
    let kind = collection.kind();
    let parts = [
        kind.group(),
        kind.plural(),
        collection.namespace().unwrap_or_default(),
        labels,
        fields,
    ];
    // As JSON, so that no two lists are written alike.
    serde_json::json!(parts).to_string()
}

impl ObjectList {
    /// Returns the JSON of the list.
    #[must_use]
    pub fn to_json(&self) -> Bytes {
        let items: usize = self.items.iter().map(|item| item.json_len() + 1).sum();
        let mut out = Vec::with_capacity(items + LIST_FRAME_BYTES);
        out.extend(b"{\"apiVersion\":");
        write_string(self.kind.api_version(), &mut out);
        out.extend(b",\"kind\":");
        write_string(self.kind.list_kind(), &mut out);
        out.extend(b",\"metadata\":");
        out.extend(self.metadata_json());
        out.extend(b",\"items\":[");
        for (index, item) in self.items.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            item.write_json(&mut out);
        }
        out.extend(b"]}");
        out.into()
    }

    /// Returns the JSON of the list's metadata, which tables have too.
    #[must_use]
    pub fn metadata_json(&self) -> Vec<u8> {
        let mut out = format!("{{\"resourceVersion\":\"{}\"", self.revision).into_bytes();
        if let Some(next) = &self.next {
            out.extend(b",\"continue\":");
            write_string(next, &mut out);
        }
        if let Some(remaining) = self.remaining {
            out.extend(format!(",\"remainingItemCount\":{remaining}").bytes());
        }
        out.push(b'}');
        out
    }
}

/// About what a list needs besides its items.
const LIST_FRAME_BYTES: usize = 1 << 10;
