use crate::json::Map;
use crate::limits::{
    FIELD_PROBLEMS_MAX, JSON_DEPTH_MAX, JSON_NODES_MAX, PATCH_COPY_BYTES_MAX,
    PATCH_MOVED_VALUES_MAX, PATCH_OPERATIONS_MAX,
};
use crate::{Failure, Json, Reason, Result};

/// A JSON patch (RFC 6902).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JsonPatch {
    operations: Vec<Operation>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Operation {
    Add { path: Pointer, value: Json },
    Remove { path: Pointer },
    Replace { path: Pointer, value: Json },
    Move { from: Pointer, path: Pointer },
    Copy { from: Pointer, path: Pointer },
    Test { path: Pointer, value: Json },
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pointer(Vec<String>);

impl JsonPatch {
    /// Reads a patch; also returns the paths of fields that operations do not have.
    ///
    /// # Errors
    /// `BadRequest` for what is not a patch; `RequestEntityTooLarge` for too many operations.
    pub(crate) fn read(root: Json) -> Result<(Self, Vec<String>)> {
        let Json::Array(items) = root else {
            return Err(Failure::bad_request(format!(
                "a JSON patch must be an array of operations, not {}",
                root.type_name()
            )));
        };
        if items.len() > PATCH_OPERATIONS_MAX {
            return Err(Failure::new(
                Reason::RequestEntityTooLarge,
                format!(
                    "The allowed maximum operations in a JSON patch is {PATCH_OPERATIONS_MAX}, \
                     got {}",
                    items.len()
                ),
            ));
        }
        let (mut operations, mut unknown) = (Vec::new(), Vec::new());
        for (index, item) in items.into_iter().enumerate() {
            let operation = operation(item, index, &mut unknown).map_err(|why| {
                Failure::bad_request(format!("operation {index} of the JSON patch: {why}"))
            })?;
            operations.push(operation);
        }
        unknown.truncate(FIELD_PROBLEMS_MAX);
        Ok((Self { operations }, unknown))
    }

    /// Applies all operations, or fails.
    ///
    /// # Errors
    /// `Invalid` if a path leads nowhere or a test does not hold; `RequestEntityTooLarge` if copies
    /// add too much.
    pub(crate) fn apply(&self, root: &mut Json) -> Result<()> {
        let mut work = Work::default();
        let applied = self
            .operations
            .iter()
            .try_for_each(|operation| operation.apply(root, &mut work));
        applied?;
        let values = measure(root).values;
        if values > JSON_NODES_MAX {
            return Err(Failure::too_large_because(format!(
                "a patched object may have {JSON_NODES_MAX} values"
            )));
        }
        Ok(())
    }
}

/// What a patch has cost so far. A short patch can move and copy the same large value thousands of
/// times.
#[derive(Debug, Default)]
struct Work {
    copied_bytes: usize,
    moved_values: usize,
}

impl Work {
    fn copies(&mut self, bytes: usize) -> Result<()> {
        self.copied_bytes += bytes;
        if self.copied_bytes > PATCH_COPY_BYTES_MAX {
            return Err(Failure::too_large_because(format!(
                "the copies of a JSON patch may add {PATCH_COPY_BYTES_MAX} bytes"
            )));
        }
        Ok(())
    }

    fn moves(&mut self, values: usize) -> Result<()> {
        self.moved_values += values;
        if self.moved_values > PATCH_MOVED_VALUES_MAX {
            return Err(Failure::too_large_because(format!(
                "the operations of a JSON patch may move {PATCH_MOVED_VALUES_MAX} values"
            )));
        }
        Ok(())
    }
}

struct Measure {
    depth: usize,
    values: usize,
}

/// Measures a value. No value is deeper than [`JSON_DEPTH_MAX`]: none is read that is, and none is
/// put where it would be.
fn measure(json: &Json) -> Measure {
    let mut whole = Measure {
        depth: 0,
        values: 1,
    };
    let mut inside = |part: &Json| {
        let part = measure(part);
        whole.depth = whole.depth.max(part.depth + 1);
        whole.values += part.values;
    };
    match json {
        Json::Object(map) => map.values().for_each(&mut inside),
        Json::Array(items) => items.iter().for_each(&mut inside),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
    whole
}

fn operation(item: Json, index: usize, unknown: &mut Vec<String>) -> Result<Operation, String> {
    let Json::Object(mut fields) = item else {
        return Err("it is not an object".into());
    };
    let Some(Json::String(op)) = fields.remove("op") else {
        return Err("it has no op".into());
    };
    let path = pointer(&mut fields, "path")?;
    let operation = match op.as_str() {
        "add" => Operation::Add {
            path,
            value: value(&mut fields)?,
        },
        "remove" => Operation::Remove { path },
        "replace" => Operation::Replace {
            path,
            value: value(&mut fields)?,
        },
        "move" => Operation::Move {
            from: pointer(&mut fields, "from")?,
            path,
        },
        "copy" => Operation::Copy {
            from: pointer(&mut fields, "from")?,
            path,
        },
        "test" => Operation::Test {
            path,
            value: value(&mut fields)?,
        },
        other => return Err(format!("unknown op {other:?}")),
    };
    for known in ["from", "value"] {
        fields.remove(known);
    }
    unknown.extend(fields.into_keys().map(|field| format!("[{index}].{field}")));
    Ok(operation)
}

fn value(fields: &mut Map) -> Result<Json, String> {
    fields
        .remove("value")
        .ok_or_else(|| "it has no value".into())
}

fn pointer(fields: &mut Map, name: &str) -> Result<Pointer, String> {
    let Some(Json::String(text)) = fields.remove(name) else {
        return Err(format!("it has no {name}"));
    };
    if text.is_empty() {
        return Ok(Pointer(Vec::new()));
    }
    let Some(rest) = text.strip_prefix('/') else {
        return Err(format!("{name} {text:?} does not start with '/'"));
    };
    let unescape = |part: &str| part.replace("~1", "/").replace("~0", "~");
    Ok(Pointer(rest.split('/').map(unescape).collect()))
}

impl Operation {
    fn apply(&self, root: &mut Json, work: &mut Work) -> Result<()> {
        match self {
            Self::Add { path, value } => path.add(root, value.clone(), work),
            Self::Remove { path } => path.remove(root, work).map(drop),
            Self::Replace { path, value } => {
                path.fits(value, work)?;
                *find_mut(&path.0, root).ok_or_else(rejected)? = value.clone();
                Ok(())
            }
            Self::Move { from, path } => {
                if path.0.len() > from.0.len() && path.0.starts_with(&from.0) {
                    return Err(rejected());
                }
                let value = from.remove(root, work)?;
                path.add(root, value, work)
            }
            Self::Copy { from, path } => {
                let value = from.find(root).ok_or_else(rejected)?.clone();
                work.copies(value.to_bytes().len())?;
                path.add(root, value, work)
            }
            Self::Test { path, value } => match path.find(root) {
                Some(found) if found.same_as(value) => Ok(()),
                None if value.is_null() => Ok(()),
                _ => Err(rejected()),
            },
        }
    }
}

/// Clients know this answer for a patch that does not apply.
fn rejected() -> Failure {
    Failure::new(
        Reason::Invalid,
        "the server rejected our request due to an error in our request",
    )
}

impl Pointer {
    fn find<'a>(&self, root: &'a Json) -> Option<&'a Json> {
        self.0.iter().try_fold(root, |json, step| match json {
            Json::Object(map) => map.get(step),
            Json::Array(items) => items.get(index(step)?),
            _ => None,
        })
    }

    fn add(&self, root: &mut Json, value: Json, work: &mut Work) -> Result<()> {
        self.fits(&value, work)?;
        let Some((last, parents)) = self.0.split_last() else {
            *root = value;
            return Ok(());
        };
        match find_mut(parents, root) {
            Some(Json::Object(map)) => {
                map.insert(last.clone(), value);
                Ok(())
            }
            Some(Json::Array(items)) if last == "-" => {
                items.push(value);
                Ok(())
            }
            Some(Json::Array(items)) => {
                let at = index(last).filter(|at| *at <= items.len());
                let at = at.ok_or_else(rejected)?;
                work.moves(items.len() - at)?;
                items.insert(at, value);
                Ok(())
            }
            _ => Err(rejected()),
        }
    }

    /// Checks that a value may be put here, before it is: what is too deep could not be dropped
    /// again without exhausting the stack.
    fn fits(&self, value: &Json, work: &mut Work) -> Result<()> {
        let Measure { depth, values } = measure(value);
        work.moves(values)?;
        if self.0.len() + depth > JSON_DEPTH_MAX {
            return Err(Failure::too_large_because(format!(
                "a patched object may be nested {JSON_DEPTH_MAX} deep"
            )));
        }
        Ok(())
    }

    fn remove(&self, root: &mut Json, work: &mut Work) -> Result<Json> {
        let Some((last, parents)) = self.0.split_last() else {
            return Ok(std::mem::take(root));
        };
        let removed = match find_mut(parents, root) {
            Some(Json::Object(map)) => map.remove(last),
            Some(Json::Array(items)) => match index(last).filter(|at| *at < items.len()) {
                Some(at) => {
                    work.moves(items.len() - at)?;
                    Some(items.remove(at))
                }
                None => None,
            },
            _ => None,
        };
        removed.ok_or_else(rejected)
    }
}

