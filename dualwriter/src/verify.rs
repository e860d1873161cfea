use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;
use storage_core::{ResourceKey, Result, StorageBackend, Stored};
use tokio::time::Instant;

use crate::copy::{Copied, is_same};
use crate::inner::Inner;
use crate::sync::{OnProgress, Progress, syncable};
use crate::view::View;
use crate::{Kind, Mode};

/// Most paths that one difference names.
const PATHS_MAX: usize = 20;
/// How often a difference is looked at again before it is believed.
const LOOKS: usize = 5;

/// What a verification does about a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Nothing: it is told.
    No,
    /// It is told, and the store that is not the truth is made equal.
    Yes,
}

/// An object that both stores do not have alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The object, as `group/resource/namespace/name`.
    pub key: String,
    /// In what they differ.
    pub what: Unequal,
    /// It was repaired.
    pub repaired: bool,
}

/// In what two stores differ about an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unequal {
    /// Only unified has it.
    MissingInLegacy,
    /// Only legacy has it.
    MissingInUnified,
    /// Both have it, with other values at these JSON paths; none if it is not JSON.
    Value {
        /// The first paths that differ.
        paths: Vec<String>,
    },
    /// Both have the value, written by another request or at another time.
    Origin,
}

/// What a verification found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Objects compared.
    pub compared: u64,
    /// Objects that differ.
    pub differences: u64,
    /// Of these, objects that were repaired.
    pub repaired: u64,
}

impl Inner {
    /// Compares both stores in full. What differs and is not repaired clears the mark of a sync in
    /// modes 2 and 3, whose writes reach both stores.
    pub(crate) async fn verify(
        &self,
        kind: &Kind,
        repair: Repair,
        on_difference: &mut (dyn FnMut(Difference) + Send),
        on_progress: OnProgress<'_>,
    ) -> Result<VerifyReport> {
        let limit = self.options.config.data_sync_records_limit;
        let mut report = VerifyReport::default();
        let mut after = None;
        loop {
            let view = self.view(kind).await?;
            let stretch = self.stretch(kind, after.as_ref(), limit).await?;
            for pair in &stretch.pairs {
                report.compared += 1;
                if is_same(pair.legacy.as_ref(), pair.unified.as_ref()) {
                    continue;
                }
                let Some(what) = self.look_again(&pair.key).await? else {
                    continue;
                };
                let repaired = match repair {
                    Repair::No => false,
                    Repair::Yes => self.repair(&view, &pair.key).await?,
                };
                report.differences += 1;
                report.repaired += u64::from(repaired);
                let both = matches!(view.mode, Mode::Two | Mode::Three);
                // Once is enough, and at once: the verification may be broken off.
                if !repaired && both && report.differences - report.repaired == 1 {
                    self.clear_mark(kind, "a verification found a difference")
                        .await;
                }
                on_difference(Difference {
                    key: pair.key.to_string(),
                    what,
                    repaired,
                });
            }
            on_progress(Progress {
                pass: 1,
                compared: report.compared,
                repaired: report.repaired,
                failed: report.differences - report.repaired,
                total: self.count_objects(kind).await,
            });
            match stretch.end {
                Some(end) => after = Some(end),
                None => return Ok(report),
            }
        }
    }

    /// Looks at a difference until nobody wrote the object meanwhile.
    async fn look_again(&self, key: &ResourceKey) -> Result<Option<Unequal>> {
        let mut seen = None;
        for _ in 0..LOOKS {
            self.settle(key, Instant::now() + self.options.patience)
                .await?;
            let legacy = self.legacy.get(key, None).await?;
            let unified = self.unified.get(key, None).await?;
            if is_same(legacy.as_ref(), unified.as_ref()) {
                return Ok(None);
            }
            let again = self.legacy.get(key, None).await?;
            let untouched = again == legacy && self.intent(key).await?.is_none();
            seen = difference(legacy.as_ref(), unified.as_ref());
            if untouched {
                return Ok(seen);
            }
        }
        Ok(seen)
    }

    async fn repair(&self, view: &View, key: &ResourceKey) -> Result<bool> {
        let direction = syncable(view)?;
        let copied = self
            .copy_objects(view, std::slice::from_ref(key), direction)
            .await?;
        Ok(copied.into_iter().all(|copied| copied != Copied::Busy))
    }
}

fn difference(legacy: Option<&Stored>, unified: Option<&Stored>) -> Option<Unequal> {
    match (legacy, unified) {
        (None, None) => None,
        (None, Some(_)) => Some(Unequal::MissingInLegacy),
        (Some(_), None) => Some(Unequal::MissingInUnified),
        (Some(legacy), Some(unified)) if legacy.value == unified.value => Some(Unequal::Origin),
        (Some(legacy), Some(unified)) => Some(Unequal::Value {
            paths: paths(&legacy.value, &unified.value),
        }),
    }
}

/// Returns the JSON paths at which two values differ, none if one is not JSON.
fn paths(legacy: &[u8], unified: &[u8]) -> Vec<String> {
    let parse = serde_json::from_slice::<Value>;
    let (Ok(legacy), Ok(unified)) = (parse(legacy), parse(unified)) else {
        return vec![];
    };
    let mut found = Vec::new();
    walk(Some(&legacy), Some(&unified), "", &mut found);
    found
}

/// Compares what two values have at a path. A field that is absent is not one that is null.
fn walk(a: Option<&Value>, b: Option<&Value>, path: &str, found: &mut Vec<String>) {
    if a == b || found.len() >= PATHS_MAX {
        return;
    }
    match (a, b) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                walk(a.get(name), b.get(name), &format!("{path}.{name}"), found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                walk(Some(a), Some(b), &format!("{path}[{index}]"), found);
            }
        }
        _ => found.push(if path.is_empty() { "." } else { path }.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_differences_are_named() {
        let found = paths(
            br#"{"a":{"b":1,"c":[1,2]},"d":1,"e":[1]}"#,
            br#"{"a":{"b":2,"c":[1,3]},"e":[1,2],"f":null}"#,
        );
        assert_eq!(found, [".a.b", ".a.c[1]", ".d", ".e", ".f"]);
        assert_eq!(paths(b"1", b"2"), ["."]);
        assert!(paths(b"{", b"{}").is_empty());
    }
}
