use serde_json::value::RawValue;

use super::{Json, Map, Number};
use crate::limits::{FIELD_PROBLEMS_MAX, JSON_DEPTH_MAX, JSON_NODES_MAX};

/// What a JSON text says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The value.
    pub root: Json,
    /// The paths of fields that occur more than once in their object; the last one counts.
    pub duplicates: Vec<String>,
}

/// Reads a JSON text.
///
/// # Errors
/// What is wrong and where: not UTF-8, not JSON, nested deeper than [`JSON_DEPTH_MAX`], more than
/// [`JSON_NODES_MAX`] values, or a number beyond what a 64-bit float can hold.
pub fn parse(bytes: &[u8]) -> Result<Parsed, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("invalid JSON: {error}"))?;
    let mut reader = Reader {
        text,
        position: 0,
        nodes: 0,
        path: Vec::new(),
        duplicates: Vec::new(),
    };
    let root = reader.value()?;
    reader.skip_space();
    if reader.position < text.len() {
        return Err(reader.unexpected("the end"));
    }
    Ok(Parsed {
        root,
        duplicates: reader.duplicates,
    })
}

struct Reader<'a> {
    text: &'a str,
    position: usize,
    nodes: usize,
    path: Vec<Step>,
    duplicates: Vec<String>,
}

enum Step {
    Field(String),
    Index(usize),
}

