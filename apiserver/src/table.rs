use std::sync::Arc;

use resource::{Bookmark, ColumnType, Json, JsonPath, Kind, Object};
use serde_json::{Value, json};
use storage_core::{Clock, Timestamp};

use crate::accept::MetaVersion;
use crate::age;
use crate::call::Call;
use crate::query::Query;
use crate::status::Status;

/// Shows objects as rows of cells, by the printer columns of their kind.
pub(crate) struct Table {
    version: MetaVersion,
    kind: Arc<Kind>,
    include: IncludeObject,
    clock: Arc<dyn Clock>,
    /// A watch shows the columns with its first event only.
    columns_shown: bool,
}

/// What each row carries besides its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IncludeObject {
    None,
    Metadata,
    Object,
}

impl IncludeObject {
    fn parse(query: &Query) -> Result<Self, Status> {
        match query.text("includeObject") {
            None | Some("Metadata") => Ok(Self::Metadata),
            Some("None") => Ok(Self::None),
            Some("Object") => Ok(Self::Object),
            Some(other) => Err(Status::bad_request(format!(
                "Unable to convert to Table as requested: includeObject: Invalid value: {other:?}: \
                 must be 'Metadata', 'Object', 'None', or empty"
            ))),
        }
    }
}

impl Table {
    pub(crate) fn new(
        call: &Call<'_>,
        version: MetaVersion,
        kind: &Arc<Kind>,
    ) -> Result<Self, Status> {
        Ok(Self {
            version,
            kind: Arc::clone(kind),
            include: IncludeObject::parse(call.query)?,
            clock: Arc::clone(&call.api.clock),
            columns_shown: false,
        })
    }

    /// Writes a table of one row.
    pub(crate) fn one(&mut self, object: &Object, out: &mut Vec<u8>) -> Result<(), Status> {
        self.one_row_head(&object.revision().to_string(), out);
        self.row(object, out)?;
        out.extend_from_slice(b"]}");
        Ok(())
    }

    /// Writes a table whose row is a bookmark.
    pub(crate) fn bookmark(&mut self, bookmark: &Bookmark, out: &mut Vec<u8>) {
        self.one_row_head(&bookmark.revision.to_string(), out);
        let mut cells = vec![Value::Null; self.kind.printer_columns().len() + 1];
        cells[0] = "".into();
        write_cells(&cells, out);
        bookmark.write_partial_metadata(out);
        out.extend_from_slice(b"}]}");
    }

    fn one_row_head(&mut self, revision: &str, out: &mut Vec<u8>) {
        let metadata = format!("{{\"resourceVersion\":\"{revision}\"}}");
        self.head(metadata.as_bytes(), out);
        self.columns_shown = true;
    }

    /// Writes what stands before the rows.
    pub(crate) fn head(&self, metadata: &[u8], out: &mut Vec<u8>) {
        let version = self.version.api_version();
        let head = format!("{{\"kind\":\"Table\",\"apiVersion\":\"{version}\",\"metadata\":");
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(metadata);
        let columns = if self.columns_shown {
            Value::Null
        } else {
            self.columns()
        };
        out.extend_from_slice(format!(",\"columnDefinitions\":{columns},\"rows\":[").as_bytes());
    }

    /// Writes one row.
    pub(crate) fn row(&self, object: &Object, out: &mut Vec<u8>) -> Result<(), Status> {
        write_cells(&self.cells(object)?, out);
        match self.include {
            IncludeObject::None => out.extend_from_slice(b"null"),
            IncludeObject::Metadata => object.write_partial_metadata(out)?,
            IncludeObject::Object => object.write_json(out),
        }
        out.push(b'}');
        Ok(())
    }

    fn columns(&self) -> Value {
        let name = json!({"name": "Name", "type": "string", "format": "name",
            "description": "The name of the object.", "priority": 0});
        let others = self.kind.printer_columns().iter().map(|column| {
            json!({"name": column.name, "type": column.kind.as_str(), "format": column.format,
                "description": column.description, "priority": column.priority})
        });
        std::iter::once(name).chain(others).collect()
    }

    fn cells(&self, object: &Object) -> Result<Vec<Value>, Status> {
        let columns = self.kind.printer_columns();
        let paths: Vec<&JsonPath> = columns.iter().map(|column| &column.path).collect();
        let now = self.clock.now();
        let mut cells = vec![Value::from(object.name())];
        for (column, value) in columns.iter().zip(object.fields(&paths)?) {
            cells.push(value.map_or(Value::Null, |value| cell(column.kind, &value, now)));
        }
        Ok(cells)
    }
}

fn write_cells(cells: &[Value], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"cells\":[");
    for (index, cell) in cells.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(cell.to_string().as_bytes());
    }
    out.extend_from_slice(b"],\"object\":");
}

/// Shows a value in a column; a value of another type than the column's is not shown.
fn cell(column: ColumnType, value: &Json, now: Timestamp) -> Value {
    match (column, value) {
        (_, Json::Null) => Value::Null,
        (ColumnType::Date, Json::String(time)) => age::since(time, now).into(),
        (ColumnType::String, Json::String(text)) => text.as_str().into(),
        (ColumnType::String, other) => String::from_utf8_lossy(&other.to_bytes()).into(),
        (ColumnType::Integer, Json::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => integer.into(),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the column shows whole numbers"
            )]
            (None, float) => (float as i64).into(),
        },
        (ColumnType::Number, Json::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => integer.into(),
            (None, float) => float.into(),
        },
        (ColumnType::Boolean, Json::Bool(value)) => (*value).into(),
        (
            ColumnType::Date | ColumnType::Integer | ColumnType::Number | ColumnType::Boolean,
            Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) | Json::Object(_),
        ) => Value::Null,
    }
}
