//! Distributions and medians, in the units that people read.

use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest latency that is told apart, in nanoseconds: ten minutes.
const LONGEST_NS: u64 = 600_000_000_000;
/// Significant decimal digits of a latency.
const DIGITS: u8 = 3;

/// A distribution of latencies in nanoseconds.
#[derive(Debug, Clone)]
pub(super) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(super) fn new() -> Self {
        Self(
            Histogram::new_with_bounds(1, LONGEST_NS, DIGITS)
                .expect("the bounds are constants that the histogram allows"),
        )
    }

    pub(super) fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns);
    }

    pub(super) fn add(&mut self, other: &Self) {
        // Both have the same bounds, so nothing can be out of range.
        let _ = self.0.add(&other.0);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> u64 {
        self.0.len()
    }

    pub(super) fn quantiles(&self) -> Quantiles {
        let us = |ns: u64| ns as f64 / 1_000.0;
        Quantiles {
            count: self.0.len(),
            p50_us: us(self.0.value_at_quantile(0.50)),
            p99_us: us(self.0.value_at_quantile(0.99)),
            max_us: us(self.0.max()),
        }
    }
}

/// What is told of a distribution, in microseconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Quantiles {
    pub(super) count: u64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    pub(super) max_us: f64,
}

/// Median and range of a figure over several runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Spread {
    /// `None` without values.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Self { median, min, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_lies_in_the_middle_of_the_range() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0]).unwrap().median, 2.5);
    }

    #[test]
    fn quantiles_are_right_within_the_precision() {
        let mut latencies = Latencies::new();
        (1..=1_000_u64).for_each(|us| latencies.record(us * 1_000));
        let quantiles = latencies.quantiles();
        assert!((quantiles.p50_us - 500.0).abs() < 1.0, "{quantiles:?}");
        assert!((quantiles.p99_us - 990.0).abs() < 1.0, "{quantiles:?}");
        assert!((quantiles.max_us - 1_000.0).abs() < 1.0, "{quantiles:?}");
    }
}
