//! Points in time as the machines see them: passed in, never read from a clock.

use std::fmt;
use std::time::Duration;

/// Microseconds since the Unix epoch, UTC.
///
/// The range accepted from outside is the years 1 to 9999 (what RFC 3339 can write).
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The Unix epoch.
    pub const EPOCH: Self = Self(0);
    /// Later than every real time: "never".
    pub const FAR_FUTURE: Self = Self(i64::MAX);

    /// From microseconds since the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// From seconds since the Unix epoch.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the Unix epoch, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// How long `self` lies after `earlier`; zero if it lies before.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads an RFC 3339 time with a zone (`2025-03-15T14:22:31.000Z`), years 1 to 9999.
    ///
    /// # Errors
    /// A sentence that says what is wrong and how a time is written.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "must be an RFC 3339 time with a zone, such as 2025-03-15T14:22:31.000Z";
        if text.len() > 64 || !text.as_bytes().first().is_some_and(u8::is_ascii_digit) {
            return Err(FORM);
        }
        let parsed: jiff::Timestamp = text.parse().map_err(|_| FORM)?;
        if text.starts_with("0000") {
            return Err("the year must be 0001 to 9999");
        }
        Ok(Self(parsed.as_microsecond()))
    }

    /// Writes RFC 3339, UTC, with milliseconds: `2025-03-15T14:22:31.000Z`.
    pub fn rfc3339(self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.as_millis()) {
            Ok(t) => write!(f, "{t:.3}"),
            Err(_) => f.write_str("9999-12-31T23:59:59.999Z"),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, d: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(d.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl std::ops::Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, d: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(d.as_micros()).unwrap_or(i64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_milliseconds_and_read_back() {
        let t = Timestamp::parse("2025-03-15T14:22:31Z").unwrap();
        assert_eq!(t.rfc3339(), "2025-03-15T14:22:31.000Z");
        assert_eq!(Timestamp::parse("2025-03-15T15:22:31.0+01:00").unwrap(), t);
    }

    #[test]
    fn abuse_a14_odd_dates_are_refused() {
        for text in [
            "",
            "0000-01-01T00:00:00Z",
            "99999-01-01T00:00:00Z",
            "2025-03-15T14:22:31",
            "2025-03-15",
            "+2025-01-01T00:00:00Z",
            "-0001-01-01T00:00:00Z",
            "tomorrow",
        ] {
            assert!(Timestamp::parse(text).is_err(), "{text}");
        }
    }
}
