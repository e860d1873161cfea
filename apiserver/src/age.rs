use std::time::Duration;

use storage_core::Timestamp;

/// Returns how long ago an RFC 3339 time was, in the short form that tables show; `<invalid>` for
/// what is no time or lies in the future.
pub(crate) fn since(time: &str, now: Timestamp) -> String {
    let Ok(time) = time.parse::<jiff::Timestamp>() else {
        return "<invalid>".into();
    };
    let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    let elapsed_ms = now_ms.saturating_sub(time.as_millisecond());
    match u64::try_from(elapsed_ms) {
        Ok(ms) => short(Duration::from_millis(ms)),
        // Clocks of two machines differ a little.
        Err(_) if elapsed_ms > -2_000 => "0s".into(),
        Err(_) => "<invalid>".into(),
    }
}

/// Two units while the age is small, one when it is large.
fn short(age: Duration) -> String {
    let seconds = age.as_secs();
    let minutes = seconds / 60;
    let hours = minutes / 60;
    let days = hours / 24;
    let years = days / 365;
    let two = |big: u64, unit: &str, small: u64, rest: &str| match small {
        0 => format!("{big}{unit}"),
        _ => format!("{big}{unit}{small}{rest}"),
    };
    if seconds < 120 {
        format!("{seconds}s")
    } else if minutes < 10 {
        two(minutes, "m", seconds % 60, "s")
    } else if hours < 3 {
        format!("{minutes}m")
    } else if hours < 8 {
        two(hours, "h", minutes % 60, "m")
    } else if hours < 48 {
        format!("{hours}h")
    } else if days < 8 {
        two(days, "d", hours % 24, "h")
    } else if years < 2 {
        format!("{days}d")
    } else if years < 8 {
        two(years, "y", days % 365, "d")
    } else {
        format!("{years}y")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        let minute = 60;
        let hour = 60 * minute;
        let day = 24 * hour;
        for (seconds, text) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (10 * minute, "10m"),
            (179 * minute, "179m"),
            (3 * hour, "3h"),
            (3 * hour + 2 * minute, "3h2m"),
            (8 * hour, "8h"),
            (47 * hour, "47h"),
            (48 * hour, "2d"),
            (53 * hour, "2d5h"),
            (8 * day, "8d"),
            (729 * day, "729d"),
            (730 * day, "2y"),
            (731 * day, "2y1d"),
            (3000 * day, "8y"),
        ] {
            assert_eq!(short(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn times_are_read() {
        let now = Timestamp::from_millis(1_700_000_000_000);
        assert_eq!(since("2023-11-14T22:13:19Z", now), "1s");
        assert_eq!(since("2023-11-14T22:13:21Z", now), "0s");
        assert_eq!(since("2023-11-15T22:13:21Z", now), "<invalid>");
        assert_eq!(since("yesterday", now), "<invalid>");
    }
}