fn find_mut<'a>(steps: &[String], root: &'a mut Json) -> Option<&'a mut Json> {
    steps.iter().try_fold(root, |json, step| match json {
        Json::Object(map) => map.get_mut(step),
        Json::Array(items) => items.get_mut(index(step)?),
        _ => None,
    })
}

/// Reads an index: digits without a leading zero.
fn index(step: &str) -> Option<usize> {
    let canonical = step == "0" || !step.starts_with(['0', '+']);
    step.parse().ok().filter(|_| canonical)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;

    fn applied(target: &str, patch: &str) -> Result<String> {
        let read = |text: &str| parse(text.as_bytes()).unwrap().root;
        let mut root = read(target);
        JsonPatch::read(read(patch))?.0.apply(&mut root)?;
        Ok(root.to_string())
    }

    #[test]
    fn each_operation_applies() {
        for (target, patch, expected) in [
            (
                "{}",
                r#"[{"op":"add","path":"/a","value":1}]"#,
                r#"{"a":1}"#,
            ),
            (
                r#"{"a":1}"#,
                r#"[{"op":"add","path":"/a","value":null}]"#,
                r#"{"a":null}"#,
            ),
            (
                "[1,3]",
                r#"[{"op":"add","path":"/1","value":2}]"#,
                "[1,2,3]",
            ),
            ("[1]", r#"[{"op":"add","path":"/-","value":2}]"#, "[1,2]"),
            ("[1]", r#"[{"op":"add","path":"/1","value":2}]"#, "[1,2]"),
            ("[1,2]", r#"[{"op":"remove","path":"/0"}]"#, "[2]"),
            (
                r#"{"a/b":{"c~d":1}}"#,
                r#"[{"op":"replace","path":"/a~1b/c~0d","value":2}]"#,
                r#"{"a/b":{"c~d":2}}"#,
            ),
            (
                r#"{"a":[1,2]}"#,
                r#"[{"op":"move","from":"/a/0","path":"/a/1"}]"#,
                r#"{"a":[2,1]}"#,
            ),
            (
                r#"{"a":{"b":1}}"#,
                r#"[{"op":"copy","from":"/a","path":"/c"}]"#,
                r#"{"a":{"b":1},"c":{"b":1}}"#,
            ),
            (
                r#"{"a":1.0}"#,
                r#"[{"op":"test","path":"/a","value":1}]"#,
                r#"{"a":1.0}"#,
            ),
            ("{}", r#"[{"op":"test","path":"/a","value":null}]"#, "{}"),
            ("{}", "[]", "{}"),
        ] {
            assert_eq!(
                applied(target, patch).unwrap(),
                expected,
                "{target} {patch}"
            );
        }
    }

    #[test]
    fn patches_that_do_not_apply_are_rejected() {
        for (target, patch) in [
            ("{}", r#"[{"op":"test","path":"/a","value":1}]"#),
            ("{}", r#"[{"op":"remove","path":"/a"}]"#),
            ("{}", r#"[{"op":"replace","path":"/a","value":1}]"#),
            ("{}", r#"[{"op":"add","path":"/a/b","value":1}]"#),
            ("[1]", r#"[{"op":"add","path":"/2","value":1}]"#),
            ("[1]", r#"[{"op":"add","path":"/00","value":1}]"#),
            ("[1]", r#"[{"op":"remove","path":"/-"}]"#),
            (
                r#"{"a":{}}"#,
                r#"[{"op":"move","from":"/a","path":"/a/b"}]"#,
            ),
            (
                r#"{"a":[{},{}]}"#,
                r#"[{"op":"move","from":"/a/0","path":"/a/0/b"}]"#,
            ),
            ("{}", r#"[{"op":"copy","from":"/a","path":"/b"}]"#),
        ] {
            let failure = applied(target, patch).unwrap_err();
            assert_eq!(failure.reason(), Reason::Invalid, "{target} {patch}");
        }
    }

    #[test]
    fn what_is_no_patch_is_a_bad_request() {
        for (patch, why) in [
            (
                "{}",
                "a JSON patch must be an array of operations, not object",
            ),
            ("[1]", "operation 0 of the JSON patch: it is not an object"),
            (
                r#"[{"path":"/a"}]"#,
                "operation 0 of the JSON patch: it has no op",
            ),
            (
                r#"[{"op":"jump","path":"/a"}]"#,
                "operation 0 of the JSON patch: unknown op \"jump\"",
            ),
            (
                r#"[{"op":"add","path":"a","value":1}]"#,
                "operation 0 of the JSON patch: path \"a\" does not start with '/'",
            ),
            (
                r#"[{"op":"add","path":"/a"}]"#,
                "operation 0 of the JSON patch: it has no value",
            ),
        ] {
            let failure = applied("{}", patch).unwrap_err();
            assert_eq!(
                (failure.reason(), failure.message()),
                (Reason::BadRequest, why)
            );
        }
        let root = parse(br#"[{"op":"remove","path":"/a","x":1,"value":2}]"#)
            .unwrap()
            .root;
        assert_eq!(JsonPatch::read(root).unwrap().1, ["[0].x"]);
    }

    #[test]
    fn patches_are_bounded() {
        let remove = r#"{"op":"remove","path":"/a"}"#;
        let many = vec![remove; PATCH_OPERATIONS_MAX + 1].join(",");
        let failure = applied("{}", &format!("[{many}]")).unwrap_err();
        assert_eq!(
            failure.message(),
            "The allowed maximum operations in a JSON patch is 10000, got 10001"
        );
        let double = r#"{"op":"copy","from":"/a","path":"/a/-"}"#;
        let doubles = vec![double; 60].join(",");
        let failure = applied(r#"{"a":["xxxxxxxx"]}"#, &format!("[{doubles}]")).unwrap_err();
        assert_eq!(failure.reason(), Reason::RequestEntityTooLarge);
        let nest = r#"{"op":"move","from":"/a","path":"/b"},{"op":"add","path":"/a","value":{}},
            {"op":"move","from":"/b","path":"/a/a"}"#;
        let deep = vec![nest; JSON_DEPTH_MAX].join(",");
        let failure = applied(r#"{"a":{}}"#, &format!("[{deep}]")).unwrap_err();
        assert_eq!(
            failure.message(),
            "Request entity too large: a patched object may be nested 100 deep"
        );
        let wide = format!("[{}0]", "0,".repeat(100_000));
        let insert = r#"{"op":"add","path":"/0","value":0}"#;
        let shifts = vec![insert; PATCH_OPERATIONS_MAX].join(",");
        let failure = applied(&wide, &format!("[{shifts}]")).unwrap_err();
        assert_eq!(
            failure.message(),
            "Request entity too large: the operations of a JSON patch may move 20000000 values"
        );
    }
}
