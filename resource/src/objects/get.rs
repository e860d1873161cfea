use storage_core::{ErrorKind, Revision};

use super::{Objects, shown};
use crate::{Failure, Object, Reason, Result, Target};

/// Query parameters of a get, as the URL has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetParameters {
    /// `resourceVersion`: empty or `0` for the newest object.
    pub resource_version: String,
    /// `resourceVersionMatch`: `NotOlderThan`, `Exact`, or empty.
    pub resource_version_match: String,
}

/// Which version of an object is wanted.
enum Wanted {
    Newest,
    NotOlderThan(Revision),
    AsOf(Revision),
}

impl Objects {
    /// Returns an object.
    ///
    /// With a resource version it is the object as it was then: the version that this number
    /// names, of an object's history too, and also what Kubernetes promises, an object that is not
    /// older. With `NotOlderThan` it is the newest one, as soon as the store has reached the
    /// version.
    ///
    /// # Errors
    /// `NotFound`; `Expired` if the version is no longer kept; `Timeout` if the store does not
    /// reach the version; `BadRequest`.
    pub async fn get(&self, target: &Target, parameters: &GetParameters) -> Result<Object> {
        match parameters.check()? {
            Wanted::Newest => self.existing(target).await,
            Wanted::NotOlderThan(revision) => {
                self.reach(revision).await?;
                self.existing(target).await
            }
            Wanted::AsOf(revision) => {
                self.reach(revision).await?;
                self.as_of(target, revision).await
            }
        }
    }

    pub(super) async fn as_of(&self, target: &Target, revision: Revision) -> Result<Object> {
        match self.backend().get(target.key(), Some(revision)).await {
            Ok(Some(stored)) => shown(target.kind(), stored),
            Ok(None) => Err(target.kind().not_found(target.name())),
            Err(error) if error.kind() == ErrorKind::Expired => Err(Failure::new(
                Reason::Expired,
                format!("the version of the object at {revision} is no longer kept"),
            )),
            Err(error) => Err(error.into()),
        }
    }
}

impl GetParameters {
    fn check(&self) -> Result<Wanted> {
        let revision = parse_revision(&self.resource_version)?;
        Ok(match (revision, &*self.resource_version_match) {
            (None | Some(Revision::ZERO), "" | "NotOlderThan" | "Exact") => Wanted::Newest,
            (Some(revision), "" | "Exact") => Wanted::AsOf(revision),
            (Some(revision), "NotOlderThan") => Wanted::NotOlderThan(revision),
            (_, other) => {
                return Err(Failure::bad_request(format!(
                    "resourceVersionMatch {other:?} is not \"Exact\" or \"NotOlderThan\""
                )));
            }
        })
    }
}

/// Reads a resource version; none if it is not given.
pub(super) fn parse_revision(text: &str) -> Result<Option<Revision>> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        Failure::bad_request(format!(
            "resourceVersion {text:?} is not a version of this server"
        ))
    })
}
