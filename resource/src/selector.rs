//! Which objects of a collection a request means.

mod fields;
mod labels;

pub(crate) use fields::FieldSelector;
pub(crate) use labels::LabelSelector;

use crate::kind::Kind;
use crate::metadata::{GET_HISTORY, GET_TRASH};
use crate::{Failure, Object, Result};

/// Label and field selectors of a request, parsed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    labels: LabelSelector,
    fields: FieldSelector,
}

/// Which records a request reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Records {
    /// The objects that exist.
    Live,
    /// The versions of one object.
    History(String),
    /// The deleted objects.
    Trash,
}

impl Selection {
    /// Parses the selectors of a request and finds out which records it reads.
    pub(crate) fn parse(kind: &Kind, labels: &str, fields: &str) -> Result<(Self, Records)> {
        let labels = LabelSelector::parse(labels)?;
        let fields = FieldSelector::parse(fields, kind)?;
        let history = labels.equals(GET_HISTORY).map(String::from);
        let trash = labels.equals(GET_TRASH).map(String::from);
        let special = labels.names(GET_HISTORY) || labels.names(GET_TRASH);
        if special && (labels.len() != 1 || history.is_none() && trash.is_none()) {
            return Err(Failure::bad_request(format!(
                "{GET_HISTORY} and {GET_TRASH} must be the only label requirement, \
                 in the form {GET_TRASH}=true"
            )));
        }
        if let Some(value) = history {
            let name = history_name(&value, &fields)?;
            return Ok((Self::default(), Records::History(name)));
        }
        if let Some(value) = trash {
            return trash_selection(&value, fields);
        }
        Ok((Self { labels, fields }, Records::Live))
    }

    /// Tells whether every object is meant.
    pub(crate) fn is_everything(&self) -> bool {
        self.labels.len() == 0 && self.fields.is_empty()
    }

    /// The one name that an object must have, if the selectors say so.
    pub(crate) fn name(&self) -> Option<&str> {
        self.fields.name()
    }

    /// Tells whether an object is meant.
    pub(crate) fn matches(&self, object: &Object) -> Result<bool> {
        if !self.fields.matches(object)? {
            return Ok(false);
        }
        if self.labels.len() == 0 {
            return Ok(true);
        }
        let meta = object.meta()?;
        Ok(self
            .labels
            .matches(|key| meta.labels.get(key).map(|v| &**v)))
    }
}

fn history_name(value: &str, fields: &FieldSelector) -> Result<String> {
    let named = match (value, fields.name()) {
        (_, Some(_)) if !fields.is_name_only() => None,
        ("true", Some(name)) => Some(name),
        ("true", None) => None,
        (value, None) if fields.is_empty() => Some(value),
        (value, Some(name)) if value == name => Some(name),
        _ => None,
    };
    named.map(String::from).ok_or_else(|| {
        Failure::bad_request(format!(
            "a history is that of one object: \
             give {GET_HISTORY}=true and the field selector metadata.name=NAME"
        ))
    })
}

fn trash_selection(value: &str, fields: FieldSelector) -> Result<(Selection, Records)> {
    if value != "true" || !(fields.is_empty() || fields.is_name_only()) {
        return Err(Failure::bad_request(format!(
            "the trash is listed by {GET_TRASH}=true, \
             with no other field selector than metadata.name=NAME"
        )));
    }
    let selection = Selection {
        labels: LabelSelector::default(),
        fields,
    };
    Ok((selection, Records::Trash))
}
