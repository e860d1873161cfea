use std::collections::BTreeSet;

use crate::limits::{SELECTOR_BYTES_MAX, SELECTOR_REQUIREMENTS_MAX, SELECTOR_VALUES_MAX};
use crate::{Failure, Result, names};

/// A label selector: all requirements must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LabelSelector {
    requirements: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Exists,
    Missing,
    In(BTreeSet<String>),
    /// Holds for objects without the key too.
    NotIn(BTreeSet<String>),
    Above(i64),
    Below(i64),
}

impl LabelSelector {
    /// Reads `key`, `!key`, `key=value`, `key==value`, `key!=value`, `key in (a,b)`,
    /// `key notin (a,b)`, `key>1` and `key<1`, joined by commas. Empty text selects everything.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        parse(text)
            .map_err(|why| Failure::bad_request(format!("unable to parse requirement: {why}")))
    }

    pub(crate) fn len(&self) -> usize {
        self.requirements.len()
    }

    pub(crate) fn names(&self, key: &str) -> bool {
        self.requirements.iter().any(|r| r.key == key)
    }

    /// The one value that a key must have, if a requirement says so.
    pub(crate) fn equals(&self, key: &str) -> Option<&str> {
        let values = self.requirements.iter().find_map(|r| match &r.test {
            Test::In(values) if r.key == key => Some(values),
            _ => None,
        })?;
        values.first().filter(|_| values.len() == 1).map(|v| &**v)
    }

    pub(crate) fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements
            .iter()
            .all(|r| r.test.holds(label(&r.key)))
    }
}

impl Test {
    fn holds(&self, value: Option<&str>) -> bool {
        let number = || value.and_then(|v| v.parse::<i64>().ok());
        match self {
            Self::Exists => value.is_some(),
            Self::Missing => value.is_none(),
            Self::In(values) => value.is_some_and(|v| values.contains(v)),
            Self::NotIn(values) => value.is_none_or(|v| !values.contains(v)),
            Self::Above(bound) => number().is_some_and(|n| n > *bound),
            Self::Below(bound) => number().is_some_and(|n| n < *bound),
        }
    }
}

fn parse(text: &str) -> Result<LabelSelector, String> {
    if text.len() > SELECTOR_BYTES_MAX {
        return Err(format!(
            "the selector has more than {SELECTOR_BYTES_MAX} bytes"
        ));
    }
    let mut tokens = Tokens { rest: text };
    let mut requirements = Vec::new();
    if tokens.peek() == Token::End {
        return Ok(LabelSelector { requirements });
    }
    loop {
        if requirements.len() == SELECTOR_REQUIREMENTS_MAX {
            return Err(format!(
                "the selector has more than {SELECTOR_REQUIREMENTS_MAX} requirements"
            ));
        }
        requirements.push(requirement(&mut tokens)?);
        match tokens.next() {
            Token::End => return Ok(LabelSelector { requirements }),
            Token::Comma => {}
            other => return Err(unexpected(other, "',' or the end")),
        }
    }
}

fn requirement(tokens: &mut Tokens<'_>) -> Result<Requirement, String> {
    if tokens.peek() == Token::Not {
        tokens.next();
        let key = key(tokens)?;
        let test = Test::Missing;
        return Ok(Requirement { key, test });
    }
    let key = key(tokens)?;
    let test = match tokens.peek() {
        Token::End | Token::Comma => {
            return Ok(Requirement {
                key,
                test: Test::Exists,
            });
        }
        Token::Equal => {
            tokens.next();
            Test::In(BTreeSet::from([exact(tokens)?]))
        }
        Token::NotEqual => {
            tokens.next();
            Test::NotIn(BTreeSet::from([exact(tokens)?]))
        }
        Token::Above => {
            tokens.next();
            Test::Above(integer(tokens)?)
        }
        Token::Below => {
            tokens.next();
            Test::Below(integer(tokens)?)
        }
        Token::Word("in") => {
            tokens.next();
            Test::In(values(tokens)?)
        }
        Token::Word("notin") => {
            tokens.next();
            Test::NotIn(values(tokens)?)
        }
        other => return Err(unexpected(other, "in, notin, =, ==, !=, >, <")),
    };
    if let Test::In(values) | Test::NotIn(values) = &test {
        for value in values {
            if let Some(why) = names::label_value(value) {
                return Err(format!("values[0][{key}]: Invalid value: {value:?}: {why}"));
            }
        }
    }
    Ok(Requirement { key, test })
}

fn key(tokens: &mut Tokens<'_>) -> Result<String, String> {
    match tokens.next() {
        Token::Word(key) => match names::qualified_name(key) {
            None => Ok(key.into()),
            Some(why) => Err(format!("key: Invalid value: {key:?}: {why}")),
        },
        other => Err(unexpected(other, "!, identifier")),
    }
}

