use hyper::StatusCode;
use resource::{Bookmark, Effect, Kind, Object, ObjectList, Written};
use std::sync::Arc;

use crate::accept::Representation;
use crate::answer::{Answer, Payload};
use crate::call::Call;
use crate::status::Status;
use crate::table::Table;

/// Writes objects in the form that a client asked for. Plain JSON is spliced from stored bytes.
pub(crate) struct View {
    kind: Arc<Kind>,
    form: Form,
}

enum Form {
    Json,
    Table(Box<Table>),
    Partial,
}

/// Answers with one object.
pub(crate) fn one(
    call: &Call<'_>,
    representation: Representation,
    object: &Object,
) -> Result<Answer, Status> {
    let mut out = Vec::new();
    View::of_one(call, representation, object.kind())?.one(object, &mut out)?;
    Ok(Answer::json(Payload::Bytes(out.into())))
}

/// Answers with an object that was written.
pub(crate) fn written(
    call: &Call<'_>,
    representation: Representation,
    written: &Written,
) -> Result<Answer, Status> {
    let code = match written.effect {
        Effect::Created => StatusCode::CREATED,
        Effect::Updated | Effect::Unchanged | Effect::Removed => StatusCode::OK,
    };
    let warnings = written.warnings.iter().map(String::as_str);
    let answer = one(call, representation, &written.object)?;
    Ok(answer.with_code(code).warnings(warnings))
}

/// Answers with a list that is in memory.
pub(crate) fn many(
    call: &Call<'_>,
    representation: Representation,
    list: &ObjectList,
) -> Result<Answer, Status> {
    let mut view = View::of_list(call, representation, &list.kind)?;
    let mut out = Vec::new();
    view.list_head(&list.metadata_json(), &mut out);
    view.items(&list.items, true, &mut out)?;
    View::list_tail(&mut out);
    Ok(Answer::json(Payload::Bytes(out.into())))
}

impl View {
    /// A view of single objects: an answer of one, or the events of a watch.
    pub(crate) fn of_one(
        call: &Call<'_>,
        representation: Representation,
        kind: &Arc<Kind>,
    ) -> Result<Self, Status> {
        let form = match representation {
            Representation::Json => Form::Json,
            Representation::Partial => Form::Partial,
            Representation::Table(version) => {
                Form::Table(Box::new(Table::new(call, version, kind)?))
            }
        };
        Ok(Self {
            kind: Arc::clone(kind),
            form,
        })
    }

    /// A view of a list.
    pub(crate) fn of_list(
        call: &Call<'_>,
        representation: Representation,
        kind: &Arc<Kind>,
    ) -> Result<Self, Status> {
        Self::of_one(call, representation, kind)
    }

    /// Writes an object on its own.
    pub(crate) fn one(&mut self, object: &Object, out: &mut Vec<u8>) -> Result<(), Status> {
        match &mut self.form {
            Form::Json => object.write_json(out),
            Form::Partial => object.write_partial_metadata(out)?,
            Form::Table(table) => table.one(object, out)?,
        }
        Ok(())
    }

    /// Writes a bookmark of a watch.
    pub(crate) fn bookmark(
        &mut self,
        bookmark: &Bookmark,
        out: &mut Vec<u8>,
    ) -> Result<(), Status> {
        match &mut self.form {
            Form::Json => bookmark.write_json(out),
            Form::Partial => bookmark.write_partial_metadata(out),
            Form::Table(table) => table.bookmark(bookmark, out),
        }
        Ok(())
    }

    /// Writes what stands before the items of a list.
    pub(crate) fn list_head(&self, metadata: &[u8], out: &mut Vec<u8>) {
        match &self.form {
            Form::Table(table) => table.head(metadata, out),
            Form::Json => {
                envelope(
                    self.kind.list_kind(),
                    self.kind.api_version(),
                    metadata,
                    out,
                );
            }
            Form::Partial => {
                envelope("PartialObjectMetadataList", "meta.k8s.io/v1", metadata, out);
            }
        }
    }

    /// Writes items of a list; the first of them is the first of the list or it is not.
    pub(crate) fn items(
        &mut self,
        items: &[Object],
        is_first: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Status> {
        for (index, object) in items.iter().enumerate() {
            if index > 0 || !is_first {
                out.push(b',');
            }
            match &mut self.form {
                Form::Json => object.write_json(out),
                Form::Partial => object.write_partial_metadata(out)?,
                Form::Table(table) => table.row(object, out)?,
            }
        }
        Ok(())
    }

    /// Writes what stands after the items.
    pub(crate) fn list_tail(out: &mut Vec<u8>) {
        out.extend_from_slice(b"]}\n");
    }
}

fn envelope(kind: &str, api_version: &str, metadata: &[u8], out: &mut Vec<u8>) {
    // Kinds and versions are words; they need no escapes.
    let head = format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\",\"metadata\":");
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(metadata);
    out.extend_from_slice(b",\"items\":[");
}
