use std::sync::Arc;

use resource::Kind;
use serde_json::{Map, Value, json};

mod meta;
mod operations;
mod schema;

/// Returns where the document of a group-version stands below `/openapi/v3/`.
pub(crate) fn path(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{group}/{version}")
    }
}

/// Renders the OpenAPI v3 document of a group-version.
pub(crate) fn v3(kinds: &[Arc<Kind>]) -> Value {
    let mut paths = Map::new();
    let mut schemas = meta::schemas();
    for kind in kinds {
        operations::add(kind, &mut paths);
        schemas.insert(schema::name(kind), schema::of_kind(kind));
        schemas.insert(schema::list_name(kind), schema::of_list(kind));
    }
    json!({
        "openapi": "3.0.0",
        "info": info(),
        "paths": paths,
        "components": {"schemas": schemas},
    })
}

/// Renders a small OpenAPI v2 document: old clients ask for one before they go on with v3.
pub(crate) fn v2() -> Value {
    json!({"swagger": "2.0", "info": info(), "paths": {}, "definitions": {}})
}

fn info() -> Value {
    json!({"title": "unistore", "version": env!("CARGO_PKG_VERSION")})
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}
