use percent_encoding::percent_decode_str;

use crate::limits::QUERY_PARAMETERS_MAX;
use crate::status::Status;

/// The parameters of a URL, decoded, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query {
    parameters: Vec<(String, String)>,
}

impl Query {
    /// Parses what follows the `?`. Empty parameters, as in `?&watch=true`, are skipped.
    pub(crate) fn parse(raw: &str) -> Result<Self, Status> {
        let mut parameters = Vec::new();
        for part in raw.split('&').filter(|part| !part.is_empty()) {
            if parameters.len() == QUERY_PARAMETERS_MAX {
                return Err(Status::bad_request(format!(
                    "the query has more than {QUERY_PARAMETERS_MAX} parameters"
                )));
            }
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            parameters.push((decode(name)?, decode(value)?));
        }
        Ok(Self { parameters })
    }

    /// Returns the first value of a parameter, empty ones included.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Returns the first value of a parameter, if it is not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.first(name).filter(|value| !value.is_empty())
    }

    /// Returns every value of a parameter.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.parameters
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Returns a switch: on when it is there, unless it says `false` or `0`.
    pub(crate) fn switch(&self, name: &str) -> Option<bool> {
        let value = self.first(name)?;
        Some(!value.eq_ignore_ascii_case("false") && value != "0")
    }

    /// Returns a number that is not negative.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Status> {
        let Some(value) = self.text(name) else {
            return Ok(None);
        };
        match value.parse::<i64>().map(u64::try_from) {
            Ok(Ok(number)) => Ok(Some(number)),
            Ok(Err(_)) => Err(Status::bad_request(format!(
                "query parameter {name}: {value} must not be negative"
            ))),
            Err(_) => Err(Status::bad_request(format!(
                "query parameter {name}: {value:?} must be a number"
            ))),
        }
    }
}

fn decode(text: &str) -> Result<String, Status> {
    check_escapes(text)?;
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    match decoded {
        Ok(value) if value.contains('\0') => {
            Err(Status::bad_request("the query must not contain a NUL"))
        }
        Ok(value) => Ok(value.into_owned()),
        Err(_) => Err(Status::bad_request("the query must be UTF-8")),
    }
}

/// Refuses a `%` that two hexadecimal digits do not follow: decoders disagree about it.
pub(crate) fn check_escapes(text: &str) -> Result<(), Status> {
    let broken = text.split('%').skip(1).any(|after| {
        let digits = after.as_bytes();
        digits.len() < 2 || !digits[..2].iter().all(u8::is_ascii_hexdigit)
    });
    if broken {
        return Err(Status::bad_request("the URL has an invalid escape"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_queries_are_read() {
        let query = Query::parse("&watch=true&&a=b+c%2Cd&x&dryRun=All&dryRun=All&").unwrap();
        assert_eq!(query.switch("watch"), Some(true));
        assert_eq!(query.first("a"), Some("b c,d"));
        assert_eq!(query.first("x"), Some(""));
        assert_eq!(query.text("x"), None);
        assert_eq!(query.all("dryRun").count(), 2);
        assert_eq!(Query::parse("").unwrap(), Query::default());
    }

    #[test]
    fn switches_are_on_unless_they_say_otherwise() {
        let on = |text: &str| Query::parse(text).unwrap().switch("w");
        assert_eq!(on("w"), Some(true));
        assert_eq!(on("w=1"), Some(true));
        assert_eq!(on("w=False"), Some(false));
        assert_eq!(on("w=0"), Some(false));
        assert_eq!(on("v=1"), None);
    }

    #[test]
    fn bad_queries_are_refused() {
        for raw in ["a=%", "a=%4", "a=%zz", "a=%ff", "%00=1", "a=%e2%28%a1"] {
            assert_eq!(Query::parse(raw).unwrap_err().code(), 400, "{raw}");
        }
        assert!(Query::parse(&"a=1&".repeat(300)).is_err());
        for raw in ["n=-1", "n=x", "n=99999999999999999999"] {
            assert!(Query::parse(raw).unwrap().number("n").is_err(), "{raw}");
        }
    }
}
