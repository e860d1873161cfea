use std::fmt::{self, Write};
use std::sync::Arc;

use hyper::StatusCode;

use crate::path::Probe;
use crate::query::Query;

/// A named check of `/readyz` and, if it says so, of `/livez` and `/healthz`.
///
/// # Behaviour
/// * Asked by each probe; it must not block: it reads a flag or a watch.
/// * The text of a failure is shown to nobody but the log: it may name what a stranger must not
///   know.
pub trait HealthCheck: fmt::Debug + Send + Sync + 'static {
    /// Returns the name that probes show: letters, digits and `-`.
    fn name(&self) -> &str;

    /// Tells whether a failure means that the process should be started anew.
    fn liveness(&self) -> bool {
        false
    }

    /// Returns why it is not well.
    ///
    /// # Errors
    /// The reason, for the log.
    fn check(&self) -> Result<(), String>;
}

/// The answer of a probe: a code and a text.
pub(crate) struct Health {
    pub(crate) code: StatusCode,
    pub(crate) text: String,
}

/// Asks the checks of a probe, or one of them; none if there is no such check.
pub(crate) fn probe(
    checks: &[Arc<dyn HealthCheck>],
    probe: Probe,
    only: Option<&str>,
    query: &Query,
) -> Option<Health> {
    let asked: Vec<&Arc<dyn HealthCheck>> = checks
        .iter()
        .filter(|check| probe == Probe::Ready || check.liveness())
        .filter(|check| only.is_none_or(|name| check.name() == name))
        .collect();
    if only.is_some_and(|name| name != "ping") && asked.is_empty() {
        return None;
    }
    let excluded: Vec<&str> = query.all("exclude").collect();
    let mut lines = vec!["[+]ping ok".to_owned()];
    let mut failed = false;
    for check in asked {
        let name = check.name();
        if excluded.contains(&name) {
            lines.push(format!("[+]{name} excluded: ok"));
            continue;
        }
        match check.check() {
            Ok(()) => lines.push(format!("[+]{name} ok")),
            Err(reason) => {
                failed = true;
                tracing::warn!(check = name, %reason, "health check failed");
                lines.push(format!("[-]{name} failed: reason withheld"));
            }
        }
    }
    if only.is_some() && lines.len() > 1 {
        lines.remove(0);
    }
    Some(answer(probe, &lines, failed, query))
}

fn answer(probe: Probe, lines: &[String], failed: bool, query: &Query) -> Health {
    let name = probe.name();
    let mut text = String::new();
    if failed || query.first("verbose").is_some() {
        for line in lines {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{line}");
        }
        let verdict = if failed { "failed" } else { "passed" };
        let _ = writeln!(text, "{name} check {verdict}");
    } else {
        text.push_str("ok");
    }
    let code = if failed {
        StatusCode::INTERNAL_SERVER_ERROR
    } else {
        StatusCode::OK
    };
    Health { code, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Fixed(&'static str, bool, Result<(), String>);

    impl HealthCheck for Fixed {
        fn name(&self) -> &str {
            self.0
        }
        fn liveness(&self) -> bool {
            self.1
        }
        fn check(&self) -> Result<(), String> {
            self.2.clone()
        }
    }

    fn ask(which: Probe, only: Option<&str>, query: &str) -> Option<(u16, String)> {
        let checks: Vec<Arc<dyn HealthCheck>> = vec![
            Arc::new(Fixed("loop", true, Ok(()))),
            Arc::new(Fixed("store", false, Err("password wrong".into()))),
        ];
        let query = Query::parse(query).unwrap();
        probe(&checks, which, only, &query).map(|h| (h.code.as_u16(), h.text))
    }

    #[test]
    fn checks_are_shown_by_name() {
        assert_eq!(ask(Probe::Live, None, ""), Some((200, "ok".into())));
        assert_eq!(
            ask(Probe::Live, None, "verbose"),
            Some((200, "[+]ping ok\n[+]loop ok\nlivez check passed\n".into()))
        );
        assert_eq!(
            ask(Probe::Ready, None, ""),
            Some((
                500,
                "[+]ping ok\n[+]loop ok\n[-]store failed: reason withheld\nreadyz check failed\n"
                    .into()
            ))
        );
        assert_eq!(
            ask(Probe::Ready, None, "exclude=store"),
            Some((200, "ok".into()))
        );
        assert_eq!(
            ask(Probe::Ready, Some("loop"), ""),
            Some((200, "ok".into()))
        );
        assert_eq!(ask(Probe::Ready, Some("store"), "").unwrap().0, 500);
        assert_eq!(ask(Probe::Live, Some("ping"), ""), Some((200, "ok".into())));
        assert_eq!(ask(Probe::Live, Some("nope"), ""), None);
        assert_eq!(ask(Probe::Live, Some("store"), ""), None);
    }
}
