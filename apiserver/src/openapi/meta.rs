use serde_json::{Map, Value, json};

use super::reference;

pub(super) const GVK: &str = "x-kubernetes-group-version-kind";
pub(super) const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
pub(super) const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
pub(super) const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
pub(super) const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
pub(super) const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
const STATUS_DETAILS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.StatusDetails";
const STATUS_CAUSE: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.StatusCause";
const PRECONDITIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Preconditions";
const OWNER_REFERENCE: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference";
const MANAGED_FIELDS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ManagedFieldsEntry";
const FIELDS_V1: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1";
const TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Time";

/// Returns the schemas that every group-version shares.
pub(super) fn schemas() -> Map<String, Value> {
    [
        (OBJECT_META, object_meta()),
        (OWNER_REFERENCE, owner_reference()),
        (MANAGED_FIELDS, managed_fields()),
        (FIELDS_V1, object("Which fields a manager set.", &[])),
        (
            TIME,
            json!({"type": "string", "format": "date-time",
            "description": "A point in time, RFC 3339."}),
        ),
        (LIST_META, list_meta()),
        (STATUS, status()),
        (STATUS_DETAILS, status_details()),
        (STATUS_CAUSE, status_cause()),
        (DELETE_OPTIONS, delete_options()),
        (
            PRECONDITIONS,
            object(
                "What must be true of an object.",
                &[
                    (
                        "resourceVersion",
                        text("The resource version that it must have."),
                    ),
                    ("uid", text("The UID that it must have.")),
                ],
            ),
        ),
        (PATCH, object("Changes to an object.", &[])),
    ]
    .map(|(name, schema)| (name.to_owned(), schema))
    .into_iter()
    .collect()
}

pub(super) fn api_version() -> Value {
    text("The group and version that the fields of the object are in.")
}

pub(super) fn kind() -> Value {
    text("The kind of the object.")
}

fn object_meta() -> Value {
    object(
        "The name of an object and what the server keeps about it.",
        &[
            (
                "annotations",
                texts("Anything that tools and people attach to the object."),
            ),
            (
                "creationTimestamp",
                inner("When the object was created. Set by the server.", TIME),
            ),
            (
                "deletionGracePeriodSeconds",
                number("Seconds between a deletion and its effect."),
            ),
            (
                "deletionTimestamp",
                inner("When the deletion was asked for. Set by the server.", TIME),
            ),
            (
                "finalizers",
                set("What must be done before the object may go."),
            ),
            (
                "generateName",
                text("The beginning of a name that the server completes."),
            ),
            (
                "generation",
                number("Rises with each change of what is wanted. Set by the server."),
            ),
            ("labels", texts("Words to select objects by.")),
            (
                "managedFields",
                list(
                    "Who set which fields.",
                    &reference(MANAGED_FIELDS),
                    json!({
            "x-kubernetes-list-type": "atomic"}),
                ),
            ),
            (
                "name",
                text("The name, unique in its namespace. It cannot be changed."),
            ),
            ("namespace", text("The namespace. It cannot be changed.")),
            (
                "ownerReferences",
                list(
                    "The objects that this one belongs to.",
                    &reference(OWNER_REFERENCE),
                    json!({
                "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["uid"],
                "x-kubernetes-patch-merge-key": "uid", "x-kubernetes-patch-strategy": "merge"}),
                ),
            ),
            (
                "resourceVersion",
                text("The revision of the object. Set by the server."),
            ),
            ("selfLink", text("No longer used.")),
            (
                "uid",
                text("Tells lives of objects with one name apart. Set by the server."),
            ),
        ],
    )
}

fn owner_reference() -> Value {
    let mut schema = object(
        "An object that another one belongs to.",
        &[
            ("apiVersion", text("Its group and version.")),
            (
                "blockOwnerDeletion",
                truth("Whether it waits for the other in a foreground deletion."),
            ),
            ("controller", truth("Whether it controls the other.")),
            ("kind", text("Its kind.")),
            ("name", text("Its name.")),
            ("uid", text("Its UID.")),
        ],
    );
    schema["required"] = json!(["apiVersion", "kind", "name", "uid"]);
    schema["x-kubernetes-map-type"] = "atomic".into();
    schema
}

