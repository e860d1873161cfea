use futures::stream::{self, StreamExt, TryStreamExt};

use super::{Deletion, ListParameters, ObjectList, Objects};
use crate::limits::DELETE_CONCURRENCY_MAX;
use crate::selector::{Records, Selection};
use crate::{Collection, DeleteOptions, Failure, Object, Reason, Result};

impl Objects {
    /// Deletes the objects that a list with the same parameters shows, one by one; returns those
    /// that are gone or marked now, as they were last. What is created meanwhile stays.
    ///
    /// # Errors
    /// As [`Objects::list`] and [`Objects::delete`]; what was deleted before the error stays so.
    pub async fn delete_collection(
        &self,
        collection: &Collection,
        parameters: &ListParameters,
        options: &DeleteOptions,
    ) -> Result<ObjectList> {
        options.check()?;
        let (labels, fields) = (&*parameters.label_selector, &*parameters.field_selector);
        let (_, records) = Selection::parse(collection.kind(), labels, fields)?;
        if records != Records::Live {
            return Err(Failure::bad_request(
                "what is in the history or the trash cannot be deleted",
            ));
        }
        let mut list = self.list(collection, parameters).await?;
        let deleted: Vec<Option<Object>> = stream::iter(std::mem::take(&mut list.items))
            .map(|object| self.delete_listed(collection, object, options))
            .buffered(DELETE_CONCURRENCY_MAX)
            .try_collect()
            .await?;
        list.items = deleted.into_iter().flatten().collect();
        Ok(list)
    }

    /// Deletes an object of a list; none if it is gone already, or is another one of that name.
    async fn delete_listed(
        &self,
        collection: &Collection,
        object: Object,
        options: &DeleteOptions,
    ) -> Result<Option<Object>> {
        let place = match object.namespace() {
            Some(namespace) => collection.kind().collection(Some(namespace))?,
            None => collection.clone(),
        };
        let mut options = options.clone();
        let given = options.uid.is_some();
        options.uid = Some(options.uid.unwrap_or(object.uid()?));
        let target = place.object(object.name())?;
        match self.delete(&target, &options).await {
            Ok(Deletion::Gone { object, .. } | Deletion::Waiting(object)) => Ok(Some(object)),
            Err(failure) if failure.reason() == Reason::NotFound => Ok(None),
            Err(failure) if failure.reason() == Reason::Conflict && !given => {
                if options.resource_version.is_some() {
                    return Err(failure);
                }
                match self.newest(&target).await? {
                    Some(now) if Some(now.uid()?) == options.uid => Err(failure),
                    Some(_) | None => Ok(None),
                }
            }
            Err(failure) => Err(failure),
        }
    }
}
