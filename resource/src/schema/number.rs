use serde_json::Number;

/// Writes a bound as messages do: `1`, not `1.0`.
pub(super) fn short(number: &Number) -> String {
    match (number.as_i64(), number.as_f64()) {
        (Some(integer), _) => integer.to_string(),
        (None, Some(float)) => float.to_string(),
        (None, None) => number.to_string(),
    }
}