fn managed_fields() -> Value {
    object(
        "The fields that one manager set.",
        &[
            ("apiVersion", text("The version that the fields are in.")),
            ("fieldsType", text("The format of the fields: FieldsV1.")),
            ("fieldsV1", inner("The fields.", FIELDS_V1)),
            ("manager", text("Who set them.")),
            ("operation", text("How they were set: Apply or Update.")),
            (
                "subresource",
                text("The subresource that they were set through."),
            ),
            ("time", inner("When they were set.", TIME)),
        ],
    )
}

fn list_meta() -> Value {
    object(
        "What the server says about a list.",
        &[
            ("continue", text("Where the next page starts.")),
            (
                "remainingItemCount",
                number("How many objects follow this page, if that is known."),
            ),
            (
                "resourceVersion",
                text("The revision at which the list was read."),
            ),
            ("selfLink", text("No longer used.")),
        ],
    )
}

fn status() -> Value {
    let mut schema = object(
        "The outcome of a request that shows no object.",
        &[
            ("apiVersion", api_version()),
            ("code", number("The HTTP code.")),
            (
                "details",
                inner("What the request was about.", STATUS_DETAILS),
            ),
            ("kind", kind()),
            ("message", text("What happened, for people.")),
            (
                "metadata",
                inner("What the server says about a list.", LIST_META),
            ),
            ("reason", text("What happened, for programs.")),
            ("status", text("Success or Failure.")),
        ],
    );
    schema[GVK] = json!([{"group": "", "version": "v1", "kind": "Status"}]);
    schema
}

fn status_details() -> Value {
    object(
        "What a request was about.",
        &[
            (
                "causes",
                list(
                    "What was wrong, one by one.",
                    &reference(STATUS_CAUSE),
                    json!({}),
                ),
            ),
            ("group", text("The group of the resource.")),
            (
                "kind",
                text("The resource, or the kind of an invalid object."),
            ),
            ("name", text("The name of the object.")),
            (
                "retryAfterSeconds",
                number("Seconds to wait before the next try."),
            ),
            ("uid", text("The UID of the object.")),
        ],
    )
}

fn status_cause() -> Value {
    object(
        "One thing that was wrong.",
        &[
            ("field", text("The field.")),
            ("message", text("What was wrong, for people.")),
            ("reason", text("What was wrong, for programs.")),
        ],
    )
}

fn delete_options() -> Value {
    let mut schema = object(
        "How an object is deleted.",
        &[
            ("apiVersion", api_version()),
            ("dryRun", set("All: check everything and delete nothing.")),
            (
                "gracePeriodSeconds",
                number("Seconds before the deletion takes effect."),
            ),
            ("kind", kind()),
            (
                "orphanDependents",
                truth("The old form of propagationPolicy."),
            ),
            (
                "preconditions",
                inner("What must be true of the object.", PRECONDITIONS),
            ),
            (
                "propagationPolicy",
                text("What becomes of the objects that belong to it."),
            ),
        ],
    );
    schema[GVK] = json!([{"group": "", "version": "v1", "kind": "DeleteOptions"}]);
    schema
}

fn object(description: &str, properties: &[(&str, Value)]) -> Value {
    let mut schema = json!({"type": "object", "description": description});
    if !properties.is_empty() {
        let properties: Map<String, Value> = properties
            .iter()
            .map(|(name, schema)| (String::from(*name), schema.clone()))
            .collect();
        schema["properties"] = properties.into();
    }
    schema
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn number(description: &str) -> Value {
    json!({"type": "integer", "format": "int64", "description": description})
}

fn truth(description: &str) -> Value {
    json!({"type": "boolean", "description": description})
}

fn texts(description: &str) -> Value {
    json!({"type": "object", "description": description,
        "additionalProperties": {"type": "string", "default": ""}})
}

fn inner(description: &str, schema: &str) -> Value {
    json!({"description": description, "allOf": [reference(schema)]})
}

fn set(description: &str) -> Value {
    list(
        description,
        &json!({"type": "string", "default": ""}),
        json!({"x-kubernetes-list-type": "set", "x-kubernetes-patch-strategy": "merge"}),
    )
}

fn list(description: &str, items: &Value, more: Value) -> Value {
    let mut schema = json!({"type": "array", "description": description, "items": items});
    if let (Value::Object(schema), Value::Object(more)) = (&mut schema, more) {
        schema.extend(more);
    }
    schema
}
