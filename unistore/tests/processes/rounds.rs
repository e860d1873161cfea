use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};

/// What has not happened by then never will.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Returns how much of something a test does: what the environment says, else its default.
pub(crate) fn number(variable: &str, default: usize) -> usize {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is not a number")),
        Err(_) => default,
    }
}

/// Each of these tests keeps the machine busy and some measure time: one after the other.
pub(crate) async fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::const_new(());
    ONE.lock().await
}