impl Reader<'_> {
    fn value(&mut self) -> Result<Json, String> {
        self.skip_space();
        self.nodes += 1;
        if self.nodes > JSON_NODES_MAX {
            return Err(self.refused(&format!("has more than {JSON_NODES_MAX} values")));
        }
        match self.peek() {
            Some(b'{') => self.object(),
            Some(b'[') => self.array(),
            Some(b'"') => self.string().map(Json::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            _ => Err(self.unexpected("a value")),
        }
    }

    fn object(&mut self) -> Result<Json, String> {
        self.enter(Step::Field(String::new()))?;
        let mut map = Map::new();
        let mut more = self.opens(b'}');
        while more {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a field name"));
            }
            let key = self.string()?;
            self.skip_space();
            if !self.takes(b':') {
                return Err(self.unexpected("':'"));
            }
            self.at(Step::Field(key.clone()));
            let value = self.value()?;
            if map.insert(key, value).is_some() {
                self.duplicate();
            }
            more = self.goes_on(b'}')?;
        }
        self.path.pop();
        Ok(Json::Object(map))
    }

    fn array(&mut self) -> Result<Json, String> {
        self.enter(Step::Index(0))?;
        let mut items = Vec::new();
        let mut more = self.opens(b']');
        while more {
            self.at(Step::Index(items.len()));
            let item = self.value()?;
            items.push(item);
            more = self.goes_on(b']')?;
        }
        self.path.pop();
        Ok(Json::Array(items))
    }

    /// Steps over the opening bracket. Checked before the recursion, so that no text can exhaust
    /// the stack.
    fn enter(&mut self, step: Step) -> Result<(), String> {
        self.position += 1;
        if self.path.len() == JSON_DEPTH_MAX {
            return Err(self.refused(&format!("is nested deeper than {JSON_DEPTH_MAX}")));
        }
        self.path.push(step);
        Ok(())
    }

    fn at(&mut self, step: Step) {
        if let Some(last) = self.path.last_mut() {
            *last = step;
        }
    }

    fn opens(&mut self, close: u8) -> bool {
        self.skip_space();
        !self.takes(close)
    }

    fn goes_on(&mut self, close: u8) -> Result<bool, String> {
        self.skip_space();
        if self.takes(b',') {
            return Ok(true);
        }
        if self.takes(close) {
            return Ok(false);
        }
        Err(self.unexpected(&format!("',' or '{}'", char::from(close))))
    }

    fn string(&mut self) -> Result<String, String> {
        let start = self.position;
        let bytes = self.text.as_bytes();
        let mut end = start + 1;
        let mut plain = true;
        loop {
            match bytes.get(end) {
                Some(b'"') => break,
                Some(b'\\') => {
                    plain = false;
                    end += 2;
                }
                Some(0..=0x1f) => {
                    self.position = end;
                    return Err(self.refused("has a control character in a string"));
                }
                Some(_) => end += 1,
                None => {
                    self.position = bytes.len();
                    return Err(self.unexpected("'\"'"));
                }
            }
        }
        self.position = end + 1;
        if plain {
            return Ok(self.text[start + 1..end].into());
        }
        serde_json::from_str(&self.text[start..=end]).map_err(|_| {
            self.position = start;
            self.refused("has a malformed escape in a string")
        })
    }

    fn number(&mut self) -> Result<Json, String> {
        let start = self.position;
        let rest = &self.text[start..];
        let length = rest
            .bytes()
            .position(|b| !matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
            .unwrap_or(rest.len());
        let digits = &rest[..length];
        if serde_json::from_str::<&RawValue>(digits).is_err() {
            return Err(self.refused("has a malformed number"));
        }
        if digits.parse::<f64>().is_ok_and(f64::is_infinite) {
            // Most clients decode such a number into an error: one object would break every list.
            return Err(self.refused("has a number beyond the range of a 64-bit float"));
        }
        self.position += length;
        Ok(Json::Number(Number(digits.into())))
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, String> {
        if !self.text[self.position..].starts_with(word) {
            return Err(self.unexpected("a value"));
        }
        self.position += word.len();
        Ok(value)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.position += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    fn takes(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.position += 1;
        }
        found
    }

    fn duplicate(&mut self) {
        if self.duplicates.len() < FIELD_PROBLEMS_MAX {
            let path = render(&self.path);
            if !self.duplicates.contains(&path) {
                self.duplicates.push(path);
            }
        }
    }

    fn unexpected(&self, wanted: &str) -> String {
        match self.text[self.position..].chars().next() {
            Some(found) => self.refused(&format!("has {found:?} where {wanted} is expected")),
            None => self.refused(&format!("ends where {wanted} is expected")),
        }
    }

    fn refused(&self, why: &str) -> String {
        let before = &self.text[..self.position.min(self.text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1) + 1;
        format!("invalid JSON: the text {why} (line {line}, column {column})")
    }
}

fn render(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Field(name) if text.is_empty() => text.push_str(name),
            Step::Field(name) => {
                text.push('.');
                text.push_str(name);
            }
            Step::Index(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(text: &str) -> String {
        parse(text.as_bytes()).unwrap().root.to_string()
    }

    #[test]
    fn numbers_keep_their_text() {
        let numbers = "[0,-0,1.0,1.10,1e5,1E-7,12345678901234567890123456789,1e308,-1e-400]";
        assert_eq!(rewritten(numbers), numbers);
        let through_serde = serde_json::to_string(&parse(numbers.as_bytes()).unwrap().root);
        assert_eq!(through_serde.unwrap(), numbers);
    }

    #[test]
    fn strings_keep_their_content() {
        assert_eq!(
            rewritten(r#" { "b" : "\u00fc\/\ud83d\ude00\u0000\n" , "a" : [ ] } "#),
            "{\"a\":[],\"b\":\"ü/😀\\u0000\\n\"}"
        );
    }

    #[test]
    fn duplicates_are_named_and_the_last_counts() {
        let parsed = parse(br#"{"a":[{"b":1,"b":2,"b":3}],"c":0,"c":1}"#).unwrap();
        assert_eq!(parsed.duplicates, ["a[0].b", "c"]);
        assert_eq!(parsed.root.to_string(), r#"{"a":[{"b":3}],"c":1}"#);
    }

    #[test]
    fn bad_texts_are_refused_with_a_place() {
        for (text, why) in [
            ("", "ends where a value is expected (line 1, column 1)"),
            (
                "{",
                "ends where a field name is expected (line 1, column 2)",
            ),
            (
                "{\"a\"}",
                "has '}' where ':' is expected (line 1, column 5)",
            ),
            (
                "[1,]",
                "has ']' where a value is expected (line 1, column 4)",
            ),
            (
                "[1 2]",
                "has '2' where ',' or ']' is expected (line 1, column 4)",
            ),
            (
                "\n nul",
                "has 'n' where a value is expected (line 2, column 2)",
            ),
            (
                "1 1",
                "has '1' where the end is expected (line 1, column 3)",
            ),
            ("01", "has a malformed number (line 1, column 1)"),
            ("1.", "has a malformed number (line 1, column 1)"),
            (
                "1e400",
                "has a number beyond the range of a 64-bit float (line 1, column 1)",
            ),
            ("\"a", "ends where '\"' is expected (line 1, column 3)"),
            ("\"\\", "ends where '\"' is expected (line 1, column 3)"),
            (
                "\"\\x\"",
                "has a malformed escape in a string (line 1, column 1)",
            ),
            (
                "\"\\ud800\"",
                "has a malformed escape in a string (line 1, column 1)",
            ),
            (
                "\"a\nb\"",
                "has a control character in a string (line 1, column 3)",
            ),
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert_eq!(error, format!("invalid JSON: the text {why}"), "{text:?}");
        }
        assert!(parse(b"\"\xff\"").unwrap_err().contains("utf-8"));
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse(nested(JSON_DEPTH_MAX).as_bytes()).is_ok());
        assert!(parse(nested(JSON_DEPTH_MAX + 1).as_bytes()).is_err());
        let deep = parse(nested(1_000_000).as_bytes()).unwrap_err();
        assert!(deep.contains("is nested deeper than 100"), "{deep}");
        let wide = format!("[{}0]", "0,".repeat(JSON_NODES_MAX));
        let wide = parse(wide.as_bytes()).unwrap_err();
        assert!(wide.contains("has more than 1000000 values"), "{wide}");
    }
}
