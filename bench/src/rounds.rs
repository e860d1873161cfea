//! What benches need that compare rates of interleaved rounds, for which criterion has no word.

/// How large a bench is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// How often everything is measured.
    pub rounds: usize,
    /// How many writes each writer makes in a round.
    pub writes: usize,
}

impl Size {
    /// Returns `full` for `cargo bench`, else the least that shows that the bench works.
    /// `UNISTORE_BENCH_ROUNDS` and `UNISTORE_BENCH_WRITES` set other sizes.
    ///
    /// # Panics
    /// If these are not numbers.
    #[must_use]
    pub fn or(full: Self) -> Self {
        let least = Self {
            rounds: 1,
            writes: 2,
        };
        let is_bench = std::env::args().any(|argument| argument == "--bench");
        let size = if is_bench { full } else { least };
        Self {
            rounds: number_from_env("UNISTORE_BENCH_ROUNDS", size.rounds),
            writes: number_from_env("UNISTORE_BENCH_WRITES", size.writes),
        }
    }
}

/// Returns the middle of the numbers, and leaves them sorted. 0 for none.
pub fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}

/// Returns the median of ratios with the bounds between which it is with 95 % confidence, by the sign
/// test; with the least and the greatest of fewer than six, which do not tell that.
#[must_use]
pub fn spread(mut ratios: Vec<f64>) -> String {
    let middle = median(&mut ratios);
    let outside = outside(ratios.len());
    let bounds = (ratios.get(outside), ratios.iter().rev().nth(outside));
    match bounds {
        (Some(low), Some(high)) => format!("{middle:.2} ({low:.2} to {high:.2})"),
        (None, _) | (_, None) => "-".into(),
    }
}

/// Returns how many of `count` sorted numbers are below the bound of a median's 95 % interval.
fn outside(count: usize) -> usize {
    const TAIL: f64 = 0.025;
    let counts = u32::try_from(count).map_or(f64::MAX, f64::from);
    // The chance that so many of all are below the median.
    let mut chance = (-counts).exp2();
    let mut tail = chance;
    let mut below = 0.0;
    let mut outside = 0_usize;
    while tail <= TAIL && outside < count {
        chance *= (counts - below) / (below + 1.0);
        tail += chance;
        below += 1.0;
        outside += 1;
    }
    outside.saturating_sub(1)
}

/// Returns the number that a variable has, or `default`.
///
/// # Panics
/// If it is not a number.
#[must_use]
pub fn number_from_env(name: &str, default: usize) -> usize {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => default,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(spread(vec![0.5, 2.0, 1.0]), "1.00 (0.50 to 2.00)");
        assert_eq!(spread(Vec::new()), "-");
    }

    #[test]
    fn the_bounds_are_those_of_the_sign_test() {
        // From the published tables: the ranks of the lower bound, counted from one.
        for (count, rank) in [(6, 1), (8, 1), (9, 2), (12, 3), (20, 6), (50, 18)] {
            assert_eq!(outside(count) + 1, rank, "{count} numbers");
        }
        assert_eq!(outside(5), 0);
    }
}