/// The value after an equal sign; none is the empty one.
fn exact(tokens: &mut Tokens<'_>) -> Result<String, String> {
    match tokens.peek() {
        Token::End | Token::Comma => Ok(String::new()),
        Token::Word(word) => {
            tokens.next();
            Ok(word.into())
        }
        other => Err(unexpected(other, "identifier")),
    }
}

fn integer(tokens: &mut Tokens<'_>) -> Result<i64, String> {
    match tokens.next() {
        Token::Word(word) => word.parse().map_err(|_| {
            format!("for 'Gt', 'Lt' operators, the value must be an integer, not {word:?}")
        }),
        other => Err(unexpected(other, "an integer")),
    }
}

/// The values in parentheses; nothing between two commas is the empty value.
fn values(tokens: &mut Tokens<'_>) -> Result<BTreeSet<String>, String> {
    if tokens.next() != Token::Open {
        return Err("found no '(' after in or notin".into());
    }
    if tokens.peek() == Token::Close {
        return Err("for 'in', 'notin' operators, values set can't be empty".into());
    }
    let mut values = BTreeSet::new();
    loop {
        if values.len() == SELECTOR_VALUES_MAX {
            return Err(format!("a list has more than {SELECTOR_VALUES_MAX} values"));
        }
        let value = match tokens.peek() {
            Token::Word(word) => {
                tokens.next();
                word
            }
            _ => "",
        };
        values.insert(value.into());
        match tokens.next() {
            Token::Comma => {}
            Token::Close => return Ok(values),
            other => return Err(unexpected(other, "',', or ')'")),
        }
    }
}

fn unexpected(found: Token<'_>, wanted: &str) -> String {
    format!("found '{}', expected: {wanted}", found.text())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    End,
    Comma,
    Open,
    Close,
    Not,
    Equal,
    NotEqual,
    Above,
    Below,
    Word(&'a str),
}

impl<'a> Token<'a> {
    fn text(self) -> &'a str {
        match self {
            Self::End => "",
            Self::Comma => ",",
            Self::Open => "(",
            Self::Close => ")",
            Self::Not => "!",
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Above => ">",
            Self::Below => "<",
            Self::Word(word) => word,
        }
    }
}

struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    fn peek(&self) -> Token<'a> {
        self.split().0
    }

    fn next(&mut self) -> Token<'a> {
        let (token, rest) = self.split();
        self.rest = rest;
        token
    }

    fn split(&self) -> (Token<'a>, &'a str) {
        const SIGNS: [(&str, Token<'static>); 9] = [
            ("==", Token::Equal),
            ("!=", Token::NotEqual),
            ("=", Token::Equal),
            ("!", Token::Not),
            (">", Token::Above),
            ("<", Token::Below),
            (",", Token::Comma),
            ("(", Token::Open),
            (")", Token::Close),
        ];
        let rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        if rest.is_empty() {
            return (Token::End, rest);
        }
        for (sign, token) in SIGNS {
            if let Some(rest) = rest.strip_prefix(sign) {
                return (token, rest);
            }
        }
        let ends = |c: char| c.is_ascii_whitespace() || "=!(),><".contains(c);
        let (word, rest) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
        (Token::Word(word), rest)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn selects(selector: &str, labels: &[(&str, &str)]) -> bool {
        let labels: BTreeMap<_, _> = labels.iter().copied().collect();
        let selector = LabelSelector::parse(selector).unwrap();
        selector.matches(|key| labels.get(key).copied())
    }

    #[test]
    fn each_form_selects() {
        let labels = [("app", "a"), ("n", "5"), ("in", "x"), ("e", "")];
        for (selector, expected) in [
            ("", true),
            (" ", true),
            ("app", true),
            ("!app", false),
            ("! other", true),
            ("app=a", true),
            ("app == a , n", true),
            ("app!=a", false),
            ("other!=a", true),
            ("app in (a, b)", true),
            ("app in (b)", false),
            ("app notin (b,c)", true),
            ("other notin (a)", true),
            ("n>4", true),
            ("n > 5", false),
            ("n<6,n>-1", true),
            ("app>1", false),
            ("in=x", true),
            ("in in (x)", true),
            ("in,in", true),
            ("e=", true),
            ("e=,app", true),
            ("e in (,)", true),
            ("app in (b,,c)", false),
            ("a.b/c!=1", true),
        ] {
            assert_eq!(selects(selector, &labels), expected, "{selector:?}");
        }
    }

    #[test]
    fn bad_selectors_are_refused() {
        for (selector, why) in [
            ("app,", "found '', expected: !, identifier"),
            (",app", "found ',', expected: !, identifier"),
            ("a=b=c", "found '=', expected: ',' or the end"),
            ("app in", "found no '(' after in or notin"),
            (
                "app in ()",
                "for 'in', 'notin' operators, values set can't be empty",
            ),
            ("app in (a", "found '', expected: ',', or ')'"),
            (
                "app is a",
                "found 'is', expected: in, notin, =, ==, !=, >, <",
            ),
            (
                "n>x",
                "for 'Gt', 'Lt' operators, the value must be an integer, not \"x\"",
            ),
        ] {
            let failure = LabelSelector::parse(selector).unwrap_err();
            let expected = format!("unable to parse requirement: {why}");
            assert_eq!(failure.message(), expected, "{selector:?}");
        }
        for selector in ["-a", "a/b/c", "a=b c", "a=-", "a in (-)", "a==(b)", "!"] {
            assert!(
                LabelSelector::parse(selector).is_err(),
                "{selector:?} was taken"
            );
        }
        let many = vec!["a"; SELECTOR_REQUIREMENTS_MAX + 1].join(",");
        assert!(LabelSelector::parse(&many).is_err());
        assert!(LabelSelector::parse(&"a".repeat(SELECTOR_BYTES_MAX + 1)).is_err());
    }

    /// A requirement as a test writes it, with its meaning spelled out.
    #[derive(Clone, Debug)]
    enum Naive {
        Exists(&'static str),
        Missing(&'static str),
        Equal(&'static str, &'static str),
        NotEqual(&'static str, &'static str),
        In(&'static str, Vec<&'static str>),
        NotIn(&'static str, Vec<&'static str>),
        Above(&'static str, i64),
        Below(&'static str, i64),
    }

    impl Naive {
        fn text(&self) -> String {
            match self {
                Self::Exists(k) => (*k).into(),
                Self::Missing(k) => format!("!{k}"),
                Self::Equal(k, v) => format!("{k}={v}"),
                Self::NotEqual(k, v) => format!("{k} != {v}"),
                Self::In(k, v) => format!("{k} in ({})", listed(v, ",")),
                Self::NotIn(k, v) => format!("{k} notin ( {} )", listed(v, " , ")),
                Self::Above(k, n) => format!("{k}>{n}"),
                Self::Below(k, n) => format!("{k} <{n}"),
            }
        }

        fn holds(&self, labels: &BTreeMap<&str, &str>) -> bool {
            match self {
                Self::Exists(k) => labels.contains_key(k),
                Self::Missing(k) => !labels.contains_key(k),
                Self::Equal(k, v) => labels.get(k) == Some(v),
                Self::NotEqual(k, v) => labels.get(k) != Some(v),
                Self::In(k, v) => v.iter().any(|v| labels.get(k) == Some(v)),
                Self::NotIn(k, v) => v.iter().all(|v| labels.get(k) != Some(v)),
                Self::Above(k, n) => labels
                    .get(k)
                    .and_then(|v| v.parse().ok())
                    .is_some_and(|v: i64| v > *n),
                Self::Below(k, n) => labels
                    .get(k)
                    .and_then(|v| v.parse().ok())
                    .is_some_and(|v: i64| v < *n),
            }
        }
    }

    fn word() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["a", "b", "in", "x.y/z", "notin"])
    }

    /// A list of one empty value is written with a comma.
    fn listed(values: &[&str], comma: &str) -> String {
        match values {
            [""] => ",".into(),
            values => values.join(comma),
        }
    }

    fn value() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["", "a", "1", "2", "10", "in", "A_b.c"])
    }

    fn naive() -> impl Strategy<Value = Naive> {
        let list = || prop::collection::vec(value(), 1..4);
        prop_oneof![
            word().prop_map(Naive::Exists),
            word().prop_map(Naive::Missing),
            (word(), value()).prop_map(|(k, v)| Naive::Equal(k, v)),
            (word(), value()).prop_map(|(k, v)| Naive::NotEqual(k, v)),
            (word(), list()).prop_map(|(k, v)| Naive::In(k, v)),
            (word(), list()).prop_map(|(k, v)| Naive::NotIn(k, v)),
            (word(), -2i64..12).prop_map(|(k, n)| Naive::Above(k, n)),
            (word(), -2i64..12).prop_map(|(k, n)| Naive::Below(k, n)),
        ]
    }

    proptest! {
        #[test]
        fn selects_what_the_naive_reading_selects(
            requirements in prop::collection::vec(naive(), 0..5),
            labels in prop::collection::btree_map(word(), value(), 0..5),
        ) {
            let text: Vec<String> = requirements.iter().map(Naive::text).collect();
            let selector = LabelSelector::parse(&text.join(",")).unwrap();
            let expected = requirements.iter().all(|r| r.holds(&labels));
            prop_assert_eq!(selector.matches(|key| labels.get(key).copied()), expected);
        }

        #[test]
        fn no_text_is_too_much(text in "[a-z!=,()<> \\-/.0-9ü]{0,40}") {
            let _ = LabelSelector::parse(&text);
        }
    }
}
