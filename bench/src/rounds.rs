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

/// Returns the median of ratios with the least and the greatest.
#[must_use]
pub fn spread(mut ratios: Vec<f64>) -> String {
    let middle = median(&mut ratios);
    match (ratios.first(), ratios.last()) {
        (Some(least), Some(greatest)) => format!("{middle:.2} ({least:.2} to {greatest:.2})"),
        _ => "-".into(),
    }
}

fn number_from_env(name: &str, default: usize) -> usize {
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
}
